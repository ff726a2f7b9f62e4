package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Callbacks of two devices in two executors, which remove each other and close each other's device at the same time. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class RemovalTest {

    @TempDir
    Path folder;

    private final ExecutorService[] executors = {Executors.newSingleThreadExecutor(), Executors.newSingleThreadExecutor()};
    private final IvshmemMemory[] devices = new IvshmemMemory[2];
    private final Queue<Throwable> thrown = new ConcurrentLinkedQueue<>();
    /** Whether the handler may receive the loss of the server at any time. */
    private volatile boolean serverMayGo;
    private IvshmemServer server;

    @BeforeEach
    void startAServerAndTwoClients() {
        server = IvshmemServer.builder(folder.resolve("s").toString()).vectors(2).start();
        for (int i = 0; i < 2; i++) {
            devices[i] = Ivshmem.doorbell(server.getPath(), 5000, executors[i], (thread, e) -> handle(e));
        }
    }

    @AfterEach
    void stop() {
        for (int i = 0; i < 2; i++) {
            devices[i].close();
            executors[i].shutdownNow();
        }
        server.close();
        assertEquals("[]", thrown.toString());
    }

    @Test
    void routinesThatRemoveEachOtherBothEnd() throws Exception {
        for (int round = 0; round < 50; round++) {
            final CyclicBarrier both = new CyclicBarrier(2);
            final CountDownLatch ended = new CountDownLatch(2);
            final InterruptServiceRoutine[] routines = new InterruptServiceRoutine[2];
            for (int i = 0; i < 2; i++) {
                final int other = 1 - i;
                routines[i] = vector -> {
                    await(both);
                    devices[other].removeInterruptServiceRoutine(vector, routines[other]);
                    ended.countDown();
                };
            }
            for (int i = 0; i < 2; i++) {
                devices[i].registerInterruptServiceRoutine(0, routines[i]);
            }
            for (final IvshmemMemory device : devices) {
                device.sendInterrupt(device.getOwnPeerID(), 0);
            }
            ended.await();
        }
    }

    @Test
    void listenersThatRemoveEachOtherBothEnd() throws Exception {
        final CyclicBarrier both = new CyclicBarrier(2);
        final CountDownLatch ended = new CountDownLatch(2);
        final PeerConnectionListener[] listeners = new PeerConnectionListener[2];
        for (int i = 0; i < 2; i++) {
            final int other = 1 - i;
            final AtomicBoolean called = new AtomicBoolean();
            listeners[i] = listener(peer -> {
                // A second call may begin before the other listener has removed this one.
                if (called.compareAndSet(false, true)) {
                    await(both);
                    devices[other].removePeerConnectionListener(listeners[other]);
                    ended.countDown();
                }
            });
        }
        for (int i = 0; i < 2; i++) {
            devices[i].registerPeerConnectionListener(listeners[i]);
        }
        ended.await();
    }

    @Test
    void aListenerThatIsRemovedDuringItsFirstCallIsNotCalledAgain() throws Exception {
        final BlockingQueue<Runnable> jobs = new LinkedBlockingQueue<>();
        final List<Integer> peers = new ArrayList<>();
        final Set<Integer> known = new HashSet<>();
        try (IvshmemMemory device = Ivshmem.doorbell(server.getPath(), 5000, jobs::add)) {
            final PeerConnectionListener[] first = new PeerConnectionListener[1];
            first[0] = listener(peer -> {
                peers.add(peer);
                device.removePeerConnectionListener(first[0]);
            });
            device.registerPeerConnectionListener(first[0]);
            final Runnable job = jobs.take();
            // The first listener receives each change first.
            device.registerPeerConnectionListener(listener(known::add));
            while (known.size() < devices.length) {
                jobs.take().run();
            }
            job.run();
            assertEquals(1, peers.size(), peers.toString());
        }
    }

    @Test
    void routinesThatCloseEachOthersDevicesAndTheServerBothEnd() throws Exception {
        serverMayGo = true;
        final CyclicBarrier both = new CyclicBarrier(2);
        final CountDownLatch ended = new CountDownLatch(2);
        for (int i = 0; i < 2; i++) {
            final int other = 1 - i;
            devices[i].registerInterruptServiceRoutine(1, vector -> {
                await(both);
                devices[other].close();
                server.close();
                devices[1 - other].close();
                ended.countDown();
            });
        }
        for (final IvshmemMemory device : devices) {
            device.sendInterrupt(device.getOwnPeerID(), 1);
        }
        ended.await();
        assertTrue(devices[0].isClosed() && devices[1].isClosed());
    }

    @Test
    void theLossOfTheServerIsNotReportedByADeviceThatIsClosed() {
        serverMayGo = true;
        final Queue<Throwable> reported = new ConcurrentLinkedQueue<>();
        final long device = NativeLibrary.connect(server.getPath(), new long[] {5000, -1, -1, -1});
        try {
            final Dispatch dispatch = new Dispatch(device, false, true, null, new Handler((thread, e) -> {
                reported.add(e);
                NativeLibrary.deviceClose(device);
            }, "test"));
            dispatch.close();
            server.close();
            new PeerLoop(device, dispatch).run();
        } finally {
            NativeLibrary.deviceClose(device);
            NativeLibrary.deviceFree(device);
        }
        assertEquals("[]", reported.toString());
    }

    private static PeerConnectionListener listener(final IntConsumer connected) {
        return new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) {
                connected.accept(peer);
            }

            @Override
            public void onDisconnect(final int peer) {}
        };
    }

    private void handle(final Throwable e) {
        if (!serverMayGo || !(e instanceof IvshmemException) || ((IvshmemException) e).getCode() != Code.SERVER_GONE) {
            thrown.add(e);
        }
    }

    private void await(final CyclicBarrier barrier) {
        try {
            barrier.await();
        } catch (final Exception e) {
            thrown.add(e);
        }
    }
}
