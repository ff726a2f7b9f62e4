package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/**
 * Java changes bytes, shorts and unaligned numbers by exchanging the word around them; the native library, like every other
 * program, uses one instruction on the number alone. Neither may lose a change of the other, in the number or next to it.
 */
@Timeout(120)
class PartOfWordTest {

    private static final int TIMES = 200_000;

    @TempDir
    Path folder;

    private long device;
    private long handle;
    private NativeMemory memory;

    @BeforeEach
    void open() {
        NativeLibrary.load();
        device = NativeLibrary.open("plain:" + folder.resolve("memory") + "?size=128");
        handle = NativeLibrary.deviceMemory(device);
        memory = Memories.of("test", handle, NativeLibrary.memoryAddress(handle), NativeLibrary.memorySize(handle), true,
            false, CacheMode.CACHED, () -> { });
    }

    @AfterEach
    void close() {
        memory.close();
        NativeLibrary.deviceClose(device);
        NativeLibrary.deviceFree(device);
    }

    @Test
    void bytesOfJavaAndOfTheNativeLibraryAreOneStepEach() throws Exception {
        inParallel(
            () -> memory.getAndAdd(9, (byte) 1),
            () -> NativeLibrary.getAndAdd(handle, 9, (byte) 3),
            () -> memory.getAndAdd(10, (byte) 5),
            () -> NativeLibrary.getAndAdd(handle, 11, (byte) 7),
            () -> increment(12));
        assertEquals((byte) (TIMES + 3 * TIMES), memory.read(9));
        assertEquals((byte) (5 * TIMES), memory.read(10));
        assertEquals((byte) (7 * TIMES), memory.read(11));
        assertEquals((byte) TIMES, memory.read(12));
        assertEquals(0, memory.read(8));
        assertEquals(0, memory.readShort(13) | memory.read(15));
    }

    @Test
    void shortsAtAllPlacesOfAWordAreOneStepEach() throws Exception {
        for (final long off : new long[] {16, 17, 21, 22}) {
            memory.zero();
            inParallel(
                () -> memory.getAndAdd(off, (short) 1),
                () -> NativeLibrary.getAndAdd(handle, off, (short) 3),
                () -> add(off, (short) 5),
                () -> NativeLibrary.getAndAdd(handle, off == 16 ? 18 : 16, (byte) 1));
            assertEquals((short) (9 * TIMES), memory.readShort(off), "at " + off);
        }
    }

    @Test
    void intsThatAreNotAlignedAreOneStepEach() throws Exception {
        for (final long off : new long[] {17, 18, 19}) {
            memory.zero();
            inParallel(
                () -> memory.getAndAdd(off, 1),
                () -> NativeLibrary.getAndAdd(handle, off, 3),
                () -> increment(16),
                () -> NativeLibrary.getAndAdd(handle, 23, (byte) 1));
            assertEquals(4 * TIMES, memory.readInt(off), "at " + off);
            assertEquals((byte) TIMES, memory.read(16), "at " + off);
            assertEquals((byte) TIMES, memory.read(23), "at " + off);
        }
    }

    @Test
    @DisabledIfSystemProperty(named = "os.arch", matches = "i.86|x86", disabledReason = "a long must be aligned on 32 bits")
    void longsThatCrossAWordAreOneStepEach() throws Exception {
        for (final long off : new long[] {17, 20, 55}) {
            memory.zero();
            inParallel(
                () -> memory.getAndAdd(off, 1L),
                () -> NativeLibrary.getAndAdd(handle, off, 3L << 32),
                () -> {
                    long before;
                    do {
                        before = memory.readLongVolatile(off);
                    } while (!memory.compareAndSet(off, before, before + (5L << 16)));
                    return null;
                },
                () -> increment(off - 1));
            assertEquals(TIMES * (1 + (3L << 32) + (5L << 16)), memory.readLong(off), "at " + off);
            assertEquals((byte) TIMES, memory.read(off - 1), "at " + off);
        }
    }

    @Test
    void intsThatCrossAWordAreOneStepEach() throws Exception {
        for (final long off : new long[] {21, 61}) {
            memory.zero();
            inParallel(
                () -> memory.getAndAdd(off, 1),
                () -> NativeLibrary.getAndAdd(handle, off, 3),
                () -> increment(off + 4));
            assertEquals(4 * TIMES, memory.readInt(off), "at " + off);
            assertEquals((byte) TIMES, memory.read(off + 4), "at " + off);
        }
    }

    /** A token in a long that crosses a word: an exchange takes it atomically. */
    @Test
    @DisabledIfSystemProperty(named = "os.arch", matches = "i.86|x86", disabledReason = "a long must be aligned on 32 bits")
    void aNumberThatCrossesAWordIsExchangedWhole() throws Exception {
        memory.write(29, -1L);
        final AtomicInteger taken = new AtomicInteger();
        final Callable<?> takes = () -> {
            final long got = memory.getAndSet(29, 0L);
            if (got != 0) {
                assertEquals(-1L, got);
                taken.incrementAndGet();
                memory.writeLongRelease(29, got);
            }
            return null;
        };
        inParallel(takes, takes);
        assertTrue(taken.get() > 0);
        assertEquals(-1L, memory.readLong(29));
    }

    /** A token in a short: the thread that takes it counts, and puts it back. */
    @Test
    void whatIsTakenByOneIsNotTakenByTheOther() throws Exception {
        memory.write(33, (short) 3);
        final int[] plain = new int[1];
        inParallel(
            () -> {
                while (!memory.compareAndSet(33, (short) 3, (short) 0)) {
                    Thread.yield();
                }
                plain[0]++;
                return memory.getAndSet(33, (short) 3);
            },
            () -> {
                while (!NativeLibrary.compareAndSet(handle, 33, (short) 3, (short) 0)) {
                    Thread.yield();
                }
                plain[0]++;
                return NativeLibrary.getAndSet(handle, 33, (short) 3);
            });
        assertEquals(2 * TIMES, plain[0]);
    }

    /** An ordered read of a part of a word never mixes two values. */
    @Test
    void aReaderSeesWholeNumbers() throws Exception {
        inParallel(
            () -> {
                NativeLibrary.getAndSet(handle, 41, memory.readIntVolatile(41) == 0 ? -1 : 0);
                return null;
            },
            () -> {
                memory.writeShortVolatile(45, (short) ~memory.readShortVolatile(45));
                return null;
            },
            () -> {
                final int number = memory.readIntAcquire(41);
                final short other = memory.readShortAcquire(45);
                if (number != 0 && number != -1 || other != 0 && other != -1) {
                    throw new AssertionError("a mixture: " + number + ", " + other);
                }
                return null;
            });
    }

    /** The native library checks its arguments itself and does not rely on the checks in Java. */
    @Test
    void theNativeLibraryRefusesWrongCallsItself() {
        for (final long off : new long[] {-1, 121, 128, Long.MAX_VALUE}) {
            assertThrows(IllegalArgumentException.class, () -> NativeLibrary.getAndAdd(handle, off, 1L));
            assertThrows(IllegalArgumentException.class, () -> NativeLibrary.getAndSet(handle, off, 1L));
            assertThrows(IllegalArgumentException.class, () -> NativeLibrary.compareAndSet(handle, off, 0L, 1L));
        }
        for (final long forged : new long[] {0, -1, handle + (1L << 32), Long.MAX_VALUE}) {
            assertThrows(IllegalStateException.class, () -> NativeLibrary.getAndAdd(forged, 0, (byte) 1));
            assertThrows(IllegalStateException.class, () -> NativeLibrary.compareAndSet(forged, 0, (short) 0, (short) 1));
        }
        assertEquals(0, memory.readLong(0) | memory.readLong(120));
    }

    /** Plain writes by the only writer: the byte would return to an older value if a word were written over it. */
    private Void increment(final long off) {
        final byte before = memory.readByteVolatile(off);
        memory.write(off, (byte) (before + 1));
        return null;
    }

    private Void add(final long off, final short delta) {
        short before;
        do {
            before = memory.readShortVolatile(off);
        } while (!memory.compareAndSet(off, before, (short) (before + delta)));
        return null;
    }

    private static void inParallel(final Callable<?>... steps) throws Exception {
        final CyclicBarrier begin = new CyclicBarrier(steps.length);
        final List<FutureTask<Void>> tasks = new ArrayList<>();
        for (final Callable<?> step : Arrays.asList(steps)) {
            final FutureTask<Void> task = new FutureTask<>(() -> {
                begin.await();
                for (int i = 0; i < TIMES; i++) {
                    step.call();
                }
                return null;
            });
            tasks.add(task);
            new Thread(task).start();
        }
        for (final FutureTask<Void> task : tasks) {
            task.get();
        }
    }
}
