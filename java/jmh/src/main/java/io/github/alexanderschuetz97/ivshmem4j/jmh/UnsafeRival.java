package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.lang.reflect.Field;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import sun.misc.Unsafe;

/** Unsafe with the same check. */
final class UnsafeRival implements Rival {

    private static final Unsafe UNSAFE = unsafe();

    /** Keeps the mapping alive. */
    private final ByteBuffer buffer;
    private final long address;
    /** Not final, as memory that can be closed must read it for each access. */
    private long size;

    UnsafeRival(final ByteBuffer buffer) {
        this.buffer = buffer;
        address = address(buffer);
        size = buffer.capacity();
    }

    static long address(final ByteBuffer buffer) {
        try {
            return UNSAFE.getLong(buffer, UNSAFE.objectFieldOffset(Buffer.class.getDeclaredField("address")));
        } catch (final ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Unsafe unsafe() {
        try {
            final Field field = Unsafe.class.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            return (Unsafe) field.get(null);
        } catch (final ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    void close() {
        size = -1;
    }

    private long check(final long off, final long len) {
        if (off < 0 || off > size - len) {
            throw new IllegalArgumentException(off + " of " + size);
        }
        return address + off;
    }

    @Override
    public byte read(final long off) {
        return UNSAFE.getByte(check(off, 1));
    }

    @Override
    public int readInt(final long off) {
        return UNSAFE.getInt(check(off, 4));
    }

    @Override
    public long readLong(final long off) {
        return UNSAFE.getLong(check(off, 8));
    }

    @Override
    public void write(final long off, final long value) {
        UNSAFE.putLong(check(off, 8), value);
    }

    @Override
    public long readAcquire(final long off) {
        return UNSAFE.getLongVolatile(null, check(off, 8));
    }

    @Override
    public void writeRelease(final long off, final long value) {
        UNSAFE.putOrderedLong(null, check(off, 8), value);
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        return UNSAFE.getAndAddInt(null, check(off, 4), delta);
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        return UNSAFE.getAndAddLong(null, check(off, 8), delta);
    }

    @Override
    public boolean compareAndSet(final long off, final int expect, final int update) {
        return UNSAFE.compareAndSwapInt(null, check(off, 4), expect, update);
    }

    @Override
    public boolean compareAndSet(final long off, final long expect, final long update) {
        return UNSAFE.compareAndSwapLong(null, check(off, 8), expect, update);
    }

    private static void check(final byte[] buffer, final int bufferOff, final int len) {
        if ((bufferOff | len) < 0 || len > buffer.length - bufferOff) {
            throw new IllegalArgumentException(bufferOff + " and " + len + " of " + buffer.length);
        }
    }

    @Override
    public void read(final long off, final byte[] buffer, final int bufferOff, final int len) {
        check(buffer, bufferOff, len);
        UNSAFE.copyMemory(null, check(off, len), buffer, Unsafe.ARRAY_BYTE_BASE_OFFSET + (long) bufferOff, len);
    }

    @Override
    public void write(final long off, final byte[] buffer, final int bufferOff, final int len) {
        check(buffer, bufferOff, len);
        UNSAFE.copyMemory(buffer, Unsafe.ARRAY_BYTE_BASE_OFFSET + (long) bufferOff, null, check(off, len), len);
    }
}
