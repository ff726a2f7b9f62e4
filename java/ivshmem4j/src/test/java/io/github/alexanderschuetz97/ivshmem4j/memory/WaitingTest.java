package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.util.concurrent.CancellationException;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Waits for values, and the events that end them. */
@Timeout(60)
class WaitingTest {

    private static final int SIZE = 64;

    private static <T> FutureTask<T> start(final Callable<T> call) {
        final FutureTask<T> task = new FutureTask<>(call);
        final Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        return task;
    }

    private static Throwable failure(final FutureTask<?> task) throws Exception {
        return assertThrows(ExecutionException.class, () -> task.get(30, TimeUnit.SECONDS)).getCause();
    }

    /** Long enough for a thread to start waiting on an idle machine; on a busy one the test proves less. */
    private static void settle() throws InterruptedException {
        Thread.sleep(50);
    }

    @ParameterizedTest
    @ValueSource(longs = {-1, 0, 1})
    void aWriterInAnotherMappingEndsTheWait(final long sleepMillis) throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory other = region.again().getMemory();
            final FutureTask<Boolean> spin =
                start(() -> region.memory.spin(13, 77, sleepMillis, -1, TimeUnit.MILLISECONDS));
            settle();
            assertFalse(spin.isDone());
            other.write(13, 77);
            assertTrue(spin.get(30, TimeUnit.SECONDS));
            other.close();
        }
    }

    @Test
    void onlyOneOfManyThatWaitSets() throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            final FutureTask<Integer> first = start(() -> winner(memory));
            final FutureTask<Integer> second = start(() -> winner(memory));
            assertEquals(2 * 5000, first.get() + second.get());
            assertEquals(0, memory.readLong(8));
        }
    }

    /** A lock made with spinAndSet around a plain counter. */
    private static int winner(final NativeMemory memory) {
        int done = 0;
        for (; done < 5000; done++) {
            memory.spinAndSet(8, 0L, 1L, 0, TimeUnit.SECONDS);
            final int count = memory.readInt(24);
            memory.write(24, count + 1);
            assertEquals(count + 1, memory.readInt(24));
            memory.writeLongRelease(8, 0L);
        }
        return done;
    }

    @ParameterizedTest
    @ValueSource(longs = {-1, 0, 3_600_000})
    void closingWakesWhoWaits(final long sleepMillis) throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            memory.write(0, 1);
            final FutureTask<Boolean> timed = start(() -> memory.spin(0, 0, sleepMillis, -1, TimeUnit.MILLISECONDS));
            final FutureTask<Boolean> set =
                start(() -> memory.spinAndSet(1, (byte) 9, (byte) 1, sleepMillis, 3_600_000, TimeUnit.MILLISECONDS));
            final FutureTask<Void> forEver = start(() -> {
                memory.spin(3, (short) 5, sleepMillis, TimeUnit.MILLISECONDS);
                return null;
            });
            settle();
            memory.close();
            // The waits must not report the value 0 of the pages that replace closed memory.
            assertEquals(IllegalStateException.class, failure(timed).getClass());
            assertEquals(IllegalStateException.class, failure(set).getClass());
            assertEquals(IllegalStateException.class, failure(forEver).getClass());
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {-1, 0, 3_600_000})
    void stopSpinEndsWaitsButNotTheMemory(final long sleepMillis) throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            final FutureTask<Boolean> timed =
                start(() -> memory.spin(0, 5L, sleepMillis, -1, TimeUnit.MILLISECONDS));
            final FutureTask<Void> forEver = start(() -> {
                memory.spinAndSet(0, 5L, 6L, sleepMillis, TimeUnit.MILLISECONDS);
                return null;
            });
            settle();
            // Repeated, in case one of them has not started to wait yet.
            while (!timed.isDone() || !forEver.isDone()) {
                memory.stopSpin();
                Thread.sleep(5);
            }
            assertFalse(timed.get(30, TimeUnit.SECONDS));
            assertEquals(CancellationException.class, failure(forEver).getClass());
            assertFalse(memory.spin(0, 5L, -1, 1, TimeUnit.MILLISECONDS));
            assertTrue(memory.spin(0, 0L, -1, 1, TimeUnit.MILLISECONDS));
        }
    }

    @Test
    void aWaitLastsItsTime() {
        try (Region region = new Region(SIZE)) {
            for (final long sleep : new long[] {-1, 0, 1, 1000}) {
                final long begin = System.nanoTime();
                assertFalse(region.memory.spin(0, 1, sleep, 30, TimeUnit.MILLISECONDS));
                assertTrue(System.nanoTime() - begin >= 30_000_000, "sleep " + sleep);
            }
        }
    }

    @Test
    void noTimeIsOneLook() {
        try (Region region = new Region(SIZE)) {
            assertTrue(region.memory.spin(0, 0, 1, 0, TimeUnit.DAYS));
            assertFalse(region.memory.spin(0, 1, 1, 0, TimeUnit.DAYS));
            assertTrue(region.memory.spinAndSet(0, 0, 1, 1, 0, TimeUnit.DAYS));
            assertFalse(region.memory.spinAndSet(0, 0, 2, 1, 0, TimeUnit.DAYS));
            assertEquals(1, region.memory.readInt(0));
        }
    }

    @Test
    void anInterruptNeitherEndsTheWaitNorIsLost() throws Exception {
        try (Region region = new Region(SIZE)) {
            final FutureTask<Boolean> spin = new FutureTask<>(() -> {
                region.memory.spin(0, 1, 20, TimeUnit.MILLISECONDS);
                return Thread.currentThread().isInterrupted();
            });
            final Thread thread = new Thread(spin);
            thread.start();
            settle();
            thread.interrupt();
            settle();
            assertFalse(spin.isDone());
            region.memory.write(0, 1);
            assertTrue(spin.get(30, TimeUnit.SECONDS));
        }
    }
}
