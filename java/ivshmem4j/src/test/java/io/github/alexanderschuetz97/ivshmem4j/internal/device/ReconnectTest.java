package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Script;
import io.github.alexanderschuetz97.ivshmem4j.api.DoorbellOptions;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A server that stops and is started again with the same memory or with other memory. */
@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class ReconnectTest {

    private static final Logger LOG = Logger.getLogger("io.github.alexanderschuetz97.ivshmem4j");

    @TempDir
    Path folder;

    private final BlockingQueue<LogRecord> logged = new LinkedBlockingQueue<>();
    private final Handler keeper = new Handler() {
        @Override
        public void publish(final LogRecord record) {
            logged.add(record);
            onRecord.run();
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };
    /** Runs in the logging thread. */
    private volatile Runnable onRecord = () -> { };
    private Path file;

    @BeforeEach
    void nameAFileAndKeepTheLog() throws IOException {
        file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-reconnect", null);
        LOG.addHandler(keeper);
        LOG.setUseParentHandlers(false);
    }

    @AfterEach
    void removeTheFile() throws IOException {
        LOG.removeHandler(keeper);
        LOG.setUseParentHandlers(true);
        Files.delete(file);
    }

    @Test
    void aDeviceComesBackToAServerThatWasStartedAnew() throws Exception {
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        IvshmemServer server = start(2);
        try (IvshmemMemory other = Ivshmem.doorbell(server.getPath(), (thread, e) -> { });
            IvshmemMemory device = Ivshmem.doorbell(
                server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            assertEquals(1, device.getOwnPeerID());
            device.registerPeerConnectionListener(listener(heard));
            awaitVectors(heard, "0 has 2");
            device.registerInterruptServiceRoutine(0, vector -> called.release());
            final CompletableFuture<Integer> future = device.nextInterrupt(1);
            final FutureTask<Boolean> waits = new FutureTask<>(() -> {
                device.waitInterrupt(1);
                return true;
            });
            new Thread(waits).start();
            device.getMemory().write(64, 4711);

            server.close();
            assertEquals("server gone", heard.take());
            assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
            assertTrue(device.toString().endsWith(", server gone]"), device.toString());
            assertTrue(device.isOtherPeerConnected(0));
            server = start(2);
            // The first clients get the lowest ids.
            assertEquals("back as 0", heard.take());
            assertEquals("0 left", heard.take());
            assertEquals(0, device.getOwnPeerID());
            assertEquals(Collections.emptyList(), device.getPeers());
            assertTrue(device.toString().endsWith(", peer=0, open]"), device.toString());

            while (!other.toString().contains("server gone")) {
                // This device does not reconnect, and its own thread receives the loss of the server.
                Thread.sleep(1);
            }

            try (IvshmemMemory newcomer = Ivshmem.doorbell(server.getPath())) {
                awaitVectors(heard, "1 has 2");
                assertEquals(4711, newcomer.getMemory().readInt(64));
                for (int vector = 0; vector < 2; vector++) {
                    newcomer.sendInterrupt(device.getOwnPeerID(), vector);
                }
                called.acquire();
                assertEquals(1, future.get());
                assertTrue(waits.get());
                device.sendInterrupt(1, 0);
                assertTrue(newcomer.waitInterrupt(0, 20, java.util.concurrent.TimeUnit.SECONDS));
            }
            assertEquals("1 left", heard.take());
        } finally {
            server.close();
        }
        assertEquals(0, thrown.size());
        final LogRecord back = logged.take();
        assertEquals(Level.INFO, back.getLevel());
        assertTrue(back.getMessage().contains("the server is back"), back.getMessage());
        assertEquals(0, logged.size());
    }

    @Test
    void routinesAreCalledAgainAfterAServerWithFewerVectors() throws Exception {
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        IvshmemServer server = start(2);
        try (IvshmemMemory device = Ivshmem.doorbell(
            server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            device.registerPeerConnectionListener(listener(heard));
            awaitOwnVectors(device, 2);
            device.registerInterruptServiceRoutine(1, vector -> called.release());
            for (final int vectors : new int[] {1, 2}) {
                server.close();
                assertEquals("server gone", heard.take());
                assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
                server = start(vectors);
                assertEquals("back as 0", heard.take());
                awaitOwnVectors(device, vectors);
                if (vectors == 1) {
                    assertEquals(Code.UNKNOWN_VECTOR, ((IvshmemException) thrown.take()).getCode());
                }
            }
            device.sendInterrupt(0, 1);
            called.acquire();
        } finally {
            server.close();
        }
        assertEquals(0, thrown.size(), thrown::toString);
    }

    @Test
    void aRoutineIsCalledAgainAfterItsVectorCameLate() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        final String path = folder.resolve("s").toString();
        Process late = null;
        try (IvshmemServer server = start(2);
            IvshmemMemory device = Ivshmem.doorbell(
                path, DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            awaitOwnVectors(device, 2);
            device.registerInterruptServiceRoutine(1, vector -> called.release());
            server.close();
            assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
            late = Script.start("listening", "late_vector_server.py", path, file.toString());
            if (late == null) {
                System.out.println("SKIP aRoutineIsCalledAgainAfterItsVectorCameLate: there is no python3");
                return;
            }
            assertEquals(Code.UNKNOWN_VECTOR, ((IvshmemException) thrown.take()).getCode());
            assertEquals(1, device.getOwnVectors());
            late.getOutputStream().write('\n');
            late.getOutputStream().flush();
            awaitOwnVectors(device, 2);
            for (int ring = 0; ring < 3; ring++) {
                device.sendInterrupt(0, 1);
                called.acquire();
            }
        } finally {
            end(late);
        }
        assertEquals(0, thrown.size(), thrown::toString);
    }

    @Test
    void aShortPauseBetweenTwoVectorsIsNoFailure() throws Exception {
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        final String path = folder.resolve("s").toString();
        Process late = null;
        try (IvshmemServer server = start(2);
            IvshmemMemory device = Ivshmem.doorbell(
                path, DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            device.registerPeerConnectionListener(listener(heard));
            awaitOwnVectors(device, 2);
            device.registerInterruptServiceRoutine(1, vector -> called.release());
            server.close();
            assertEquals("server gone", heard.take());
            late = Script.start("listening", "late_vector_server.py", path, file.toString(), "0.1");
            if (late == null) {
                System.out.println("SKIP aShortPauseBetweenTwoVectorsIsNoFailure: there is no python3");
                return;
            }
            assertEquals("back as 0", heard.take());
            assertEquals(2, device.getOwnVectors());
            device.sendInterrupt(0, 1);
            called.acquire();
        } finally {
            end(late);
        }
        assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
        assertEquals(0, thrown.size(), thrown::toString);
    }

    @Test
    void aListenerWithoutAnExecutorMayWaitForARoutineOfAVectorThatIsBack() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        IvshmemServer server = start(2);
        try (IvshmemMemory device = Ivshmem.doorbell(
            server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            awaitOwnVectors(device, 2);
            device.registerInterruptServiceRoutine(1, vector -> called.release());
            device.registerPeerConnectionListener(listener(new LinkedBlockingQueue<String>() {
                @Override
                public boolean add(final String news) {
                    if (!news.equals("back as 0")) {
                        return false;
                    }
                    if (device.getOwnVectors() < 2) {
                        return heard.add("no vector");
                    }
                    device.sendInterrupt(0, 1);
                    try {
                        return heard.add(called.tryAcquire(20, TimeUnit.SECONDS) ? "called" : "not called");
                    } catch (final InterruptedException e) {
                        throw new AssertionError(e);
                    }
                }
            }));
            String last;
            do {
                // A server that is preempted between two vectors may have given the second one after the reconnection.
                awaitOwnVectors(device, 2);
                server.close();
                assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
                server = start(1);
                assertEquals("no vector", heard.take());
                assertEquals(Code.UNKNOWN_VECTOR, ((IvshmemException) thrown.take()).getCode());
                server.close();
                assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
                server = start(2);
                last = heard.take();
            } while (last.equals("no vector"));
            assertEquals("called", last);
        } finally {
            server.close();
        }
        assertEquals(0, thrown.size(), thrown::toString);
    }

    @Test
    void aVectorThatCannotComeBackKeepsNoOtherFromIt() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final Semaphore called = new Semaphore(0);
        final OutOfMemoryError noThread = new OutOfMemoryError("unable to create native thread");
        // Each of two vectors will need a new thread, and the start of the first one fails.
        final InheritableThreadLocal<Boolean> refusal = new InheritableThreadLocal<Boolean>() {
            @Override
            protected Boolean childValue(final Boolean inherited) {
                remove();
                throw noThread;
            }
        };
        final AtomicBoolean refuses = new AtomicBoolean();
        IvshmemServer server = start(3);
        try (IvshmemMemory device = Ivshmem.doorbell(
            server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> {
                // The thread that reports the loss of the server starts the others when the server is back.
                if (refuses.getAndSet(false)) {
                    refusal.set(true);
                }
                thrown.add(e);
            })) {
            awaitOwnVectors(device, 3);
            device.registerInterruptServiceRoutine(1, vector -> { });
            device.registerInterruptServiceRoutine(2, vector -> called.release());
            server.close();
            assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
            server = start(1);
            for (int vector = 1; vector < 3; vector++) {
                assertEquals(Code.UNKNOWN_VECTOR, ((IvshmemException) thrown.take()).getCode());
            }
            refuses.set(true);
            server.close();
            assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
            server = start(3);
            assertEquals(noThread, thrown.take());
            awaitOwnVectors(device, 3);
            device.sendInterrupt(0, 2);
            called.acquire();
        } finally {
            server.close();
        }
        assertEquals(0, thrown.size(), thrown::toString);
    }

    @Test
    void waitsAndFuturesOfAVectorThatTheNewServerDoesNotHaveEndWithTheReason() throws Exception {
        IvshmemServer server = start(2);
        try (IvshmemMemory device = Ivshmem.doorbell(
            server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> { })) {
            awaitOwnVectors(device, 2);
            final CompletableFuture<Integer> future = device.nextInterrupt(1);
            final FutureTask<Void> waits = new FutureTask<>(() -> {
                device.waitInterrupt(1);
                return null;
            });
            new Thread(waits).start();
            server.close();
            server = start(1);
            for (final Future<?> ended : Arrays.asList(future, waits)) {
                final ExecutionException e = assertThrows(ExecutionException.class, ended::get);
                assertEquals(Code.UNKNOWN_VECTOR, ((IvshmemException) e.getCause()).getCode());
            }
        } finally {
            server.close();
        }
    }

    @Test
    void closingWhileTheServerComesBackIsNoFailure() throws Exception {
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final BlockingQueue<Thread> closing = new LinkedBlockingQueue<>();
        IvshmemServer server = start(1);
        try (IvshmemMemory device = Ivshmem.doorbell(
            server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            device.registerPeerConnectionListener(listener(heard));
            device.registerInterruptServiceRoutine(0, vector -> { });
            onRecord = () -> {
                device.close();
                closing.add(Thread.currentThread());
            };
            server.close();
            assertEquals(Code.SERVER_GONE, ((IvshmemException) thrown.take()).getCode());
            server = start(1);
            closing.take().join();
            assertTrue(device.isClosed());
        } finally {
            server.close();
        }
        assertEquals(0, thrown.size(), thrown::toString);
    }

    @Test
    void aSlowListenerHearsOfPeersBeforeItHearsThatTheirServerWent() throws Exception {
        final BlockingQueue<String> slow = new LinkedBlockingQueue<>();
        final BlockingQueue<String> quick = new LinkedBlockingQueue<>();
        final Semaphore mayGoOn = new Semaphore(0);
        IvshmemServer server = start(1);
        // Two threads, one of which the slow listener occupies.
        final ExecutorService executor = Executors.newFixedThreadPool(2);
        try (IvshmemMemory first = Ivshmem.doorbell(server.getPath());
            IvshmemMemory device = Ivshmem.doorbell(
                server.getPath(), DoorbellOptions.defaults().reconnect(), executor, (thread, e) -> { })) {
            device.registerPeerConnectionListener(listener(new LinkedBlockingQueue<String>() {
                @Override
                public boolean add(final String news) {
                    final boolean added = slow.add(news);
                    mayGoOn.acquireUninterruptibly();
                    return added;
                }
            }));
            assertEquals("0 has 1", slow.take());
            device.registerPeerConnectionListener(listener(quick));
            assertEquals("0 has 1", quick.take());
            final IvshmemMemory second = Ivshmem.doorbell(server.getPath());
            assertEquals("2 has 1", quick.take());
            second.close();
            assertEquals("2 left", quick.take());
            try (IvshmemMemory third = Ivshmem.doorbell(server.getPath())) {
                assertEquals(third.getOwnPeerID() + " has 1", quick.take());
                server.close();
                assertEquals("server gone", quick.take());
                mayGoOn.release(1000);
                final String id = String.valueOf(third.getOwnPeerID());
                for (String news = slow.take(); !news.equals(id + " has 1"); news = slow.take()) {
                    assertEquals("2 left", news);
                }
                assertEquals("server gone", slow.take());
            }
            server = start(1);
            assertEquals("back as 0", slow.take());
        } finally {
            server.close();
            executor.shutdown();
        }
    }

    @Test
    void aServerWithOtherMemoryIsNotComeBackTo() throws Exception {
        final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        final IvshmemServer server = start(1);
        try (IvshmemMemory device = Ivshmem.doorbell(
            server.getPath(), DoorbellOptions.defaults().reconnect(), null, (thread, e) -> thrown.add(e))) {
            device.registerPeerConnectionListener(listener(heard));
            server.close();
            assertEquals("server gone", heard.take());
            thrown.take();
            try (IvshmemServer other = IvshmemServer.builder(server.getPath()).size(1 << 16).start()) {
                assertEquals("other memory", heard.take());
                final IvshmemException replaced = (IvshmemException) thrown.take();
                assertEquals(Code.SERVER_GONE, replaced.getCode());
                assertTrue(replaced.getMessage().contains("other memory"), replaced.getMessage());
                device.getMemory().write(0, 1);
                assertEquals(1 << 16, other.getSize());
            }
        }
    }

    @Test
    void withoutAHandlerTheLossOfTheServerIsALineOfTheLogAndNoStackTrace() throws Exception {
        final PrintStream standard = System.err;
        final ByteArrayOutputStream printed = new ByteArrayOutputStream();
        System.setErr(new PrintStream(printed, true));
        final IvshmemServer server = start(1);
        try (IvshmemMemory device = Ivshmem.doorbell(server.getPath())) {
            server.close();
            final LogRecord gone = logged.take();
            assertEquals(Level.WARNING, gone.getLevel());
            assertEquals(null, gone.getThrown());
            assertTrue(gone.getMessage().startsWith("doorbell:" + server.getPath() + ": the server is gone"), gone.getMessage());
            assertTrue(device.toString().contains("server gone"), device.toString());
        } finally {
            System.setErr(standard);
            server.close();
        }
        assertEquals("", printed.toString());
    }

    @Test
    void optionsAreCheckedAndDoWhatTheySay() {
        final DoorbellOptions options = DoorbellOptions.defaults();
        assertThrows(IllegalArgumentException.class, () -> options.grace(-1));
        assertThrows(IllegalArgumentException.class, () -> options.vectors(-1));
        assertThrows(IllegalArgumentException.class, () -> options.vectors(257));
        assertThrows(NullPointerException.class, () -> Ivshmem.doorbell("x", (DoorbellOptions) null));
        assertThrows(NullPointerException.class, () -> Ivshmem.doorbell(null, options));
        try (IvshmemServer server = start(2)) {
            final IvshmemException few = assertThrows(IvshmemException.class,
                () -> Ivshmem.doorbell(server.getPath(), options.grace(0).vectors(3)));
            assertEquals(Code.TIMED_OUT, few.getCode());
            try (IvshmemMemory device = Ivshmem.doorbell(server.getPath(), options.vectors(2).readOnly())) {
                assertEquals(2, device.getOwnVectors());
                assertFalse(device.getMemory().isWriteable());
                assertThrows(UnsupportedOperationException.class, () -> device.getMemory().write(0, 1));
            }
        }
    }

    @Test
    void devicesMemoryAndServersSayWhatTheyAre() {
        final String server;
        final String client;
        final IvshmemServer running = start(2);
        final IvshmemMemory device = Ivshmem.doorbell(running.getPath());
        try {
            server = "IvshmemServer[path=" + running.getPath() + ", size=65536, vectors=2, ";
            client = "[target=doorbell:" + running.getPath() + ", size=65536";
            assertEquals(server + "running]", running.toString());
            assertEquals("IvshmemMemory" + client + ", peer=0, open]", device.toString());
            assertEquals("NativeMemory" + client + ", open]", device.getMemory().toString());
        } finally {
            device.close();
            running.close();
        }
        assertEquals(server + "closed]", running.toString());
        assertEquals("IvshmemMemory" + client + ", peer=0, closed]", device.toString());
        assertEquals("NativeMemory" + client + ", closed]", device.getMemory().toString());
        final String target = "plain:" + file + "?readonly";
        try (IvshmemMemory plain = Ivshmem.open(target)) {
            assertEquals("IvshmemMemory[target=" + target + ", size=65536, open]", plain.toString());
            assertEquals("NativeMemory[target=" + target + ", size=65536, read-only, open]", plain.getMemory().toString());
        }
    }

    /** Vectors may be announced one by one. */
    private static void awaitVectors(final BlockingQueue<String> heard, final String wanted) throws InterruptedException {
        String last = heard.take();
        while (last.endsWith(" has 1")) {
            last = heard.take();
        }
        assertEquals(wanted, last);
    }

    private static void awaitOwnVectors(final IvshmemMemory device, final int vectors) throws InterruptedException {
        while (device.getOwnVectors() != vectors) {
            Thread.sleep(1);
        }
    }

    private static void end(final Process server) throws InterruptedException {
        if (server != null) {
            server.destroyForcibly().waitFor();
        }
    }

    private IvshmemServer start(final int vectors) {
        return IvshmemServer.builder(folder.resolve("s").toString())
            .size(1 << 16).vectors(vectors).memoryFile(file.toString()).start();
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

            @Override
            public void onServerGone() {
                heard.add("server gone");
            }

            @Override
            public void onReconnect(final int ownPeerID) {
                heard.add("back as " + ownPeerID);
            }

            @Override
            public void onMemoryReplaced() {
                heard.add("other memory");
            }
        };
    }
}
