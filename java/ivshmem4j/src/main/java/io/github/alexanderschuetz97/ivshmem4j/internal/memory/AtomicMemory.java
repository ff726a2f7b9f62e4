package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Ordered accesses for which Java has no instruction, and waits.
 *
 * <p>A number inside an aligned word of 8 bytes is read with the word, and changed by a compare-and-exchange of the word,
 * repeated until no neighbouring byte has changed in between. Other programs see one step: the processor holds the cache
 * line during the exchange, so the neighbouring bytes are written back unchanged. An int or a long that crosses such a word
 * but no cache line is changed at its address, if the processor supports any address. The native library does the rest:
 * numbers that cross a cache line, and numbers smaller than a word in the last bytes of a mapping whose size is not a
 * multiple of 8.
 *
 * <p>The code assumes a little-endian processor, as the native library exists only for such processors.
 */
abstract class AtomicMemory extends BulkMemory {

    private static final int WORD = 8;
    private static final int CACHE_LINE = 64;
    /**
     * Whether the processor changes a number at any address atomically. Across cache lines this is slow, and locks the bus
     * of the whole machine.
     */
    private static final boolean TAKES_ANY_ADDRESS = System.getProperty("os.arch").matches("amd64|x86_64");

    private final Waiting waiting = new Waiting();
    private final Runnable relax = this::relax;

    AtomicMemory(final Mapping mapping, final Runnable onClose) {
        super(mapping, onClose);
    }

    AtomicMemory(final MappedMemory parent, final long off, final long len) {
        super(parent, off, len);
    }

    /** Reads an aligned word at an offset of the mapping. Ordered: volatile. */
    abstract long loadWord(long at);

    /** Compares and exchanges an aligned word at an offset of the mapping. */
    abstract boolean swapWord(long at, long expect, long update);

    /** Whether the functions below can be used: the address stays valid during an access, even if the memory is closed. */
    abstract boolean goesByAddress();

    /** Adds at an offset, which need not be aligned. */
    int addAt(final long off, final int delta) {
        return NativeLibrary.getAndAddAt(address + off, delta);
    }

    /** Adds at an offset, which need not be aligned. */
    long addAt(final long off, final long delta) {
        return NativeLibrary.getAndAddAt(address + off, delta);
    }

    /** Exchanges at an offset, which need not be aligned. */
    int setAt(final long off, final int value) {
        return NativeLibrary.getAndSetAt(address + off, value);
    }

    /** Exchanges at an offset, which need not be aligned. */
    long setAt(final long off, final long value) {
        return NativeLibrary.getAndSetAt(address + off, value);
    }

    /** Compares and exchanges at an offset, which need not be aligned. */
    boolean swapAt(final long off, final int expect, final int update) {
        return NativeLibrary.compareAndSetAt(address + off, expect, update);
    }

    /** Compares and exchanges at an offset, which need not be aligned. */
    boolean swapAt(final long off, final long expect, final long update) {
        return NativeLibrary.compareAndSetAt(address + off, expect, update);
    }

    /** Hints to the processor that this thread waits for another one. */
    void relax() {}

    /** Whether the processor reads and writes a number at this offset atomically. */
    final boolean isAligned(final long off, final int len) {
        return (address + off & len - 1) == 0;
    }

    /**
     * The offset in the mapping of the aligned word that contains a number completely; -1 if there is none. Mappings begin
     * at a page.
     */
    private long wordOf(final long off, final int len) {
        final long at = start + off;
        final long word = at & -WORD;
        return at + len <= word + WORD && word + WORD <= mapping.size ? word : -1;
    }

    /** Whether an unaligned number is changed at its address. */
    private boolean isInCacheLine(final long off, final int len) {
        return TAKES_ANY_ADDRESS && (address + off & CACHE_LINE - 1) + len <= CACHE_LINE && goesByAddress();
    }

    /** The number of bits of the word before the number. */
    private int shiftOf(final long off) {
        return (int) (start + off & WORD - 1) * 8;
    }

    private long addInWord(final long word, final int shift, final long mask, final long delta) {
        while (true) {
            final long before = loadWord(word);
            final long part = before >>> shift;
            if (swapWord(word, before, before & ~(mask << shift) | (part + delta & mask) << shift)) {
                return part;
            }
        }
    }

    private long setInWord(final long word, final int shift, final long mask, final long value) {
        while (true) {
            final long before = loadWord(word);
            if (swapWord(word, before, before & ~(mask << shift) | (value & mask) << shift)) {
                return before >>> shift;
            }
        }
    }

    private boolean compareAndSetInWord(
        final long word, final int shift, final long mask, final long expect, final long update) {
        while (true) {
            final long before = loadWord(word);
            if ((before >>> shift & mask) != (expect & mask)) {
                // A failed comparison executes no instruction that is a fence.
                fence();
                return false;
            }
            if (swapWord(word, before, before & ~(mask << shift) | (update & mask) << shift)) {
                return true;
            }
        }
    }

    /** An ordered read at any alignment. */
    final short unalignedShort(final long off) {
        final long word = wordOf(off, 2);
        if (word < 0) {
            return getAndAdd(off, (short) 0);
        }
        reading(off, 2);
        final short value = (short) (loadWord(word) >>> shiftOf(off));
        done();
        fence();
        return value;
    }

    /** An ordered read at any alignment. */
    final int unalignedInt(final long off) {
        final long word = wordOf(off, 4);
        if (word < 0) {
            return unalignedGetAndAdd(off, 0);
        }
        reading(off, 4);
        final int value = (int) (loadWord(word) >>> shiftOf(off));
        done();
        fence();
        return value;
    }

    @Override
    public final void writePointer(final long off, final long value) {
        if (pointerBytes() == 8) {
            write(off, value);
        } else {
            write(off, (int) value);
        }
    }

    @Override
    public final long readPointer(final long off) {
        return pointerBytes() == 8 ? readLong(off) : readUnsignedInt(off);
    }

    @Override
    public final boolean supportsAtomicOperations() {
        return true;
    }

    @Override
    public final boolean supports16ByteCompareAndSet() {
        return NativeLibrary.supports16ByteCompareAndSet();
    }

    @Override
    public final boolean atomic8ByteOperationsRequireAlignment() {
        return pointerBytes() < 8;
    }

    @Override
    public final byte getAndAdd(final long off, final byte delta) {
        writing(off, 1);
        try {
            final long word = wordOf(off, 1);
            return word < 0
                ? NativeLibrary.getAndAdd(mapping.handle, start + off, delta)
                : (byte) addInWord(word, shiftOf(off), 0xff, delta);
        } finally {
            done();
        }
    }

    @Override
    public final byte getAndSet(final long off, final byte value) {
        writing(off, 1);
        try {
            final long word = wordOf(off, 1);
            return word < 0
                ? NativeLibrary.getAndSet(mapping.handle, start + off, value)
                : (byte) setInWord(word, shiftOf(off), 0xff, value);
        } finally {
            done();
        }
    }

    @Override
    public final boolean compareAndSet(final long off, final byte expect, final byte update) {
        writing(off, 1);
        try {
            final long word = wordOf(off, 1);
            return word < 0
                ? NativeLibrary.compareAndSet(mapping.handle, start + off, expect, update)
                : compareAndSetInWord(word, shiftOf(off), 0xff, expect, update);
        } finally {
            done();
        }
    }

    @Override
    public final short getAndAdd(final long off, final short delta) {
        writing(off, 2);
        try {
            final long word = wordOf(off, 2);
            return word < 0
                ? NativeLibrary.getAndAdd(mapping.handle, start + off, delta)
                : (short) addInWord(word, shiftOf(off), 0xffff, delta);
        } finally {
            done();
        }
    }

    @Override
    public final short getAndSet(final long off, final short value) {
        writing(off, 2);
        try {
            final long word = wordOf(off, 2);
            return word < 0
                ? NativeLibrary.getAndSet(mapping.handle, start + off, value)
                : (short) setInWord(word, shiftOf(off), 0xffff, value);
        } finally {
            done();
        }
    }

    @Override
    public final boolean compareAndSet(final long off, final short expect, final short update) {
        writing(off, 2);
        try {
            final long word = wordOf(off, 2);
            return word < 0
                ? NativeLibrary.compareAndSet(mapping.handle, start + off, expect, update)
                : compareAndSetInWord(word, shiftOf(off), 0xffff, expect, update);
        } finally {
            done();
        }
    }

    final int unalignedGetAndAdd(final long off, final int delta) {
        writing(off, 4);
        try {
            final long word = wordOf(off, 4);
            if (word >= 0) {
                return (int) addInWord(word, shiftOf(off), 0xffff_ffffL, delta);
            }
            return isInCacheLine(off, 4) ? addAt(off, delta) : NativeLibrary.getAndAdd(mapping.handle, start + off, delta);
        } finally {
            done();
        }
    }

    final int unalignedGetAndSet(final long off, final int value) {
        writing(off, 4);
        try {
            final long word = wordOf(off, 4);
            if (word >= 0) {
                return (int) setInWord(word, shiftOf(off), 0xffff_ffffL, value);
            }
            return isInCacheLine(off, 4) ? setAt(off, value) : NativeLibrary.getAndSet(mapping.handle, start + off, value);
        } finally {
            done();
        }
    }

    final boolean unalignedCompareAndSet(final long off, final int expect, final int update) {
        writing(off, 4);
        try {
            final long word = wordOf(off, 4);
            if (word >= 0) {
                return compareAndSetInWord(word, shiftOf(off), 0xffff_ffffL, expect, update);
            }
            return isInCacheLine(off, 4)
                ? swapAt(off, expect, update) : NativeLibrary.compareAndSet(mapping.handle, start + off, expect, update);
        } finally {
            done();
        }
    }

    // An unaligned number of 8 bytes is never inside an aligned word of 8 bytes.

    final long unalignedGetAndAdd(final long off, final long delta) {
        writing(off, 8);
        try {
            return isInCacheLine(off, 8) ? addAt(off, delta) : NativeLibrary.getAndAdd(mapping.handle, start + off, delta);
        } finally {
            done();
        }
    }

    final long unalignedGetAndSet(final long off, final long value) {
        writing(off, 8);
        try {
            return isInCacheLine(off, 8) ? setAt(off, value) : NativeLibrary.getAndSet(mapping.handle, start + off, value);
        } finally {
            done();
        }
    }

    final boolean unalignedCompareAndSet(final long off, final long expect, final long update) {
        writing(off, 8);
        try {
            return isInCacheLine(off, 8)
                ? swapAt(off, expect, update) : NativeLibrary.compareAndSet(mapping.handle, start + off, expect, update);
        } finally {
            done();
        }
    }

    @Override
    public final boolean compareAndSet(final long off, final byte[] data) {
        if (data.length != 32) {
            throw new IllegalArgumentException("16 bytes expected and 16 new ones are 32 bytes, not " + data.length);
        }
        writing(off, 16);
        try {
            return NativeLibrary.compareAndSet16(mapping.handle, start + off, data);
        } finally {
            done();
        }
    }

    @Override
    public final boolean spin(
        final long off, final byte expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readByteVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final byte expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final byte expect,
        final byte update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 1);
        // A read costs less than an attempt, and leaves the cache line to the writer.
        return until(
            () -> readByteVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final byte expect, final byte update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final boolean spin(
        final long off, final short expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readShortVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final short expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final short expect,
        final short update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 2);
        // A read costs less than an attempt, and leaves the cache line to the writer.
        return until(
            () -> readShortVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final short expect, final short update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final boolean spin(
        final long off, final int expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readIntVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final int expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final int expect,
        final int update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 4);
        // A read costs less than an attempt, and leaves the cache line to the writer.
        return until(
            () -> readIntVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final int expect, final int update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final boolean spin(
        final long off, final long expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readLongVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final long expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final long expect,
        final long update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 8);
        // A read costs less than an attempt, and leaves the cache line to the writer.
        return until(
            () -> readLongVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final long expect, final long update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final void stopSpin() {
        checkOpen();
        wake();
    }

    @Override
    final void wake() {
        waiting.stop();
    }

    private boolean until(
        final BooleanSupplier condition, final long sleep, final long timeout, final TimeUnit unit) {
        final boolean met = waiting.until(condition, relax, sleep, timeout, unit);
        // The value that was found may be a zero of the pages that replace closed memory.
        checkOpen();
        return met;
    }

    private static void orCancelled(final boolean met) {
        if (!met) {
            throw new CancellationException("stopSpin() was called");
        }
    }
}
