package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.lang.ref.WeakReference;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Threads that wait for interrupts: alone, together, in parallel with routines and futures, and until closing. */
@Timeout(60)
class InterruptWaitTest {

    @TempDir
    Path folder;

    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final Queue<Throwable> thrown = new ConcurrentLinkedQueue<>();
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
        ring(1);
        memory.waitInterrupt(1);
        final Future<Boolean> wait = waiter(2);
        inside(1);
        ring(2);
        assertTrue(wait.get());
        assertFalse(memory.waitInterrupt(1, 0, TimeUnit.SECONDS), "vector 1 was rung once");
    }

    @Test
    void aWaitEndsWithItsTimeAndNotBefore() throws Exception {
        assertFalse(memory.waitInterrupt(0, 0, TimeUnit.DAYS));
        for (final boolean follower : new boolean[] {false, true}) {
            final Future<?> reader = follower ? waiter(0) : null;
            inside(follower ? 1 : 0);
            final long began = System.nanoTime();
            assertFalse(memory.waitInterrupt(0, 20_000_001, TimeUnit.NANOSECONDS));
            assertTrue(System.nanoTime() - began >= 20_000_001);
            if (follower) {
                ring(0);
                reader.get();
            }
        }
        // Another thread has received the interrupt, but this one has not yet.
        assertTrue(memory.waitInterrupt(0, 0, TimeUnit.DAYS));
        assertFalse(memory.waitInterrupt(0, 0, TimeUnit.DAYS));
        ring(0);
        assertTrue(memory.waitInterrupt(0, Long.MAX_VALUE, TimeUnit.DAYS));
        ring(0);
        assertTrue(memory.waitInterrupt(0, Long.MIN_VALUE, TimeUnit.NANOSECONDS));
    }

    @Test
    void oneInterruptWakesAllWhoWait() throws Exception {
        final List<Future<Boolean>> waits = new ArrayList<>();
        for (int round = 0; round < 3; round++) {
            for (int thread = 0; thread < 8; thread++) {
                waits.add(waiter(0));
            }
            if (round == 0) {
                inside(8);
            }
            ring(0);
            for (final Future<Boolean> wait : waits) {
                assertTrue(wait.get());
            }
            waits.clear();
        }
        assertFalse(memory.waitInterrupt(1, 0, TimeUnit.SECONDS), "nobody has rung vector 1");
    }

    @Test
    void whoReadsIsReplacedWhenItLeaves() throws Exception {
        for (final boolean byInterrupting : new boolean[] {false, true}) {
            // A vector without an earlier interrupt, as every new thread receives an earlier one.
            final int vector = byInterrupting ? 1 : 2;
            final Thread reader = new Thread(() -> {
                try {
                    memory.waitInterrupt(vector, byInterrupting ? 1000 : 1, TimeUnit.SECONDS);
                } catch (final InterruptedException e) {
                    thrown.add(e);
                }
            });
            reader.start();
            inside(1);
            final Future<Boolean> one = waiter(vector);
            final Future<Boolean> two = waiter(vector);
            inside(3);
            if (byInterrupting) {
                reader.interrupt();
            }
            reader.join();
            // The interruption of another thread may wake all waiting threads.
            if (!byInterrupting) {
                assertFalse(one.isDone() || two.isDone());
            }
            ring(vector);
            assertTrue(one.get() && two.get());
            assertEquals(byInterrupting ? 1 : 0, thrown.size());
        }
    }

    @Test
    void interruptingAThreadEndsItsWaitAndNothingElse() throws Exception {
        Thread.currentThread().interrupt();
        assertThrows(InterruptedException.class, () -> memory.waitInterrupt(0));
        assertFalse(Thread.currentThread().isInterrupted());
        for (int threads = 1; threads <= 3; threads++) {
            for (int round = 0; round < 50; round++) {
                final List<Thread> all = new ArrayList<>();
                for (int thread = 0; thread < threads; thread++) {
                    all.add(new Thread(this::waitUntilInterrupted));
                    all.get(thread).start();
                }
                inside(round % 2 == 0 ? threads : 0);
                for (final Thread thread : all) {
                    thread.interrupt();
                }
                for (final Thread thread : all) {
                    thread.join();
                }
                assertEquals(threads, thrown.size());
                thrown.clear();
            }
        }
        final Future<Boolean> after = waiter(0);
        ring(0);
        assertTrue(after.get());
    }

    @Test
    void closingEndsAllWaitsAndFutures() throws Exception {
        for (int round = 0; round < 100; round++) {
            final IvshmemMemory closing = Ivshmem.doorbell(server.getPath());
            final List<Future<Boolean>> waits = new ArrayList<>();
            final Semaphore began = new Semaphore(0);
            for (int thread = 0; thread < 4; thread++) {
                final long timeout = thread % 2 == 0 ? -1 : 1000;
                waits.add(threads.submit(() -> {
                    began.release();
                    return closing.waitInterrupt(0, timeout, TimeUnit.SECONDS);
                }));
            }
            final CompletableFuture<Integer> future = closing.nextInterrupt(1);
            began.acquire(round % 5);
            if (round % 2 == 0) {
                closing.close();
            } else {
                closing.getMemory().close();
            }
            for (final Future<?> wait : waits) {
                closed(wait);
            }
            closed(future);
            assertThrows(IllegalStateException.class, () -> closing.waitInterrupt(0, 0, TimeUnit.SECONDS));
            assertThrows(IllegalStateException.class, () -> closing.waitInterrupt(0));
            assertThrows(IllegalStateException.class, () -> closing.nextInterrupt(0));
        }
    }

    @Test
    void closingEndsAFutureWhoseThreadIsHeldByARoutine() throws Exception {
        final Semaphore held = new Semaphore(0);
        final Semaphore goOn = new Semaphore(0);
        memory.registerInterruptServiceRoutine(0, vector -> {
            held.release();
            goOn.acquireUninterruptibly();
        });
        ring(0);
        held.acquire();
        final CompletableFuture<Integer> future = memory.nextInterrupt(0);
        memory.close();
        closed(future);
        goOn.release();
    }

    @Test
    void aFutureIsCompletedByTheNextInterruptOrByOneThatNobodyHasHeard() throws Exception {
        ring(2);
        assertEquals(2, memory.nextInterrupt(2).get());
        for (int round = 0; round < 200; round++) {
            final CompletableFuture<Integer> future = memory.nextInterrupt(2);
            final CompletableFuture<Integer> another = memory.nextInterrupt(2);
            assertFalse(future.isDone() || another.isDone());
            ring(2);
            assertEquals(2, future.get());
            assertEquals(2, another.get());
        }
        // The thread of the futures is in the native library, where only an interrupt wakes it.
        memory.nextInterrupt(2).cancel(true);
        final Future<Boolean> wait = waiter(2);
        ring(2);
        assertTrue(wait.get());
    }

    @Test
    void whatOnlyACancelledFutureWouldHaveHeardTheNextOneHears() throws Exception {
        for (int round = 0; round < 1000; round++) {
            final CompletableFuture<Integer> cancelled = memory.nextInterrupt(0);
            final Thread canceller = new Thread(() -> cancelled.cancel(false));
            canceller.start();
            ring(0);
            canceller.join();
            if (cancelled.isCancelled()) {
                assertEquals(0, memory.nextInterrupt(0).get());
            }
        }
    }

    @Test
    void aChainOfFuturesMissesNothing() throws Exception {
        final Semaphore looked = new Semaphore(0);
        chain(looked);
        for (int round = 0; round < 1000; round++) {
            ring(0);
            looked.acquire();
        }
    }

    @Test
    void futuresAreCompletedInTheExecutorAndWithoutItWhenItRefuses() throws Exception {
        final BlockingQueue<Runnable> jobs = new LinkedBlockingQueue<>();
        final AtomicBoolean refusing = new AtomicBoolean();
        try (IvshmemMemory other = Ivshmem.doorbell(server.getPath(), job -> {
            if (refusing.get()) {
                throw new RejectedExecutionException("full, on purpose");
            }
            jobs.add(job);
        }, null)) {
            final CompletableFuture<Integer> accepted = other.nextInterrupt(0);
            other.sendInterrupt(other.getOwnPeerID(), 0);
            final Runnable job = jobs.take();
            assertFalse(accepted.isDone());
            job.run();
            assertEquals(0, accepted.get());
            refusing.set(true);
            final CompletableFuture<Integer> refused = other.nextInterrupt(0);
            other.sendInterrupt(other.getOwnPeerID(), 0);
            assertEquals(0, refused.get());
        }
    }

    @Test
    void cancelledFuturesKeepNothingAndPendingOnesKeepTheDevice() throws Exception {
        final AtomicReference<WeakReference<IvshmemMemory>> forgotten = new AtomicReference<>();
        final CompletableFuture<Integer> pending = pendingAfterCancelledOnes(forgotten);
        final int peer = forgotten.get().get().getOwnPeerID();
        while (!memory.isOtherPeerConnected(peer) || memory.getVectors(peer) == 0) {
            Thread.yield();
        }
        for (int round = 0; round < 5; round++) {
            System.gc();
            Thread.sleep(10);
        }
        memory.sendInterrupt(peer, 0);
        assertEquals(0, pending.get());
        while (server.getClients() > 1) {
            System.gc();
            Thread.sleep(10);
        }
        assertSame(null, forgotten.get().get());
    }

    @Test
    void routinesFuturesAndThreadsOfOneVectorAllHear() throws Exception {
        final Semaphore called = new Semaphore(0);
        memory.registerInterruptServiceRoutine(0, vector -> called.release());
        for (int round = 0; round < 200; round++) {
            final CompletableFuture<Integer> future = memory.nextInterrupt(0);
            final Future<Boolean> wait = waiter(0);
            ring(0);
            called.acquire();
            assertEquals(0, future.get());
            assertTrue(memory.waitInterrupt(0, 1, TimeUnit.MINUTES));
            assertTrue(wait.get());
        }
    }

    @Test
    void aRoutineThatHangsDelaysNoThread() throws Exception {
        final Semaphore held = new Semaphore(0);
        final Semaphore goOn = new Semaphore(0);
        memory.registerInterruptServiceRoutine(0, vector -> {
            held.release();
            goOn.acquireUninterruptibly();
        });
        ring(0);
        held.acquire();
        memory.waitInterrupt(0);
        for (int round = 0; round < 100; round++) {
            ring(0);
            memory.waitInterrupt(0);
        }
        goOn.release(100);
    }

    @Test
    void aRoutineThatInterruptsItsThreadIsCalledAgain() throws Exception {
        final Semaphore called = new Semaphore(0);
        memory.registerInterruptServiceRoutine(0, vector -> {
            Thread.currentThread().interrupt();
            called.release();
        });
        for (int round = 0; round < 10; round++) {
            ring(0);
            called.acquire();
        }
    }

    @Test
    void vectorsAndDevicesThatCannotBeWaitedForAreRefused() {
        for (final int nobody : new int[] {-1, 3, 256, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            for (final Executable refused : Arrays.<Executable>asList(
                () -> memory.waitInterrupt(nobody), () -> memory.waitInterrupt(nobody, 0, TimeUnit.SECONDS),
                () -> memory.nextInterrupt(nobody))) {
                final IvshmemException e = assertThrows(IvshmemException.class, refused);
                assertEquals(Code.UNKNOWN_VECTOR, e.getCode());
                assertTrue(e.getMessage().contains("no vector " + nobody + ": it has 3"), e.getMessage());
            }
        }
        assertThrows(NullPointerException.class, () -> memory.waitInterrupt(0, 1, null));
        try (IvshmemMemory plain = Ivshmem.plain(folder.resolve("memory").toString(), 64)) {
            for (final Executable refused : Arrays.<Executable>asList(
                () -> plain.waitInterrupt(0), () -> plain.waitInterrupt(0, 0, TimeUnit.SECONDS),
                () -> plain.nextInterrupt(0))) {
                assertTrue(assertThrows(UnsupportedOperationException.class, refused)
                    .getMessage().contains("connect to a server"));
            }
        }
    }

    @Test
    void pausesStandForInterruptsWhereThereAreNone() throws Exception {
        final PausingSource source = new PausingSource();
        final Vector vector = new Vector(0, source, new Dispatch(0, false, true, null, new Handler(null, "test")));
        for (int round = 0; round < 20; round++) {
            assertTrue(vector.await(-1));
        }
        final Vector other = new Vector(1, source, new Dispatch(0, false, true, null, new Handler(null, "test")));
        assertTrue(other.await(-1));
        assertFalse(vector.await(0), "the pause of another wait counts");
        assertFalse(vector.await(1));
        assertTrue(vector.await(TimeUnit.SECONDS.toNanos(1)));
        Thread.currentThread().interrupt();
        assertThrows(InterruptedException.class, () -> vector.await(-1));
        source.closed = true;
        vector.close();
        assertThrows(IllegalStateException.class, () -> vector.await(-1));
    }

    private void ring(final int vector) {
        memory.sendInterrupt(self, vector);
    }

    private Future<Boolean> waiter(final int vector) {
        return threads.submit(() -> {
            memory.waitInterrupt(vector);
            return true;
        });
    }

    private void waitUntilInterrupted() {
        try {
            while (true) {
                memory.waitInterrupt(0);
            }
        } catch (final InterruptedException e) {
            thrown.add(e);
        }
    }

    private void chain(final Semaphore looked) {
        memory.nextInterrupt(0).thenRun(() -> {
            chain(looked);
            looked.release();
        });
    }

    /** A future of a device that is reachable only through the future. */
    private CompletableFuture<Integer> pendingAfterCancelledOnes(final AtomicReference<WeakReference<IvshmemMemory>> device) {
        final IvshmemMemory forgotten = Ivshmem.doorbell(server.getPath());
        device.set(new WeakReference<>(forgotten));
        for (int future = 0; future < 10_000; future++) {
            forgotten.nextInterrupt(future % 3).cancel(future % 2 == 0);
        }
        return forgotten.nextInterrupt(0);
    }

    private static void closed(final Future<?> ended) throws InterruptedException {
        final Throwable cause = assertThrows(ExecutionException.class, ended::get).getCause();
        assertEquals(IllegalStateException.class, cause.getClass(), cause.toString());
    }

    /** Waits until a number of threads wait for an interrupt, parked or in the native library. */
    private static void inside(final int count) throws InterruptedException {
        while (Thread.getAllStackTraces().values().stream().filter(InterruptWaitTest::isInside).count() < count) {
            Thread.sleep(1);
        }
    }

    private static boolean isInside(final StackTraceElement[] stack) {
        final List<String> methods =
            Arrays.stream(stack).map(StackTraceElement::getMethodName).collect(Collectors.toList());
        return methods.contains("waitInterrupt") && (methods.contains("deviceWait") || methods.contains("park"));
    }

    /** Replaces interrupts by the ends of pauses, as the native library does for a device that cannot be rung. */
    private static final class PausingSource implements Vector.Source {

        private final AtomicLong pauses = new AtomicLong();
        private volatile boolean closed;

        @Override
        public long begin(final long seen) {
            return pauses.get();
        }

        @Override
        public long await(final long seen, final long cancels, final boolean receives, final long nanos) {
            if (closed) {
                return NativeLibrary.CLOSED;
            }
            if (pauses.get() != seen) {
                return pauses.get();
            }
            if (nanos >= 0 && nanos < TimeUnit.MILLISECONDS.toNanos(1)) {
                return NativeLibrary.TIMED_OUT;
            }
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
            return pauses.incrementAndGet();
        }

        @Override
        public void cancel() { }

        @Override
        public long received() {
            return pauses.get();
        }

        @Override
        public long receive() {
            return pauses.get();
        }

        @Override
        public void giveBack(final long position) { }
    }
}
