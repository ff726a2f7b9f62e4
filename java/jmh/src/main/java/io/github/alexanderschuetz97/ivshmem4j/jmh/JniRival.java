package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.nio.ByteBuffer;

/**
 * One JNI call for each access, without a check or any other code: bench/examples/jni_rival.rs.
 *
 * <p>A lower bound for any library that reaches memory through JNI functions, as Ivshmem4j 1.2 does.
 */
final class JniRival implements Rival {

    static {
        System.load(System.getProperty("ivshmem4j.jmh.jni"));
    }

    /** Keeps the mapping alive. */
    private final ByteBuffer buffer;
    private final long address;

    JniRival(final ByteBuffer buffer) {
        this.buffer = buffer;
        address = UnsafeRival.address(buffer);
    }

    private static native int getInt(long address);

    private static native long getLong(long address);

    private static native void putLong(long address, long value);

    private static native int addInt(long address, int delta);

    private static native long addLong(long address, long delta);

    @Override
    public int readInt(final long off) {
        return getInt(address + off);
    }

    @Override
    public long readLong(final long off) {
        return getLong(address + off);
    }

    @Override
    public void write(final long off, final long value) {
        putLong(address + off, value);
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        return addInt(address + off, delta);
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        return addLong(address + off, delta);
    }
}
