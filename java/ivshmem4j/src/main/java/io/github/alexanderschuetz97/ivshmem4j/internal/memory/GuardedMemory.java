package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

/**
 * Memory access before Java 22 to mappings that cannot be replaced: those of the Windows driver.
 *
 * <p>Each access increments a counter on entry and decrements it on exit. Closing refuses later accesses. The closing
 * thread, or the last thread that leaves an access, releases the mapping, so closing never waits.
 */
final class GuardedMemory extends UnsafeMemory {

    private final Guard guard;

    /** Creates memory of a whole mapping; the fence may be null. */
    GuardedMemory(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        super(mapping, fence, onClose);
        guard = new Guard(free);
    }

    private GuardedMemory(final GuardedMemory parent, final long off, final long len) {
        super(parent, off, len);
        guard = parent.guard;
    }

    @Override
    MappedMemory part(final long off, final long len) {
        return new GuardedMemory(this, off, len);
    }

    @Override
    void release() {
        try {
            super.release();
        } finally {
            guard.close();
        }
    }

    @Override
    void begin() {
        guard.enter();
    }

    @Override
    void done() {
        guard.leave();
    }

    @Override
    void fence() {
        if (fence != null) {
            fence.run();
        }
    }

    @Override
    void checkViews() {
        throw new UnsupportedOperationException("a device of the Windows driver has no view as a ByteBuffer before Java 22:"
            + " its memory goes when it is closed, and the buffer would stay; read and write, or use Java 22 or newer");
    }
}
