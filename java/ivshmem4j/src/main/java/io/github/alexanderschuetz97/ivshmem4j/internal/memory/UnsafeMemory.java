package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.internal.Cleanup;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.util.Arrays;
import sun.misc.Unsafe;

/**
 * Memory access before Java 22.
 *
 * <p>Closing replaces the shared pages by pages of zeroes and keeps the addresses mapped, so an access that has passed its
 * check never faults. The addresses are freed when this object is unreachable, and every access keeps it reachable to its
 * end. {@link GuardedMemory} is used if the pages cannot be replaced.
 */
class UnsafeMemory extends AtomicMemory {

    private static final Unsafe UNSAFE = unsafe();
    private static final long BYTES = Unsafe.ARRAY_BYTE_BASE_OFFSET;
    private static final long CHARS = Unsafe.ARRAY_CHAR_BASE_OFFSET;
    private static final long SHORTS = Unsafe.ARRAY_SHORT_BASE_OFFSET;
    private static final long INTS = Unsafe.ARRAY_INT_BASE_OFFSET;
    private static final long LONGS = Unsafe.ARRAY_LONG_BASE_OFFSET;
    private static final long FLOATS = Unsafe.ARRAY_FLOAT_BASE_OFFSET;
    private static final long DOUBLES = Unsafe.ARRAY_DOUBLE_BASE_OFFSET;
    /**
     * Whether bulk copies are safe: before Java 14, a lost page of a file ends the JVM in a bulk copy, but not in a single
     * access.
     */
    private static final boolean COPIES_SAFELY = Float.parseFloat(System.getProperty("java.specification.version")) >= 14;
    /** Bytes of one copy. The JVM can reach a safepoint between two copies. */
    private static final long STRIDE = 1 << 20;
    /** Bytes that are set in one step. */
    private static final long PATTERN = 1 << 14;

    /** Frees the addresses. Only the first call has an effect. */
    final Runnable free;

    UnsafeMemory(final Mapping mapping, final Runnable onClose) {
        super(mapping, onClose);
        final long handle = mapping.handle;
        free = Cleanup.register(this, () -> NativeLibrary.memoryFree(handle));
    }

    UnsafeMemory(final UnsafeMemory parent, final long off, final long len) {
        super(parent, off, len);
        free = parent.free;
    }

    /**
     * Creates the memory for a mapping, of the class that it needs.
     *
     * @param fence runs where an ordered access needs a fence; null if none is needed
     */
    static UnsafeMemory of(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        if (WINDOWS || "guarded".equals(System.getProperty(Memories.PROPERTY))) {
            return new GuardedMemory(mapping, fence, onClose);
        }
        return fence == null ? new UnsafeMemory(mapping, onClose) : new Fenced(mapping, fence, onClose);
    }

    /** Memory whose ordered accesses need additional fences. */
    static final class Fenced extends UnsafeMemory {

        private final Runnable fence;

        Fenced(final Mapping mapping, final Runnable fence, final Runnable onClose) {
            super(mapping, onClose);
            this.fence = fence;
        }

        private Fenced(final Fenced parent, final long off, final long len) {
            super(parent, off, len);
            fence = parent.fence;
        }

        @Override
        MappedMemory part(final long off, final long len) {
            return new Fenced(this, off, len);
        }

        @Override
        void fence() {
            fence.run();
        }
    }

    /** Orders all earlier accesses before all later ones, and flushes write-combined stores. */
    static void fullFence() {
        UNSAFE.fullFence();
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

    @Override
    MappedMemory part(final long off, final long len) {
        return new UnsafeMemory(this, off, len);
    }

    @Override
    void release() {
        NativeLibrary.memoryClose(mapping.handle);
    }

    @Override
    int pointerBytes() {
        return UNSAFE.addressSize();
    }

    @Override
    public void set(final long off, final byte value, final long len) {
        checkSet(off, len);
        // Not with Unsafe.setMemory, which ends the JVM on a lost page of a file.
        final byte[] pattern = new byte[(int) Math.min(len, PATTERN)];
        Arrays.fill(pattern, value);
        for (long done = 0; done < len; done += pattern.length) {
            write(off + done, pattern, 0, (int) Math.min(len - done, pattern.length));
        }
    }

    /** Writes a part of an array. {@code from} is the offset of its first byte in the array object. */
    private void copyIn(final long off, final Object array, final long from, final long bytes) {
        final long to = writing(off, bytes);
        try {
            for (long done = 0; done < bytes; done += STRIDE) {
                copy(array, from + done, null, to + done, Math.min(bytes - done, STRIDE), false);
            }
        } catch (final InternalError e) {
            throw truncated(e);
        } finally {
            done();
        }
    }

    /** Fills a part of an array. {@code to} is the offset of its first byte in the array object. */
    private void copyOut(final long off, final Object array, final long to, final long bytes) {
        final long from = reading(off, bytes);
        try {
            for (long done = 0; done < bytes; done += STRIDE) {
                copy(null, from + done, array, to + done, Math.min(bytes - done, STRIDE), false);
            }
        } catch (final InternalError e) {
            throw truncated(e);
        } finally {
            done();
        }
    }

    @Override
    void copy(final long off, final MappedMemory target, final long targetOff, final long len) {
        final long from = address + off;
        final long to = target.address + targetOff;
        // Copies from the end if the first bytes would overwrite bytes that are still to be read.
        final boolean backwards = to > from && to - from < len;
        try {
            for (long done = 0; done < len; done += STRIDE) {
                final long some = Math.min(len - done, STRIDE);
                final long at = backwards ? len - done - some : done;
                copy(null, from + at, null, to + at, some, backwards);
            }
        } catch (final InternalError e) {
            throw truncated(e);
        }
    }

    /** Copies between locations in the notation of Unsafe; backwards if the target overlaps the end of the source. */
    private static void copy(
        final Object from, final long fromOff, final Object to, final long toOff, final long len, final boolean backwards) {
        if (COPIES_SAFELY) {
            UNSAFE.copyMemory(from, fromOff, to, toOff, len);
        } else if (backwards) {
            final long words = len & 7;
            for (long at = len - 8; at >= words; at -= 8) {
                UNSAFE.putLong(to, toOff + at, UNSAFE.getLong(from, fromOff + at));
            }
            for (long at = words - 1; at >= 0; at--) {
                UNSAFE.putByte(to, toOff + at, UNSAFE.getByte(from, fromOff + at));
            }
        } else {
            final long words = len & -8;
            for (long at = 0; at < words; at += 8) {
                UNSAFE.putLong(to, toOff + at, UNSAFE.getLong(from, fromOff + at));
            }
            for (long at = words; at < len; at++) {
                UNSAFE.putByte(to, toOff + at, UNSAFE.getByte(from, fromOff + at));
            }
        }
    }

    /**
     * Throws UnsupportedOperationException if closing unmaps the addresses: an access through a view is not checked by this
     * class, so nothing could prevent it. A subclass for such mappings overrides this method.
     */
    void checkViews() {}

    @Override
    ByteBuffer buffer(final long off, final int len) {
        checkViews();
        final ByteBuffer buffer = NativeLibrary.memoryBuffer(mapping.handle, start + off, len);
        final UnsafeMemory memory = this;
        // Buffers that are derived from this one refer to it. While one exists, this action refers to the memory, whose
        // addresses are valid until it is unreachable.
        Cleanup.register(buffer, () -> keep(memory));
        return mapping.writeable ? buffer : buffer.asReadOnlyBuffer();
    }

    @Override
    Object newerView(final long off, final long len, final Class<?> type) {
        return null;
    }

    @Override
    long loadWord(final long at) {
        return UNSAFE.getLongVolatile(null, mapping.address + at);
    }

    @Override
    boolean swapWord(final long at, final long expect, final long update) {
        return UNSAFE.compareAndSwapLong(null, mapping.address + at, expect, update);
    }

    @Override
    boolean goesByAddress() {
        return true;
    }

    @Override
    int addAt(final long off, final int delta) {
        return UNSAFE.getAndAddInt(null, address + off, delta);
    }

    @Override
    long addAt(final long off, final long delta) {
        return UNSAFE.getAndAddLong(null, address + off, delta);
    }

    @Override
    int setAt(final long off, final int value) {
        return UNSAFE.getAndSetInt(null, address + off, value);
    }

    @Override
    long setAt(final long off, final long value) {
        return UNSAFE.getAndSetLong(null, address + off, value);
    }

    @Override
    boolean swapAt(final long off, final int expect, final int update) {
        return UNSAFE.compareAndSwapInt(null, address + off, expect, update);
    }

    @Override
    boolean swapAt(final long off, final long expect, final long update) {
        return UNSAFE.compareAndSwapLong(null, address + off, expect, update);
    }

    @Override
    public void write(final long off, final byte[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, BYTES + bufferOff, len);
    }

    @Override
    public void read(final long off, final byte[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, BYTES + bufferOff, len);
    }

    @Override
    public void write(final long off, final char[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, CHARS + ((long) bufferOff << 1), (long) len << 1);
    }

    @Override
    public void read(final long off, final char[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, CHARS + ((long) bufferOff << 1), (long) len << 1);
    }

    @Override
    public void write(final long off, final short[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, SHORTS + ((long) bufferOff << 1), (long) len << 1);
    }

    @Override
    public void read(final long off, final short[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, SHORTS + ((long) bufferOff << 1), (long) len << 1);
    }

    @Override
    public void write(final long off, final int[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, INTS + ((long) bufferOff << 2), (long) len << 2);
    }

    @Override
    public void read(final long off, final int[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, INTS + ((long) bufferOff << 2), (long) len << 2);
    }

    @Override
    public void write(final long off, final long[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, LONGS + ((long) bufferOff << 3), (long) len << 3);
    }

    @Override
    public void read(final long off, final long[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, LONGS + ((long) bufferOff << 3), (long) len << 3);
    }

    @Override
    public void write(final long off, final float[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, FLOATS + ((long) bufferOff << 2), (long) len << 2);
    }

    @Override
    public void read(final long off, final float[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, FLOATS + ((long) bufferOff << 2), (long) len << 2);
    }

    @Override
    public void write(final long off, final double[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, DOUBLES + ((long) bufferOff << 3), (long) len << 3);
    }

    @Override
    public void read(final long off, final double[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, DOUBLES + ((long) bufferOff << 3), (long) len << 3);
    }

    @Override
    public void write(final long off, final byte value) {
        UNSAFE.putByte(writing(off, 1), value);
        done();
    }

    @Override
    public byte read(final long off) {
        final byte value = narrowed(UNSAFE.getByte(reading(off, 1)));
        done();
        return value;
    }

    @Override
    public void write(final long off, final short value) {
        UNSAFE.putShort(writing(off, 2), value);
        done();
    }

    @Override
    public short readShort(final long off) {
        final short value = narrowed(UNSAFE.getShort(reading(off, 2)));
        done();
        return value;
    }

    @Override
    public void write(final long off, final int value) {
        UNSAFE.putInt(writing(off, 4), value);
        done();
    }

    @Override
    public int readInt(final long off) {
        final int value = narrowed(UNSAFE.getInt(reading(off, 4)));
        done();
        return value;
    }

    @Override
    public void write(final long off, final long value) {
        UNSAFE.putLong(writing(off, 8), value);
        done();
    }

    @Override
    public long readLong(final long off) {
        final long value = UNSAFE.getLong(reading(off, 8));
        done();
        return value;
    }

    @Override
    public void write(final long off, final float value) {
        UNSAFE.putFloat(writing(off, 4), value);
        done();
    }

    @Override
    public float readFloat(final long off) {
        final float value = UNSAFE.getFloat(reading(off, 4));
        done();
        return value;
    }

    @Override
    public void write(final long off, final double value) {
        UNSAFE.putDouble(writing(off, 8), value);
        done();
    }

    @Override
    public double readDouble(final long off) {
        final double value = UNSAFE.getDouble(reading(off, 8));
        done();
        return value;
    }

    @Override
    public byte readByteAcquire(final long off) {
        return readByteVolatile(off);
    }

    @Override
    public byte readByteVolatile(final long off) {
        final byte value = narrowed(UNSAFE.getByteVolatile(null, reading(off, 1)));
        done();
        fence();
        return value;
    }

    @Override
    public void writeByteRelease(final long off, final byte value) {
        fence();
        final long to = writing(off, 1);
        UNSAFE.storeFence();
        UNSAFE.putByte(to, value);
        done();
        fence();
    }

    @Override
    public void writeByteVolatile(final long off, final byte value) {
        fence();
        UNSAFE.putByteVolatile(null, writing(off, 1), value);
        done();
        fence();
    }

    @Override
    public short readShortAcquire(final long off) {
        return readShortVolatile(off);
    }

    @Override
    public short readShortVolatile(final long off) {
        if (!isAligned(off, 2)) {
            return unalignedShort(off);
        }
        final short value = narrowed(UNSAFE.getShortVolatile(null, reading(off, 2)));
        done();
        fence();
        return value;
    }

    @Override
    public void writeShortRelease(final long off, final short value) {
        if (!isAligned(off, 2)) {
            getAndSet(off, value);
            return;
        }
        fence();
        final long to = writing(off, 2);
        UNSAFE.storeFence();
        UNSAFE.putShort(to, value);
        done();
        fence();
    }

    @Override
    public void writeShortVolatile(final long off, final short value) {
        if (!isAligned(off, 2)) {
            getAndSet(off, value);
            return;
        }
        fence();
        UNSAFE.putShortVolatile(null, writing(off, 2), value);
        done();
        fence();
    }

    @Override
    public int readIntAcquire(final long off) {
        return readIntVolatile(off);
    }

    @Override
    public int readIntVolatile(final long off) {
        if (!isAligned(off, 4)) {
            return unalignedInt(off);
        }
        final int value = narrowed(UNSAFE.getIntVolatile(null, reading(off, 4)));
        done();
        fence();
        return value;
    }

    @Override
    public void writeIntRelease(final long off, final int value) {
        if (!isAligned(off, 4)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        UNSAFE.putOrderedInt(null, writing(off, 4), value);
        done();
        fence();
    }

    @Override
    public void writeIntVolatile(final long off, final int value) {
        if (!isAligned(off, 4)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        UNSAFE.putIntVolatile(null, writing(off, 4), value);
        done();
        fence();
    }

    @Override
    public long readLongAcquire(final long off) {
        return readLongVolatile(off);
    }

    @Override
    public long readLongVolatile(final long off) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndAdd(off, 0L);
        }
        final long value = UNSAFE.getLongVolatile(null, reading(off, 8));
        done();
        fence();
        return value;
    }

    @Override
    public void writeLongRelease(final long off, final long value) {
        if (!isAligned(off, 8)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        UNSAFE.putOrderedLong(null, writing(off, 8), value);
        done();
        fence();
    }

    @Override
    public void writeLongVolatile(final long off, final long value) {
        if (!isAligned(off, 8)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        UNSAFE.putLongVolatile(null, writing(off, 8), value);
        done();
        fence();
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        if (!isAligned(off, 4)) {
            return unalignedGetAndAdd(off, delta);
        }
        final int before = UNSAFE.getAndAddInt(null, writing(off, 4), delta);
        done();
        return before;
    }

    @Override
    public int getAndSet(final long off, final int value) {
        if (!isAligned(off, 4)) {
            return unalignedGetAndSet(off, value);
        }
        final int before = UNSAFE.getAndSetInt(null, writing(off, 4), value);
        done();
        return before;
    }

    @Override
    public boolean compareAndSet(final long off, final int expect, final int update) {
        if (!isAligned(off, 4)) {
            return unalignedCompareAndSet(off, expect, update);
        }
        final boolean set = UNSAFE.compareAndSwapInt(null, writing(off, 4), expect, update);
        done();
        return set;
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndAdd(off, delta);
        }
        final long before = UNSAFE.getAndAddLong(null, writing(off, 8), delta);
        done();
        return before;
    }

    @Override
    public long getAndSet(final long off, final long value) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndSet(off, value);
        }
        final long before = UNSAFE.getAndSetLong(null, writing(off, 8), value);
        done();
        return before;
    }

    @Override
    public boolean compareAndSet(final long off, final long expect, final long update) {
        if (!isAligned(off, 8)) {
            return unalignedCompareAndSet(off, expect, update);
        }
        final boolean set = UNSAFE.compareAndSwapLong(null, writing(off, 8), expect, update);
        done();
        return set;
    }
}
