package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * A boolean in shared memory that is read and changed in one step, also beside other virtual machines: what
 * {@link java.util.concurrent.atomic.AtomicBoolean} is in one JVM.
 *
 * <p>It has 1 byte: 0 is false, and whatever else somebody has written is true; this class writes 1. All methods are
 * volatile but where they say otherwise, throw what {@link NativeMemory} throws, and may be called from any thread.
 */
public final class AtomicSharedMemoryBoolean {

    private final NativeMemory memory;
    private final long offset;

    /**
     * Stands for the boolean at an offset. Reads and writes nothing.
     *
     * @param memory the memory
     * @param off offset in bytes
     * @throws IllegalArgumentException if the byte is not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    public AtomicSharedMemoryBoolean(final NativeMemory memory, final long off) {
        memory.read(off);
        this.memory = memory;
        this.offset = off;
    }

    /**
     * The value.
     *
     * @return the value
     * @throws IllegalStateException if the memory is closed
     */
    public boolean get() {
        return memory.readByteVolatile(offset) != 0;
    }

    /**
     * Writes a value.
     *
     * @param value the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public void set(final boolean value) {
        memory.writeByteVolatile(offset, encoded(value));
    }

    /**
     * Writes a value. Only what the program has done before is sure to be seen before it: a release.
     *
     * @param value the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public void lazySet(final boolean value) {
        memory.writeByteRelease(offset, encoded(value));
    }

    /**
     * Writes a value and gives the one before.
     *
     * @param value the new value
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public boolean getAndSet(final boolean value) {
        return memory.getAndSet(offset, encoded(value)) != 0;
    }

    /**
     * Writes a value if the current one is as expected.
     *
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public boolean compareAndSet(final boolean expect, final boolean update) {
        if (!expect) {
            return memory.compareAndSet(offset, (byte) 0, encoded(update));
        }
        // Any byte but 0 is true; another one may take its place meanwhile.
        byte current = memory.readByteVolatile(offset);
        while (current != 0) {
            if (memory.compareAndSet(offset, current, encoded(update))) {
                return true;
            }
            current = memory.readByteVolatile(offset);
        }
        return false;
    }

    /**
     * Writes a value if the current one is as expected. The same as {@link #compareAndSet}: it never fails without a
     * reason.
     *
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public boolean weakCompareAndSet(final boolean expect, final boolean update) {
        return compareAndSet(expect, update);
    }

    @Override
    public String toString() {
        return String.valueOf(get());
    }

    private static byte encoded(final boolean value) {
        return (byte) (value ? 1 : 0);
    }
}
