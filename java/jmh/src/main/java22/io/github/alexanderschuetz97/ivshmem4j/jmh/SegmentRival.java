package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** A segment of a shared arena, which has its own checks. */
public final class SegmentRival implements Rival {

    private static final VarHandle INT = ValueLayout.JAVA_INT.varHandle();
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();

    private final MemorySegment segment;

    public SegmentRival(final Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            segment = channel.map(MapMode.READ_WRITE, 0, channel.size(), Arena.ofShared());
        }
    }

    @Override
    public byte read(final long off) {
        return segment.get(ValueLayout.JAVA_BYTE, off);
    }

    @Override
    public int readInt(final long off) {
        return segment.get(ValueLayout.JAVA_INT_UNALIGNED, off);
    }

    @Override
    public long readLong(final long off) {
        return segment.get(ValueLayout.JAVA_LONG_UNALIGNED, off);
    }

    @Override
    public void write(final long off, final long value) {
        segment.set(ValueLayout.JAVA_LONG_UNALIGNED, off, value);
    }

    @Override
    public long readAcquire(final long off) {
        return (long) LONG.getAcquire(segment, off);
    }

    @Override
    public void writeRelease(final long off, final long value) {
        LONG.setRelease(segment, off, value);
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        return (int) INT.getAndAdd(segment, off, delta);
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        return (long) LONG.getAndAdd(segment, off, delta);
    }

    @Override
    public boolean compareAndSet(final long off, final int expect, final int update) {
        return INT.compareAndSet(segment, off, expect, update);
    }

    @Override
    public boolean compareAndSet(final long off, final long expect, final long update) {
        return LONG.compareAndSet(segment, off, expect, update);
    }

    @Override
    public void read(final long off, final byte[] buffer, final int bufferOff, final int len) {
        MemorySegment.copy(segment, ValueLayout.JAVA_BYTE, off, buffer, bufferOff, len);
    }

    @Override
    public void write(final long off, final byte[] buffer, final int bufferOff, final int len) {
        MemorySegment.copy(buffer, bufferOff, segment, ValueLayout.JAVA_BYTE, off, len);
    }
}
