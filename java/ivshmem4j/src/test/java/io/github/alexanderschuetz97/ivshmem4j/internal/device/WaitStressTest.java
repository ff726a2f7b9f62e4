package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every waiter of a vector sees every value for which there was an interrupt, in any sequence of arrivals, departures and
 * changes of the reader. The next interrupt is sent only after all waiters have seen the last value, so a lost wake-up makes
 * the test hang.
 */
@Tag("long")
class WaitStressTest {

    private static final int ROUNDS = Integer.getInteger("ivshmem4j.stress.rounds", 40_000);

    @TempDir
    Path folder;

    private final Queue<Throwable> thrown = new ConcurrentLinkedQueue<>();
    private final List<Thread> threads = new ArrayList<>();
    /** The last value that each member has seen. */
    private final AtomicLongArray seen = new AtomicLongArray(32);
    private int members;
    private volatile long value;
    private volatile boolean over;
    private IvshmemMemory device;

    @Test
    @Timeout(600)
    void threads() throws Exception {
        stress(this::addThreads);
    }

    @Test
    @Timeout(600)
    void threadsThatAreInterrupted() throws Exception {
        stress(() -> {
            addThreads();
            final List<Thread> victims = new ArrayList<>(threads);
            start(new Thread(() -> {
                final Random random = new Random(1);
                while (!over) {
                    victims.get(random.nextInt(victims.size())).interrupt();
                    LockSupport.parkNanos(random.nextInt(1_000_000));
                }
            }, "interrupter"));
        });
    }

    @Test
    @Timeout(600)
    void routinesAndFutures() throws Exception {
        stress(this::addCallbacks);
    }

    @Test
    @Timeout(600)
    void virtualThreads() throws Exception {
        stress(() -> {
            addVirtual();
            addVirtual();
        });
    }

    @Test
    @Timeout(600)
    void allTogether() throws Exception {
        stress(() -> {
            addThreads();
            addCallbacks();
            addVirtual();
        });
    }

    private void stress(final Runnable adding) throws Exception {
        try (IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).start()) {
            device = Ivshmem.doorbell(server.getPath(), (thread, e) -> thrown.add(e));
            adding.run();
            final int self = device.getOwnPeerID();
            for (long round = 1; round <= ROUNDS && thrown.isEmpty(); round++) {
                value = round;
                device.sendInterrupt(self, 0);
                for (int member = 0; member < members; member++) {
                    while (seen.get(member) < round && thrown.isEmpty()) {
                        Thread.yield();
                    }
                }
            }
            over = true;
            device.close();
            for (final Thread thread : threads) {
                thread.join();
            }
        }
        assertEquals("[]", thrown.toString());
    }

    private void addThreads() {
        for (int thread = 0; thread < 2; thread++) {
            addWaiter(random -> {
                device.waitInterrupt(0);
            });
        }
        addWaiter(random -> device.waitInterrupt(0, random.nextInt(300), TimeUnit.MICROSECONDS));
        addWaiter(random -> {
            if (random.nextBoolean()) {
                device.waitInterrupt(0);
            } else {
                device.waitInterrupt(0, random.nextInt(30), TimeUnit.MICROSECONDS);
            }
        });
    }

    private void addCallbacks() {
        final int stays = members++;
        device.registerInterruptServiceRoutine(0, vector -> look(stays));
        final int exchanged = members++;
        start(new Thread(() -> exchange(exchanged), "exchanges"));
        final int member = members++;
        start(new Thread(() -> loop(member, random -> {
            final CompletableFuture<Integer> future = device.nextInterrupt(0);
            look(member);
            try {
                if (random.nextBoolean()) {
                    future.get();
                } else {
                    future.get(random.nextInt(100), TimeUnit.MICROSECONDS);
                }
            } catch (final TimeoutException e) {
                future.cancel(true);
            } catch (final ExecutionException e) {
                throw (RuntimeException) e.getCause();
            }
        }), "futures"));
    }

    /**
     * Keeps one routine registered, and replaces it often. The new routine receives an interrupt that arrives between two
     * of them.
     */
    private void exchange(final int member) {
        try {
            while (!over) {
                final InterruptServiceRoutine routine = vector -> look(member);
                device.registerInterruptServiceRoutine(0, routine);
                look(member);
                final long before = value;
                while (value < before + 5 && !over) {
                    Thread.yield();
                }
                device.removeInterruptServiceRoutine(0, routine);
            }
        } catch (final IllegalStateException e) {
            failUnlessOver(e);
        }
    }

    private void addWaiter(final Wait wait) {
        final int member = members++;
        start(new Thread(() -> loop(member, wait), "waiter-" + member));
    }

    /** Adds nothing on a JVM without virtual threads. */
    private void addVirtual() {
        final int member = members++;
        final Runnable loop = () -> loop(member, random -> {
            if (random.nextInt(4) == 0) {
                device.waitInterrupt(0, random.nextInt(200), TimeUnit.MICROSECONDS);
            } else {
                device.waitInterrupt(0);
            }
        });
        try {
            threads.add((Thread) Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, loop));
        } catch (final ReflectiveOperationException e) {
            members--;
        }
    }

    private void start(final Thread thread) {
        threads.add(thread);
        thread.start();
    }

    private void loop(final int member, final Wait wait) {
        final Random random = new Random(member);
        while (!over) {
            try {
                look(member);
                wait.once(random);
            } catch (final InterruptedException e) {
                // Read the value again.
                continue;
            } catch (final Throwable e) {
                failUnlessOver(e);
                return;
            }
        }
    }

    private void failUnlessOver(final Throwable e) {
        if (!over) {
            thrown.add(e);
        }
    }

    private void look(final int member) {
        // Two threads may read for one member: the slower one must not replace a newer value by an older one.
        seen.accumulateAndGet(member, value, Math::max);
    }

    private interface Wait {
        void once(Random random) throws Exception;
    }
}
