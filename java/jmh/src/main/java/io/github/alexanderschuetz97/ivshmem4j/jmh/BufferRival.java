package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The direct buffer of a mapped file, which has its own checks and is limited to 2 GiB. */
final class BufferRival implements Rival {

    private static final VarHandle INT =
        MethodHandles.byteBufferViewVarHandle(int[].class, ByteOrder.nativeOrder());
    private static final VarHandle LONG =
        MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());

    private final ByteBuffer buffer;

    BufferRival(final ByteBuffer buffer) {
        this.buffer = buffer;
    }

    @Override
    public byte read(final long off) {
        return buffer.get((int) off);
    }

    @Override
    public int readInt(final long off) {
        return buffer.getInt((int) off);
    }

    @Override
    public long readLong(final long off) {
        return buffer.getLong((int) off);
    }

    @Override
    public void write(final long off, final long value) {
        buffer.putLong((int) off, value);
    }

    @Override
    public long readAcquire(final long off) {
        return (long) LONG.getAcquire(buffer, (int) off);
    }

    @Override
    public void writeRelease(final long off, final long value) {
        LONG.setRelease(buffer, (int) off, value);
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        return (int) INT.getAndAdd(buffer, (int) off, delta);
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        return (long) LONG.getAndAdd(buffer, (int) off, delta);
    }

    @Override
    public boolean compareAndSet(final long off, final int expect, final int update) {
        return INT.compareAndSet(buffer, (int) off, expect, update);
    }

    @Override
    public boolean compareAndSet(final long off, final long expect, final long update) {
        return LONG.compareAndSet(buffer, (int) off, expect, update);
    }

    @Override
    public void read(final long off, final byte[] target, final int targetOff, final int len) {
        buffer.get((int) off, target, targetOff, len);
    }

    @Override
    public void write(final long off, final byte[] source, final int sourceOff, final int len) {
        buffer.put((int) off, source, sourceOff, len);
    }
}
