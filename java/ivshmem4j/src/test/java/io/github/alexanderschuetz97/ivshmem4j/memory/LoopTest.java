package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIf;

/** Closing while a thread only accesses memory in a compiled loop. */
@Timeout(120)
class LoopTest {

    private static final int SIZE = 1 << 20;
    private static final int LONG_COPY = 1 << 19;
    /** The number of accesses of one run; a compiled access takes less than 20 ns. */
    private static final long WARM_UP = 200_000;
    /** Whether accesses use segments, whose loops end on closing. */
    private static final boolean BY_SEGMENTS = !System.getProperty("java.specification.version").startsWith("1.")
        && Integer.parseInt(System.getProperty("java.specification.version")) >= 22
        && !System.getProperty("ivshmem4j.memory", "foreign").matches("unsafe|guarded");

    /** The result of the reads in the loops. */
    private static volatile long seen;

    /** Repeats an access. Each implementation has its own loop, which is compiled separately. */
    private interface Loop {
        void run(NativeMemory memory, long times);
    }

    private static Map<String, Loop> plainLoops() {
        final Map<String, Loop> loops = new LinkedHashMap<>();
        loops.put("readLong", (memory, times) -> {
            long sum = 0;
            for (long i = 0; i < times; i++) {
                sum += memory.readLong(8);
            }
            seen = sum;
        });
        loops.put("write", (memory, times) -> {
            for (long i = 0; i < times; i++) {
                memory.write(8, i);
            }
        });
        return loops;
    }

    private static Map<String, Loop> orderedLoops() {
        final Map<String, Loop> loops = new LinkedHashMap<>();
        loops.put("readLongAcquire", (memory, times) -> {
            long sum = 0;
            for (long i = 0; i < times; i++) {
                sum += memory.readLong(8) + memory.readLongAcquire(16);
            }
            seen = sum;
        });
        loops.put("writeIntRelease", (memory, times) -> {
            for (long i = 0; i < times; i++) {
                memory.writeIntRelease(8, (int) i);
            }
        });
        loops.put("isValid", (memory, times) -> {
            long sum = 0;
            for (long i = 0; i < times; i++) {
                sum += memory.readLong(8);
                if (!memory.isValid()) {
                    throw new IllegalStateException("closed");
                }
            }
            seen = sum;
        });
        return loops;
    }

    static boolean isBySegments() {
        return BY_SEGMENTS;
    }

    @Test
    @EnabledIf(value = "isBySegments", disabledReason = "loops of plain accesses may never notice before Java 22")
    void plainLoopsNoticeThatTheirMemoryOrTheirSliceWasClosed() throws Exception {
        checkThatTheyEnd(plainLoops());
    }

    @Test
    void loopsWithOneOrderedAccessNoticeOnEveryJava() throws Exception {
        checkThatTheyEnd(orderedLoops());
    }

    private static void checkThatTheyEnd(final Map<String, Loop> loops) throws Exception {
        for (final Map.Entry<String, Loop> loop : loops.entrySet()) {
            for (final String closed : new String[] {"memory", "memory of the slice", "slice"}) {
                try (Region region = new Region(SIZE)) {
                    final NativeMemory slice = region.memory.slice(16, 64);
                    final NativeMemory accessed = closed.equals("memory") ? region.memory : slice;
                    compile(loop.getValue(), accessed);
                    final CountDownLatch begins = new CountDownLatch(1);
                    final FutureTask<Void> task = start(() -> {
                        begins.countDown();
                        loop.getValue().run(accessed, Long.MAX_VALUE);
                    });
                    begins.await();
                    Thread.sleep(10);
                    (closed.equals("slice") ? slice : region.memory).close();
                    assertEnds(task, loop.getKey() + " in a loop, after the " + closed + " was closed");
                }
            }
        }
    }

    /** Runs a loop until it is as fast as compiled code. */
    private static void compile(final Loop loop, final NativeMemory memory) {
        for (int tries = 0, fast = 0; tries < 500 && fast < 5; tries++) {
            final long begin = System.nanoTime();
            loop.run(memory, WARM_UP);
            fast += System.nanoTime() - begin < WARM_UP * 20 ? 1 : 0;
        }
    }

    @Test
    void aThreadThatIsInTheMiddleOfACopyIsNotLeftInterrupted() throws Exception {
        final byte[] array = new byte[LONG_COPY];
        final Map<String, Consumer<NativeMemory>> copies = new LinkedHashMap<>();
        copies.put("set", memory -> memory.set(0, (byte) 1, SIZE));
        copies.put("write", memory -> memory.write(0, array));
        copies.put("read", memory -> memory.read(0, array));
        copies.put("copyTo", memory -> memory.copyTo(0, memory, LONG_COPY, LONG_COPY));
        copies.put("readLongVolatile", memory -> memory.readLongVolatile(8));
        for (final Map.Entry<String, Consumer<NativeMemory>> copy : copies.entrySet()) {
            for (int round = 0; round < 20; round++) {
                try (Region region = new Region(SIZE)) {
                    final FutureTask<Void> task = start(() -> {
                        try {
                            while (true) {
                                copy.getValue().accept(region.memory);
                            }
                        } finally {
                            assertFalse(Thread.currentThread().isInterrupted(), copy.getKey());
                        }
                    });
                    Thread.sleep(1 + round % 5);
                    region.memory.close();
                    assertEnds(task, copy.getKey());
                }
            }
        }
    }

    private static FutureTask<Void> start(final Runnable loop) {
        final FutureTask<Void> task = new FutureTask<>(loop, null);
        final Thread thread = new Thread(task, "loop");
        thread.setDaemon(true);
        thread.start();
        return task;
    }

    private static void assertEnds(final FutureTask<Void> task, final String what) {
        final ExecutionException ended = assertThrows(ExecutionException.class, () -> {
            try {
                task.get(20, TimeUnit.SECONDS);
            } catch (final TimeoutException e) {
                throw new AssertionError(what + " never ends", e);
            }
        });
        assertTrue(ended.getCause() instanceof IllegalStateException, () -> what + ": " + ended.getCause());
    }
}
