package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.internal.Cleanup;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;

/**
 * Memory access from Java 22 on.
 *
 * <p>The segment checks numbers and copies itself, so nothing is checked twice; what it throws is translated. Closing puts another
 * one in its place, and zeroes in the place of the pages, so an access that has begun does no harm.
 *
 * <p>Views are of a shared arena, which closing closes: so they throw afterwards. To close one the JVM stops all threads
 * that are inside an access to it, and leaves them interrupted; therefore the accesses here are to a segment without an arena,
 * except on Windows, where nothing can take the place of the pages. It also has all threads leave compiled code that accesses
 * any segment, so that a loop sees what closing has changed. Whoever has a segment of the arena, as every view has, keeps this
 * object reachable: a memory that is forgotten stays open while it has views.
 */
class ForeignMemory extends AtomicMemory {

    private static final ValueLayout.OfChar CHAR = ValueLayout.JAVA_CHAR_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    private static final VarHandle ALIGNED_BYTE = ValueLayout.JAVA_BYTE.varHandle();
    private static final VarHandle ALIGNED_SHORT = ValueLayout.JAVA_SHORT.varHandle();
    private static final VarHandle ALIGNED_INT = ValueLayout.JAVA_INT.varHandle();
    private static final VarHandle ALIGNED_LONG = ValueLayout.JAVA_LONG.varHandle();

    /** What there is instead of the segment once it is closed. */
    private static final MemorySegment CLOSED = closed();

    private final Arena arena;
    /** Gives the mapping back. */
    private final Runnable free;
    /** What views are made of: all of the mapping, as long as it is open. */
    private final MemorySegment viewed;
    /** All of the mapping. */
    private final MemorySegment whole;
    /** As plain as the bounds: a loop may go on with the one before, which does no harm. */
    private MemorySegment segment;

    ForeignMemory(final Mapping mapping, final Runnable onClose) {
        super(mapping, onClose);
        arena = Arena.ofShared();
        final MemorySegment address = MemorySegment.ofAddress(mapping.address);
        // The arena keeps its actions, and so this object.
        viewed = allowed(address.reinterpret(mapping.size, arena, ignored -> Reference.reachabilityFence(this)));
        whole = WINDOWS ? viewed : allowed(address.reinterpret(mapping.size));
        segment = whole;
        final long handle = mapping.handle;
        free = Cleanup.register(this, () -> NativeLibrary.memoryFree(handle));
    }

    private ForeignMemory(final ForeignMemory parent, final long off, final long len) {
        super(parent, off, len);
        arena = parent.arena;
        free = parent.free;
        viewed = parent.viewed;
        whole = parent.whole;
        segment = whole.asSlice(start, len);
    }

    private MemorySegment allowed(final MemorySegment segment) {
        return mapping.writeable ? segment : segment.asReadOnly();
    }

    private static MemorySegment closed() {
        try (Arena arena = Arena.ofConfined()) {
            return arena.allocate(1);
        }
    }

    /** Memory whose ordered accesses need fences beside them. */
    static final class Fenced extends ForeignMemory {

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

    @Override
    MappedMemory part(final long off, final long len) {
        return new ForeignMemory(this, off, len);
    }

    @Override
    void release() {
        try {
            arena.close();
        } catch (final IllegalStateException inUse) {
            // A call of the operating system uses a view now, and may do so for ever. Zeroes take the place of the
            // pages, where the system can do that, and the addresses are given back when nobody can reach them.
            NativeLibrary.memoryClose(mapping.handle);
            Loops.leave();
            return;
        }
        if (WINDOWS) {
            // The JVM is to have stopped every access by now. Java 25 was seen to let one through that its first compiler had
            // begun, a release of a byte, which then met no memory. So this waits once more until each thread has come to a
            // point where it can be stopped.
            Loops.leave();
            free.run();
        } else {
            NativeLibrary.memoryClose(mapping.handle);
        }
    }

    @Override
    void shut() {
        segment = CLOSED;
        // Closing the whole memory does it at once.
        if (parent != null && parent.isValid()) {
            Loops.leaveSoon();
        }
    }

    @Override
    int pointerBytes() {
        return (int) ValueLayout.ADDRESS.byteSize();
    }

    @Override
    void relax() {
        Thread.onSpinWait();
    }

    @Override
    public void set(final long off, final byte value, final long len) {
        checkSet(off, len);
        try {
            segment.asSlice(off, len).fill(value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, len, true, e);
        }
        Reference.reachabilityFence(this);
    }

    /** Of elements that are inside the array; the segment checks the rest, but not what there is no byte of. */
    private void copyIn(
        final long off, final Object array, final int arrayOff, final int len, final ValueLayout layout) {
        if (len == 0) {
            writable(off, 0L);
            return;
        }
        try {
            MemorySegment.copy(array, arrayOff, segment, layout, off, len);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, len * layout.byteSize(), true, e);
        }
        Reference.reachabilityFence(this);
    }

    /** As {@link #copyIn}. */
    private void copyOut(
        final long off, final Object array, final int arrayOff, final int len, final ValueLayout layout) {
        if (len == 0) {
            readable(off, 0L);
            return;
        }
        try {
            MemorySegment.copy(segment, layout, off, array, arrayOff, len);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, len * layout.byteSize(), false, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    void copy(final long off, final MappedMemory target, final long targetOff, final long len) {
        try {
            MemorySegment.copy(segment, off, ((ForeignMemory) target).segment, targetOff, len);
        } catch (final RuntimeException | InternalError e) {
            throw isValid() ? target.failed(targetOff, len, true, e) : failed(off, len, false, e);
        }
        Reference.reachabilityFence(target);
        Reference.reachabilityFence(this);
    }

    @Override
    ByteBuffer buffer(final long off, final int len) {
        try {
            return viewed.asSlice(start + off, len).asByteBuffer();
        } catch (final RuntimeException e) {
            throw failed(off, len, false, e);
        }
    }

    @Override
    Object newerView(final long off, final long len, final Class<?> type) {
        try {
            return type == MemorySegment.class ? viewed.asSlice(start + off, len) : null;
        } catch (final RuntimeException e) {
            throw failed(off, len, false, e);
        }
    }

    @Override
    long loadWord(final long at) {
        try {
            final long word = (long) ALIGNED_LONG.getVolatile(whole, at);
            Reference.reachabilityFence(this);
            return word;
        } catch (final RuntimeException | InternalError e) {
            throw failed(0, 0, false, e);
        }
    }

    @Override
    boolean swapWord(final long at, final long expect, final long update) {
        try {
            final boolean swapped = (boolean) ALIGNED_LONG.compareAndSet(whole, at, expect, update);
            Reference.reachabilityFence(this);
            return swapped;
        } catch (final RuntimeException | InternalError e) {
            throw failed(0, 0, true, e);
        }
    }

    @Override
    void done() {
        Reference.reachabilityFence(this);
    }

    /** Segments take aligned numbers only. On Windows closing takes the address away. */
    @Override
    boolean goesByAddress() {
        return !WINDOWS;
    }

    @Override
    public void write(final long off, final byte[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, ValueLayout.JAVA_BYTE);
    }

    @Override
    public void read(final long off, final byte[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, ValueLayout.JAVA_BYTE);
    }

    @Override
    public void write(final long off, final char[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, CHAR);
    }

    @Override
    public void read(final long off, final char[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, CHAR);
    }

    @Override
    public void write(final long off, final short[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, SHORT);
    }

    @Override
    public void read(final long off, final short[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, SHORT);
    }

    @Override
    public void write(final long off, final int[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, INT);
    }

    @Override
    public void read(final long off, final int[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, INT);
    }

    @Override
    public void write(final long off, final long[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, LONG);
    }

    @Override
    public void read(final long off, final long[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, LONG);
    }

    @Override
    public void write(final long off, final float[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, FLOAT);
    }

    @Override
    public void read(final long off, final float[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, FLOAT);
    }

    @Override
    public void write(final long off, final double[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyIn(off, buffer, bufferOff, len, DOUBLE);
    }

    @Override
    public void read(final long off, final double[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        copyOut(off, buffer, bufferOff, len, DOUBLE);
    }

    @Override
    public void write(final long off, final byte value) {
        try {
            segment.set(ValueLayout.JAVA_BYTE, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 1, true, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    public byte read(final long off) {
        try {
            final byte value = narrowed(segment.get(ValueLayout.JAVA_BYTE, off));
            Reference.reachabilityFence(this);
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 1, false, e);
        }
    }

    @Override
    public void write(final long off, final short value) {
        try {
            segment.set(SHORT, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 2, true, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    public short readShort(final long off) {
        try {
            final short value = narrowed(segment.get(SHORT, off));
            Reference.reachabilityFence(this);
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 2, false, e);
        }
    }

    @Override
    public void write(final long off, final int value) {
        try {
            segment.set(INT, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    public int readInt(final long off) {
        try {
            final int value = narrowed(segment.get(INT, off));
            Reference.reachabilityFence(this);
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, false, e);
        }
    }

    @Override
    public void write(final long off, final long value) {
        try {
            segment.set(LONG, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    public long readLong(final long off) {
        try {
            final long value = segment.get(LONG, off);
            Reference.reachabilityFence(this);
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, false, e);
        }
    }

    @Override
    public void write(final long off, final float value) {
        try {
            segment.set(FLOAT, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    public float readFloat(final long off) {
        try {
            final float value = segment.get(FLOAT, off);
            Reference.reachabilityFence(this);
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, false, e);
        }
    }

    @Override
    public void write(final long off, final double value) {
        try {
            segment.set(DOUBLE, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
        Reference.reachabilityFence(this);
    }

    @Override
    public double readDouble(final long off) {
        try {
            final double value = segment.get(DOUBLE, off);
            Reference.reachabilityFence(this);
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, false, e);
        }
    }

    @Override
    public byte readByteAcquire(final long off) {
        try {
            final byte value = narrowed((byte) ALIGNED_BYTE.getAcquire(segment, off));
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 1, false, e);
        }
    }

    @Override
    public byte readByteVolatile(final long off) {
        try {
            final byte value = narrowed((byte) ALIGNED_BYTE.getVolatile(segment, off));
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 1, false, e);
        }
    }

    @Override
    public void writeByteRelease(final long off, final byte value) {
        fence();
        try {
            ALIGNED_BYTE.setRelease(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 1, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public void writeByteVolatile(final long off, final byte value) {
        fence();
        try {
            ALIGNED_BYTE.setVolatile(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 1, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public short readShortAcquire(final long off) {
        if (!isAligned(off, 2)) {
            return unalignedShort(off);
        }
        try {
            final short value = narrowed((short) ALIGNED_SHORT.getAcquire(segment, off));
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 2, false, e);
        }
    }

    @Override
    public short readShortVolatile(final long off) {
        if (!isAligned(off, 2)) {
            return unalignedShort(off);
        }
        try {
            final short value = narrowed((short) ALIGNED_SHORT.getVolatile(segment, off));
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 2, false, e);
        }
    }

    @Override
    public void writeShortRelease(final long off, final short value) {
        if (!isAligned(off, 2)) {
            getAndSet(off, value);
            return;
        }
        fence();
        try {
            ALIGNED_SHORT.setRelease(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 2, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public void writeShortVolatile(final long off, final short value) {
        if (!isAligned(off, 2)) {
            getAndSet(off, value);
            return;
        }
        fence();
        try {
            ALIGNED_SHORT.setVolatile(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 2, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public int readIntAcquire(final long off) {
        if (!isAligned(off, 4)) {
            return unalignedInt(off);
        }
        try {
            final int value = narrowed((int) ALIGNED_INT.getAcquire(segment, off));
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, false, e);
        }
    }

    @Override
    public int readIntVolatile(final long off) {
        if (!isAligned(off, 4)) {
            return unalignedInt(off);
        }
        try {
            final int value = narrowed((int) ALIGNED_INT.getVolatile(segment, off));
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, false, e);
        }
    }

    @Override
    public void writeIntRelease(final long off, final int value) {
        if (!isAligned(off, 4)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        try {
            ALIGNED_INT.setRelease(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public void writeIntVolatile(final long off, final int value) {
        if (!isAligned(off, 4)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        try {
            ALIGNED_INT.setVolatile(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public long readLongAcquire(final long off) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndAdd(off, 0L);
        }
        try {
            final long value = (long) ALIGNED_LONG.getAcquire(segment, off);
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, false, e);
        }
    }

    @Override
    public long readLongVolatile(final long off) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndAdd(off, 0L);
        }
        try {
            final long value = (long) ALIGNED_LONG.getVolatile(segment, off);
            Reference.reachabilityFence(this);
            fence();
            return value;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, false, e);
        }
    }

    @Override
    public void writeLongRelease(final long off, final long value) {
        if (!isAligned(off, 8)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        try {
            ALIGNED_LONG.setRelease(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public void writeLongVolatile(final long off, final long value) {
        if (!isAligned(off, 8)) {
            unalignedGetAndSet(off, value);
            return;
        }
        fence();
        try {
            ALIGNED_LONG.setVolatile(segment, off, value);
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
        Reference.reachabilityFence(this);
        fence();
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        if (!isAligned(off, 4)) {
            return unalignedGetAndAdd(off, delta);
        }
        try {
            final int result = (int) ALIGNED_INT.getAndAdd(segment, off, delta);
            Reference.reachabilityFence(this);
            return result;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
    }

    @Override
    public int getAndSet(final long off, final int value) {
        if (!isAligned(off, 4)) {
            return unalignedGetAndSet(off, value);
        }
        try {
            final int result = (int) ALIGNED_INT.getAndSet(segment, off, value);
            Reference.reachabilityFence(this);
            return result;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
    }

    @Override
    public boolean compareAndSet(final long off, final int expect, final int update) {
        if (!isAligned(off, 4)) {
            return unalignedCompareAndSet(off, expect, update);
        }
        try {
            final boolean result = (boolean) ALIGNED_INT.compareAndSet(segment, off, expect, update);
            Reference.reachabilityFence(this);
            return result;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 4, true, e);
        }
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndAdd(off, delta);
        }
        try {
            final long result = (long) ALIGNED_LONG.getAndAdd(segment, off, delta);
            Reference.reachabilityFence(this);
            return result;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
    }

    @Override
    public long getAndSet(final long off, final long value) {
        if (!isAligned(off, 8)) {
            return unalignedGetAndSet(off, value);
        }
        try {
            final long result = (long) ALIGNED_LONG.getAndSet(segment, off, value);
            Reference.reachabilityFence(this);
            return result;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
    }

    @Override
    public boolean compareAndSet(final long off, final long expect, final long update) {
        if (!isAligned(off, 8)) {
            return unalignedCompareAndSet(off, expect, update);
        }
        try {
            final boolean result = (boolean) ALIGNED_LONG.compareAndSet(segment, off, expect, update);
            Reference.reachabilityFence(this);
            return result;
        } catch (final RuntimeException | InternalError e) {
            throw failed(off, 8, true, e);
        }
    }
}
