package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Script;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.nio.file.Path;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A peer makes a vector's eventfd blocking, and fills its counter again after each read. */
// In a separate thread, as a thread that waits for such a lock cannot be ended.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class FullCounterTest {

    private static final long ATTACK_MILLIS = Long.getLong("ivshmem4j.attack.millis", 1500);
    /** Only a wait that no thread ends takes that long. */
    private static final long HANG_MILLIS = 20_000;

    @TempDir
    Path folder;

    @Test
    void threadsThatInterruptAndCallbacksThatComeAndGoAreNotHeldUp() throws Exception {
        final Queue<CompletableFuture<Integer>> futures = new ConcurrentLinkedQueue<>();
        // Each future is cancelled when its interrupt arrives, so another receiver must get the interrupt.
        final Executor givingUp = job -> {
            futures.forEach(future -> future.cancel(false));
            job.run();
        };
        final AtomicLong heard = new AtomicLong();
        try (IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).start();
            IvshmemMemory device = Ivshmem.doorbell(server.getPath(), 5000, givingUp)) {
            final Process filler = Script.start("filling", "fill_counter.py", server.getPath());
            if (filler == null) {
                System.out.println("SKIP threadsThatInterruptAndCallbacksThatComeAndGoAreNotHeldUp: there is no python3");
                return;
            }
            final Thread waits = new Thread(() -> {
                while (!device.isClosed()) {
                    try {
                        device.waitInterrupt(0);
                        heard.incrementAndGet();
                    } catch (final InterruptedException | IllegalStateException e) {
                        continue;
                    }
                }
            });
            try {
                waits.start();
                final Progress interrupts = new Progress(waits::interrupt);
                final Progress callbacks = new Progress(() -> {
                    futures.add(device.nextInterrupt(0));
                    futures.add(device.nextInterrupt(0));
                    if (futures.size() > 100) {
                        futures.forEach(future -> future.cancel(false));
                        futures.clear();
                    }
                });
                for (final long end = System.nanoTime() + ATTACK_MILLIS * 1_000_000; System.nanoTime() < end || heard.get() == 0;) {
                    interrupts.check("interrupting a thread");
                    callbacks.check("asking for an interrupt");
                    Thread.sleep(20);
                }
                interrupts.over = true;
                callbacks.over = true;
            } finally {
                filler.destroyForcibly().waitFor();
            }
            assertEquals("", String.join("\n", threads("ivshmem4j-bell")));
        }
    }

    /** The names of threads with a prefix, after the threads have had time to end. */
    private static Iterable<String> threads(final String name) throws InterruptedException {
        for (int tries = 0;; tries++) {
            final Queue<String> found = new ConcurrentLinkedQueue<>();
            Thread.getAllStackTraces().keySet().stream().map(Thread::getName).filter(n -> n.startsWith(name)).forEach(found::add);
            if (found.isEmpty() || tries > 500) {
                return found;
            }
            Thread.sleep(20);
        }
    }

    /** A thread that repeats an action. */
    private static final class Progress {

        private volatile long last = System.nanoTime();
        private volatile boolean over;
        private volatile Throwable thrown;

        Progress(final Runnable action) {
            final Thread thread = new Thread(() -> {
                try {
                    while (!over) {
                        action.run();
                        last = System.nanoTime();
                        Thread.sleep(1);
                    }
                } catch (final Throwable e) {
                    thrown = e;
                }
            });
            thread.setDaemon(true);
            thread.start();
        }

        void check(final String what) {
            assertEquals(null, thrown);
            assertTrue(System.nanoTime() - last < HANG_MILLIS * 1_000_000, () -> what + " hangs");
        }
    }
}
