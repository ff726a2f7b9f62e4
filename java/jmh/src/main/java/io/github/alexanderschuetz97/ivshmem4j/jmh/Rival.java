package io.github.alexanderschuetz97.ivshmem4j.jmh;

/** The least that access to memory can be on this JVM: one check of the range, one access. */
public interface Rival {

    static Rival of(final long address, final long size) {
        if (Runtime.version().feature() < 22) {
            return new UnsafeRival(address, size);
        }
        try {
            return (Rival) Class.forName(Rival.class.getPackageName() + ".SegmentRival")
                .getConstructor(long.class, long.class).newInstance(address, size);
        } catch (final ReflectiveOperationException e) {
            throw new IllegalStateException("built without JDK 22: nothing to compare with on this JVM", e);
        }
    }

    int readInt(long off);

    long readLong(long off);

    void write(long off, long value);

    long readAcquire(long off);

    void writeRelease(long off, long value);

    int getAndAdd(long off, int delta);

    long getAndAdd(long off, long delta);

    boolean compareAndSet(long off, int expect, int update);

    boolean compareAndSet(long off, long expect, long update);

    void read(long off, byte[] buffer, int bufferOff, int len);

    void write(long off, byte[] buffer, int bufferOff, int len);
}
