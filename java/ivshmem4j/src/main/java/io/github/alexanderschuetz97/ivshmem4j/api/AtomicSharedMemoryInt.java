package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.NotSerializableException;
import java.io.ObjectOutputStream;
import java.util.function.IntBinaryOperator;
import java.util.function.IntUnaryOperator;

/**
 * A int in shared memory that is read and changed in one step, also beside other virtual machines: what
 * {@link java.util.concurrent.atomic.AtomicInteger} is in one JVM.
 *
 * <p>It has 4 bytes in the processor's byte order. All methods are volatile but where they say otherwise, throw what
 * {@link NativeMemory} throws, and may be called from any thread. {@code hashCode} and {@code equals} are those of
 * the object and not of the value.
 */
public final class AtomicSharedMemoryInt extends Number {

    private static final long serialVersionUID = 1L;

    private final transient NativeMemory memory;
    private final transient long offset;

    /**
     * Stands for the number at an offset. Reads and writes nothing.
     *
     * @param memory the memory
     * @param off offset in bytes; best a multiple of 4
     * @throws IllegalArgumentException if the number is not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    public AtomicSharedMemoryInt(final NativeMemory memory, final long off) {
        memory.readInt(off);
        this.memory = memory;
        this.offset = off;
    }

    /**
     * The value.
     *
     * @return the value
     * @throws IllegalStateException if the memory is closed
     */
    public int get() {
        return memory.readIntVolatile(offset);
    }

    /**
     * Writes a value.
     *
     * @param value the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public void set(final int value) {
        memory.writeIntVolatile(offset, value);
    }

    /**
     * Writes a value. Only what the program has done before is sure to be seen before it: a release.
     *
     * @param value the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public void lazySet(final int value) {
        memory.writeIntRelease(offset, value);
    }

    /**
     * Writes a value and gives the one before.
     *
     * @param value the new value
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int getAndSet(final int value) {
        return memory.getAndSet(offset, value);
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
    public boolean compareAndSet(final int expect, final int update) {
        return memory.compareAndSet(offset, expect, update);
    }

    /**
     * Writes a value if the current one is as expected. The same as
     * {@link #compareAndSet}: it never fails without a reason.
     *
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public boolean weakCompareAndSet(final int expect, final int update) {
        return memory.compareAndSet(offset, expect, update);
    }

    /**
     * Adds, wrapping around.
     *
     * @param delta what to add
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int getAndAdd(final int delta) {
        return memory.getAndAdd(offset, delta);
    }

    /**
     * Adds, wrapping around.
     *
     * @param delta what to add
     * @return the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int addAndGet(final int delta) {
        return getAndAdd(delta) + delta;
    }

    /**
     * Adds 1, wrapping around.
     *
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int getAndIncrement() {
        return getAndAdd(1);
    }

    /**
     * Subtracts 1, wrapping around.
     *
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int getAndDecrement() {
        return getAndAdd(-1);
    }

    /**
     * Adds 1, wrapping around.
     *
     * @return the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int incrementAndGet() {
        return addAndGet(1);
    }

    /**
     * Subtracts 1, wrapping around.
     *
     * @return the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int decrementAndGet() {
        return addAndGet(-1);
    }

    /**
     * Writes what a function makes of the value. It is called again when
     * another writer came between.
     *
     * @param update the function; it should have no effects of its own
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int getAndUpdate(final IntUnaryOperator update) {
        while (true) {
            final int before = get();
            final int after = update.applyAsInt(before);
            if (compareAndSet(before, after)) {
                return before;
            }
        }
    }

    /**
     * Writes what a function makes of the value. It is called again when
     * another writer came between.
     *
     * @param update the function; it should have no effects of its own
     * @return the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int updateAndGet(final IntUnaryOperator update) {
        while (true) {
            final int before = get();
            final int after = update.applyAsInt(before);
            if (compareAndSet(before, after)) {
                return after;
            }
        }
    }

    /**
     * Writes what a function makes of the value and another one. It is called again when
     * another writer came between.
     *
     * @param value the second argument of the function
     * @param accumulator the function; it should have no effects of its own
     * @return the value before
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int getAndAccumulate(final int value, final IntBinaryOperator accumulator) {
        return getAndUpdate(current -> accumulator.applyAsInt(current, value));
    }

    /**
     * Writes what a function makes of the value and another one. It is called again when
     * another writer came between.
     *
     * @param value the second argument of the function
     * @param accumulator the function; it should have no effects of its own
     * @return the new value
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public int accumulateAndGet(final int value, final IntBinaryOperator accumulator) {
        return updateAndGet(current -> accumulator.applyAsInt(current, value));
    }

    @Override
    public byte byteValue() {
        return (byte) get();
    }

    @Override
    public short shortValue() {
        return (short) get();
    }

    @Override
    public int intValue() {
        return get();
    }

    @Override
    public long longValue() {
        return get();
    }

    @Override
    public float floatValue() {
        return get();
    }

    @Override
    public double doubleValue() {
        return get();
    }

    @Override
    public String toString() {
        return String.valueOf(get());
    }

    /**
     * Memory cannot be sent somewhere else.
     *
     * @param out not used
     * @throws NotSerializableException always
     */
    private void writeObject(final ObjectOutputStream out) throws NotSerializableException {
        throw new NotSerializableException(getClass().getName());
    }
}
