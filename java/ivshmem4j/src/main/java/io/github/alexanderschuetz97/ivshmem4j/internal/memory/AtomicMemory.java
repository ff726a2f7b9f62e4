package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Ordered accesses that Java has no instruction for, and waiting.
 *
 * <p>A number that lies inside an aligned word of 8 bytes is read with the word, and changed by comparing and
 * exchanging the word until nothing beside it has changed meanwhile. For everybody else that is one step: the processor
 * holds the cache line meanwhile, so the bytes beside the number are written back as they are. An int or a long that crosses such a
 * word and no cache line is changed at its address, where the processor takes any. The native library does the rest: numbers
 * that cross a cache line, and small ones in the last bytes of a mapping whose size is no multiple of 8.
 *
 * <p>The first byte of a word is its lowest one: the native library exists for such processors only.
 */
abstract class AtomicMemory extends BulkMemory {

    private static final int WORD = 8;
    private static final int CACHE_LINE = 64;
    /** Whether the processor changes a number at any address in one step; slowly, and for the whole machine, across cache lines. */
    private static final boolean TAKES_ANY_ADDRESS = System.getProperty("os.arch").matches("amd64|x86_64");

    private final Waiting waiting = new Waiting();
    private final Runnable relax = this::relax;

    AtomicMemory(final Mapping mapping, final Runnable onClose) {
        super(mapping, onClose);
    }

    AtomicMemory(final MappedMemory parent, final long off, final long len) {
        super(parent, off, len);
    }

    /** Reads, as volatile, an aligned word at an offset of the mapping. */
    abstract long loadWord(long at);

    /** Compares and exchanges an aligned word at an offset of the mapping. */
    abstract boolean swapWord(long at, long expect, long update);

    /** Whether the functions below can be used: closing leaves the address good while an access uses it. */
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

    /** Tells the processor that this thread waits for another one. */
    void relax() {}

    /** Whether the processor reads or writes a number there as a whole. */
    final boolean isAligned(final long off, final int len) {
        return (address + off & len - 1) == 0;
    }

    /** Where in the mapping the word is that holds all of a number; -1 if there is none. Mappings begin with a page. */
    private long wordOf(final long off, final int len) {
        final long at = start + off;
        final long word = at & -WORD;
        return at + len <= word + WORD && word + WORD <= mapping.size ? word : -1;
    }

    /** Whether a number that is not aligned is changed at its address. */
    private boolean isInCacheLine(final long off, final int len) {
        return TAKES_ANY_ADDRESS && (address + off & CACHE_LINE - 1) + len <= CACHE_LINE && goesByAddress();
    }

    /** How many bits of the word are before the number. */
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
                // Which has no instruction that would be one.
                fence();
                return false;
            }
            if (swapWord(word, before, before & ~(mask << shift) | (update & mask) << shift)) {
                return true;
            }
        }
    }

    /** An ordered read at any place. */
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

    /** An ordered read at any place. */
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

    // No number of 8 bytes that is not aligned is inside an aligned word of 8.

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
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
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
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
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
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
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
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
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
        // What was seen may be the zeroes that replace closed pages.
        checkOpen();
        return met;
    }

    private static void orCancelled(final boolean met) {
        if (!met) {
            throw new CancellationException("stopSpin() was called");
        }
    }
}
