package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.lang.ref.WeakReference;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The features of a client of a server, with two clients in one JVM. */
@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class DoorbellTest {

    @TempDir
    Path folder;

    private IvshmemServer server;
    private IvshmemMemory ringer;

    @BeforeEach
    void startAServerAndOneClient() {
        server = IvshmemServer.builder(folder.resolve("s").toString()).size(1 << 16).vectors(3).start();
        ringer = Ivshmem.doorbell(server.getPath());
    }

    @AfterEach
    void stop() {
        ringer.close();
        server.close();
    }

    @Test
    void aRoutineIsCalledWithTheVectorThatWasRung() throws Exception {
        final BlockingQueue<Integer> rung = new LinkedBlockingQueue<>();
        try (IvshmemMemory memory = connect()) {
            for (int vector = 0; vector < 3; vector++) {
                final int own = vector;
                memory.registerInterruptServiceRoutine(vector, passed -> rung.add(own * 10 + passed));
            }
            for (final int vector : new int[] {2, 0, 1, 2}) {
                ringer.sendInterrupt(memory.getOwnPeerID(), vector);
                assertEquals(vector * 11, rung.take());
            }
        }
        assertEquals(0, rung.size());
    }

    @Test
    void aDeviceCanRingItself() throws Exception {
        final CountDownLatch rung = new CountDownLatch(1);
        ringer.registerInterruptServiceRoutine(1, vector -> rung.countDown());
        ringer.sendInterrupt(ringer.getOwnPeerID(), 1);
        rung.await();
    }

    @Test
    void whoIsThereIsKnown() {
        assertEquals(Collections.emptyList(), ringer.getPeers());
        try (IvshmemMemory one = connect();
            IvshmemMemory two = Ivshmem.doorbell(server.getPath(), 0)) {
            assertTrue(two.hasOwnPeerID() && two.knowsOtherPeers() && two.knowsOtherPeerVectors());
            assertTrue(two.supportsInterrupts());
            assertEquals(Arrays.asList(ringer.getOwnPeerID(), one.getOwnPeerID()), two.getPeers());
            assertTrue(two.isOtherPeerConnected(one.getOwnPeerID()));
            assertFalse(two.isOtherPeerConnected(two.getOwnPeerID()));
            for (final int nobody : new int[] {-1, 4711, 65536, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
                assertFalse(two.isOtherPeerConnected(nobody));
                assertEquals(Code.UNKNOWN_PEER,
                    assertThrows(IvshmemException.class, () -> two.getVectors(nobody)).getCode());
            }
            assertEquals(3, two.getVectors(one.getOwnPeerID()));
            assertEquals(3, two.getVectors(two.getOwnPeerID()));
            assertEquals(3, two.getOwnVectors());
            assertEquals(3, server.getClients());
        }
    }

    @Test
    void vectorsFromZeroToTheNumberOfVectorsMinusOneAreValidAndNoOthers() {
        final InterruptServiceRoutine routine = vector -> { };
        for (final int valid : new int[] {0, 1, 2}) {
            assertTrue(ringer.isVectorValid(valid));
            ringer.registerInterruptServiceRoutine(valid, routine);
            ringer.sendInterrupt(ringer.getOwnPeerID(), valid);
        }
        for (final int invalid : new int[] {-1, 3, 256, 65536, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            assertFalse(ringer.isVectorValid(invalid));
            assertEquals(Code.UNKNOWN_VECTOR, assertThrows(IvshmemException.class,
                () -> ringer.registerInterruptServiceRoutine(invalid, routine)).getCode());
            assertEquals(Code.UNKNOWN_VECTOR, assertThrows(IvshmemException.class,
                () -> ringer.sendInterrupt(ringer.getOwnPeerID(), invalid)).getCode());
        }
        for (final int nobody : new int[] {-1, 4711, 65536, Integer.MIN_VALUE}) {
            final IvshmemException e = assertThrows(IvshmemException.class, () -> ringer.sendInterrupt(nobody, 0));
            assertEquals(Code.UNKNOWN_PEER, e.getCode());
            assertEquals("no peer " + nobody + " is connected; getPeers() lists those who are", e.getMessage());
        }
    }

    @Test
    void aRoutineThatHangsOrThrowsDelaysNoOtherVector() throws Exception {
        final CountDownLatch hangs = new CountDownLatch(1);
        final CountDownLatch release = new CountDownLatch(1);
        final Semaphore served = new Semaphore(0);
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        try (IvshmemMemory memory = connect(null, (thread, e) -> thrown.add(e))) {
            memory.registerInterruptServiceRoutine(0, vector -> {
                hangs.countDown();
                awaitQuietly(release);
            });
            memory.registerInterruptServiceRoutine(1, vector -> {
                throw new StackOverflowError("on vector " + vector);
            });
            memory.registerInterruptServiceRoutine(1, vector -> served.release());
            memory.registerInterruptServiceRoutine(2, vector -> served.release());
            final int peer = memory.getOwnPeerID();
            ringer.sendInterrupt(peer, 0);
            hangs.await();
            for (int round = 0; round < 100; round++) {
                ringer.sendInterrupt(peer, 1);
                served.acquire();
                assertEquals("on vector 1", thrown.take().getMessage());
                ringer.sendInterrupt(peer, 2);
                served.acquire();
            }
            release.countDown();
        }
        assertEquals(0, thrown.size());
    }

    @Test
    void aHandlerThatThrowsEndsNothing() throws Exception {
        final Semaphore called = new Semaphore(0);
        final Thread.UncaughtExceptionHandler handler = (thread, e) -> {
            throw new IllegalStateException("from the handler, on purpose");
        };
        try (IvshmemMemory memory = connect(null, handler)) {
            memory.registerInterruptServiceRoutine(0, vector -> {
                called.release();
                throw new IllegalStateException("from the routine, on purpose");
            });
            for (int round = 0; round < 3; round++) {
                ringer.sendInterrupt(memory.getOwnPeerID(), 0);
                called.acquire();
            }
        }
    }

    @Test
    void anExecutorRunsTheCallbacksWithAtMostOneJobEach() throws Exception {
        final BlockingQueue<Runnable> jobs = new LinkedBlockingQueue<>();
        final AtomicInteger calls = new AtomicInteger();
        final AtomicInteger marks = new AtomicInteger();
        try (IvshmemMemory memory = connect(jobs::add, null)) {
            final int peer = memory.getOwnPeerID();
            memory.registerInterruptServiceRoutine(0, vector -> calls.incrementAndGet());
            memory.registerInterruptServiceRoutine(1, vector -> marks.incrementAndGet());
            for (int ring = 0; ring < 1000; ring++) {
                ringer.sendInterrupt(peer, 0);
            }
            final Runnable job = jobs.take();
            ringer.sendInterrupt(peer, 1);
            final Runnable mark = jobs.take();
            assertEquals(0, jobs.size());
            assertEquals(0, calls.get());
            job.run();
            mark.run();
            assertEquals(1, calls.get());
            assertEquals(1, marks.get());
            // A job that a defective executor runs twice has no effect the second time. Vector 1 received one interrupt; for
            // vector 0 a late interrupt may have been read since, for which the job would correctly run again.
            mark.run();
            assertEquals(1, marks.get());
        }
    }

    @Test
    void aRingDuringACallMakesForAnotherCallAfterIt() throws Exception {
        final ExecutorService threads = Executors.newFixedThreadPool(4);
        final Semaphore began = new Semaphore(0);
        final Semaphore goOn = new Semaphore(0);
        final AtomicInteger inside = new AtomicInteger();
        try (IvshmemMemory memory = connect(threads, null)) {
            memory.registerInterruptServiceRoutine(0, vector -> {
                assertEquals(1, inside.incrementAndGet());
                began.release();
                goOn.acquireUninterruptibly();
                inside.decrementAndGet();
            });
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            began.acquire();
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            goOn.release();
            began.acquire();
            goOn.release(2);
        } finally {
            threads.shutdown();
        }
    }

    @Test
    void anExecutorThatRefusesIsToldToTheHandlerAndAskedAgain() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final AtomicBoolean refusing = new AtomicBoolean(true);
        final Semaphore called = new Semaphore(0);
        try (IvshmemMemory memory = connect(job -> {
            if (refusing.get()) {
                throw new RejectedExecutionException("full, on purpose");
            }
            job.run();
        }, (thread, e) -> thrown.add(e))) {
            memory.registerInterruptServiceRoutine(0, vector -> called.release());
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            assertEquals("full, on purpose", thrown.take().getMessage());
            refusing.set(false);
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            called.acquire();
        }
    }

    @Test
    void aRoutineIsRegisteredOnceForAVectorAndRemovedAtOnce() throws Exception {
        final AtomicInteger calls = new AtomicInteger();
        final Semaphore marked = new Semaphore(0);
        final InterruptServiceRoutine routine = vector -> calls.incrementAndGet();
        try (IvshmemMemory memory = connect()) {
            memory.registerInterruptServiceRoutine(0, routine);
            memory.registerInterruptServiceRoutine(0, routine);
            memory.registerInterruptServiceRoutine(0, vector -> marked.release());
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            marked.acquire();
            assertEquals(1, calls.get());
            memory.removeInterruptServiceRoutine(0, routine);
            memory.removeInterruptServiceRoutine(0, routine);
            memory.removeInterruptServiceRoutine(2, routine);
            memory.removeInterruptServiceRoutine(-1, routine);
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            marked.acquire();
            assertEquals(1, calls.get());
            memory.registerInterruptServiceRoutine(0, routine);
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            marked.acquire();
            // Routines run in the order of their registration, so this one may still be running.
            while (calls.get() < 2) {
                Thread.yield();
            }
        }
    }

    @Test
    void aRingFromBeforeTheRegistrationIsHeard() throws Exception {
        for (int round = 0; round < 300; round++) {
            final Semaphore called = new Semaphore(0);
            try (IvshmemMemory memory = connect()) {
                ringer.sendInterrupt(memory.getOwnPeerID(), 0);
                memory.registerInterruptServiceRoutine(0, vector -> called.release());
                called.acquire();
            }
        }
    }

    @Test
    void aRingWhileRoutinesAreExchangedIsHeardByOneOfThem() throws Exception {
        final Semaphore called = new Semaphore(0);
        try (IvshmemMemory memory = connect()) {
            InterruptServiceRoutine routine = vector -> called.release();
            memory.registerInterruptServiceRoutine(0, routine);
            for (int round = 0; round < 1000; round++) {
                memory.removeInterruptServiceRoutine(0, routine);
                ringer.sendInterrupt(memory.getOwnPeerID(), 0);
                routine = vector -> called.release();
                memory.registerInterruptServiceRoutine(0, routine);
                called.acquire();
                called.drainPermits();
            }
        }
    }

    @Test
    void aListenerHearsOfThoseWhoAreThereAndOfThoseWhoComeAndGo() throws Exception {
        final BlockingQueue<String> first = new LinkedBlockingQueue<>();
        final BlockingQueue<String> second = new LinkedBlockingQueue<>();
        try (IvshmemMemory memory = connect()) {
            memory.registerPeerConnectionListener(listener(first));
            assertEquals("0 has 3", first.take());
            final IvshmemMemory other = Ivshmem.doorbell(server.getPath());
            final String id = String.valueOf(other.getOwnPeerID());
            await(first, id + " has 3");
            memory.registerPeerConnectionListener(listener(second));
            await(second, id + " has 3");
            other.close();
            await(first, id + " left");
            await(second, id + " left");
            assertEquals(0, first.size());
        }
    }

    @Test
    void aSlowListenerHearsTheTruthInTheEnd() throws Exception {
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final CountDownLatch release = new CountDownLatch(1);
        final PeerConnectionListener listener = listener(heard);
        ringer.registerPeerConnectionListener(new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) {
                awaitQuietly(release);
                listener.onConnect(peer, vectors);
            }

            @Override
            public void onDisconnect(final int peer) {
                awaitQuietly(release);
                listener.onDisconnect(peer);
            }
        });
        String last = null;
        for (int round = 0; round < 20; round++) {
            try (IvshmemMemory passing = Ivshmem.doorbell(server.getPath())) {
                last = passing.getOwnPeerID() + " left";
            }
        }
        release.countDown();
        await(heard, last);
    }

    @Test
    void theEndOfTheServerIsToldOnceToTheHandlerAndTheRestGoesOn() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        try (IvshmemMemory memory = connect(null, (thread, e) -> thrown.add(e))) {
            memory.registerInterruptServiceRoutine(0, vector -> called.release());
            server.close();
            final IvshmemException gone = (IvshmemException) thrown.take();
            assertEquals(IvshmemException.Code.SERVER_GONE, gone.getCode());
            ringer.getMemory().write(8, 4711L);
            ringer.sendInterrupt(memory.getOwnPeerID(), 0);
            called.acquire();
            assertEquals(4711L, memory.getMemory().readLong(8));
            assertTrue(memory.isOtherPeerConnected(ringer.getOwnPeerID()));
        }
        assertEquals(0, thrown.size());
    }

    @Test
    void aCallbackMayCloseItsDeviceOrItsMemory() throws Exception {
        for (final boolean byMemory : new boolean[] {false, true}) {
            final CountDownLatch closed = new CountDownLatch(1);
            final IvshmemMemory memory = connect();
            final int peer = memory.getOwnPeerID();
            memory.registerInterruptServiceRoutine(0, vector -> {
                try {
                    if (byMemory) {
                        memory.getMemory().close();
                    } else {
                        memory.close();
                    }
                } finally {
                    closed.countDown();
                }
            });
            ringer.sendInterrupt(peer, 0);
            closed.await();
            assertTrue(memory.isClosed());
            assertFalse(memory.getMemory().isValid());
        }
    }

    @Test
    void afterClosingWhatNeedsTheDeviceIsRefusedAndTheMemoryIsClosed() {
        final IvshmemMemory memory = Ivshmem.doorbell(server.getPath());
        final InterruptServiceRoutine routine = vector -> { };
        final PeerConnectionListener listener = listener(new LinkedBlockingQueue<>());
        memory.registerInterruptServiceRoutine(0, routine);
        memory.registerPeerConnectionListener(listener);
        memory.close();
        memory.close();
        assertTrue(memory.isClosed());
        assertSame(memory.getMemory(), memory.getMemory());
        assertFalse(memory.getMemory().isValid());
        memory.removeInterruptServiceRoutine(0, routine);
        memory.removePeerConnectionListener(listener);
        for (final org.junit.jupiter.api.function.Executable refused :
            Arrays.<org.junit.jupiter.api.function.Executable>asList(
                memory::knowsOtherPeers, memory::getOwnVectors, memory::supportsInterrupts,
                () -> memory.getVectors(0), () -> memory.getVectors(4711), () -> memory.isVectorValid(0),
                () -> memory.sendInterrupt(0, 0), () -> memory.registerInterruptServiceRoutine(0, routine),
                () -> memory.registerPeerConnectionListener(listener),
                () -> memory.registerPeerConnectionListener(null))) {
            assertThrows(IllegalStateException.class, refused);
        }
    }

    @Test
    void aClosedDeviceStillTellsItsIdAndThatNobodyIsThere() {
        final IvshmemMemory memory = connect();
        final int id = memory.getOwnPeerID();
        final int other = ringer.getOwnPeerID();
        assertTrue(memory.isOtherPeerConnected(other));
        memory.close();
        assertTrue(memory.hasOwnPeerID());
        assertEquals(id, memory.getOwnPeerID());
        assertEquals(Collections.emptyList(), memory.getPeers());
        assertFalse(memory.isOtherPeerConnected(other));
        assertTrue(memory.knowsOtherPeerVectors());
    }

    @Test
    void aListenerThatIsNullIsNotRegistered() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        try (IvshmemMemory memory = connect(null, (thread, e) -> thrown.add(e))) {
            memory.registerPeerConnectionListener(null);
            memory.registerPeerConnectionListener(listener(heard));
            await(heard, ringer.getOwnPeerID() + " has 3");
            memory.removePeerConnectionListener(null);
        }
        assertEquals(0, thrown.size());
    }

    @Test
    void connectingAndClosingWaitForNothing() {
        // Version 1.2 waits for its grace of 5 s on connecting and up to 2 s on closing. Each of these cases would take
        // minutes with such waits.
        final long began = System.nanoTime();
        for (int round = 0; round < 50; round++) {
            final IvshmemMemory memory = Ivshmem.doorbell(server.getPath());
            memory.registerInterruptServiceRoutine(0, vector -> { });
            memory.close();
        }
        System.out.println("connect and close: "
            + TimeUnit.NANOSECONDS.toMicros((System.nanoTime() - began) / 50) + " us");
    }

    @Test
    void aDeviceThatEveryoneHasForgottenLeavesTheServer() throws Exception {
        final WeakReference<IvshmemMemory> forgotten = new WeakReference<>(Ivshmem.doorbell(server.getPath()));
        while (server.getClients() > 1) {
            System.gc();
            Thread.sleep(10);
        }
        assertSame(null, forgotten.get());
    }

    @Test
    void aDeviceWithARoutineIsNotForgotten() throws Exception {
        final Semaphore called = new Semaphore(0);
        final WeakReference<IvshmemMemory> forgotten = register(called);
        final int peer = ringer.getPeers().iterator().next();
        for (int round = 0; round < 5; round++) {
            System.gc();
            Thread.sleep(10);
            ringer.sendInterrupt(peer, 0);
            called.acquire();
        }
        forgotten.get().close();
    }

    /** Connects, and waits until the server has announced the new peer to the ringing device. */
    private IvshmemMemory connect(final Executor executor, final Thread.UncaughtExceptionHandler handler) {
        final IvshmemMemory memory = Ivshmem.doorbell(server.getPath(), executor, handler);
        while (!ringer.isOtherPeerConnected(memory.getOwnPeerID())
            || ringer.getVectors(memory.getOwnPeerID()) < memory.getOwnVectors()) {
            Thread.yield();
        }
        return memory;
    }

    private IvshmemMemory connect() {
        return connect(null, null);
    }

    private WeakReference<IvshmemMemory> register(final Semaphore called) {
        final IvshmemMemory memory = connect();
        memory.registerInterruptServiceRoutine(0, vector -> called.release());
        return new WeakReference<>(memory);
    }

    @Test
    void oneStringOpensAClientToo() {
        try (IvshmemMemory memory = Ivshmem.open("doorbell:" + server.getPath())) {
            assertTrue(memory.supportsInterrupts());
            assertEquals(1 << 16, memory.getMemory().size());
            assertNotSame(ringer.getOwnPeerID(), memory.getOwnPeerID());
        }
    }

    @Test
    void theOptionsOfAStringMakeAClientReadOnly() {
        final String target = "doorbell:" + server.getPath();
        try (IvshmemMemory memory = Ivshmem.open(target + "?readonly&reconnect")) {
            assertTrue(memory.supportsInterrupts());
            assertFalse(memory.getMemory().isWriteable());
            assertThrows(UnsupportedOperationException.class, () -> memory.getMemory().write(0, 1));
        }
        final Exception unknown = assertThrows(IllegalArgumentException.class, () -> Ivshmem.open(target + "?memory-only"));
        assertTrue(unknown.getMessage().contains("there are readonly and reconnect"), unknown.getMessage());
        assertThrows(IllegalArgumentException.class, () -> Ivshmem.open(target + "?reconnect&reconnect"));
    }

    private static PeerConnectionListener listener(final BlockingQueue<String> heard) {
        return new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) {
                heard.add(peer + " has " + vectors);
            }

            @Override
            public void onDisconnect(final int peer) {
                heard.add(peer + " left");
            }
        };
    }

    private static void await(final BlockingQueue<String> heard, final String wanted) throws InterruptedException {
        while (!heard.take().equals(wanted)) {
            // An earlier event.
        }
    }

    private static void awaitQuietly(final CountDownLatch latch) {
        try {
            latch.await();
        } catch (final InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
