package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Threads that wait for interrupts: alone, together, beside routines and futures, and until the end. */
@Timeout(60)
class InterruptWaitTest {

    @TempDir
    Path folder;

    private final ExecutorService threads = Executors.newCachedThreadPool();
    private IvshmemServer server;
    private IvshmemMemory memory;
    private int self;

    @BeforeEach
    void connect() {
        server = IvshmemServer.builder(folder.resolve("s").toString()).vectors(3).start();
        memory = Ivshmem.doorbell(server.getPath());
        self = memory.getOwnPeerID();
    }

    @AfterEach
    void close() {
        memory.close();
        server.close();
        threads.shutdownNow();
    }

    @Test
    void anInterruptFromBeforeCountsAndSoDoesOneDuringTheWait() throws Exception {
        memory.sendInterrupt(self, 1);
        memory.waitInterrupt(1);
        final Future<Boolean> wait = threads.submit(() -> {
            memory.waitInterrupt(2);
            return true;
        });
        parked(1);
        memory.sendInterrupt(self, 2);
        assertTrue(wait.get());
        assertFalse(memory.waitInterrupt(1, 0, TimeUnit.SECONDS), "vector 1 was rung once");
    }

    @Test
    void aWaitEndsWithItsTimeAndNotBefore() throws Exception {
        assertFalse(memory.waitInterrupt(0, 0, TimeUnit.DAYS));
        for (final boolean follower : new boolean[] {false, true}) {
            final Future<?> leader = follower ? threads.submit(this::waitQuietly) : null;
            parked(follower ? 1 : 0);
            final long began = System.nanoTime();
            assertFalse(memory.waitInterrupt(0, 20_000_001, TimeUnit.NANOSECONDS));
            assertTrue(System.nanoTime() - began >= 20_000_001);
            if (follower) {
                memory.sendInterrupt(self, 0);
                leader.get();
            }
        }
        // Heard by another thread, and not yet by this one.
        assertTrue(memory.waitInterrupt(0, 0, TimeUnit.DAYS));
        assertFalse(memory.waitInterrupt(0, 0, TimeUnit.DAYS));
        memory.sendInterrupt(self, 0);
        assertTrue(memory.waitInterrupt(0, Long.MAX_VALUE, TimeUnit.DAYS));
        memory.sendInterrupt(self, 0);
        assertTrue(memory.waitInterrupt(0, Long.MIN_VALUE, TimeUnit.NANOSECONDS));
    }

    private void waitQuietly() {
        try {
            memory.waitInterrupt(0);
        } catch (final InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Waits until so many threads of this test are inside of a wait, as far as can be seen from outside. */
    private void parked(final int count) throws InterruptedException {
        while (true) {
            final long inside = Thread.getAllStackTraces().values().stream().filter(stack -> {
                for (final StackTraceElement element : stack) {
                    if (element.getMethodName().equals("deviceWait") || element.getMethodName().equals("await")
                        && element.getClassName().endsWith("AbstractQueuedSynchronizer$ConditionObject")) {
                        return isInside(stack);
                    }
                }
                return false;
            }).count();
            if (inside >= count) {
                return;
            }
            Thread.sleep(1);
        }
    }

    private static boolean isInside(final StackTraceElement[] stack) {
        for (final StackTraceElement element : stack) {
            if (element.getMethodName().equals("waitInterrupt")) {
                return true;
            }
        }
        return false;
    }
}
