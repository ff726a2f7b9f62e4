package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.lang.ref.WeakReference;
import java.lang.reflect.Field;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Interrupts that a routine or a future was to receive and has not: the next receiver gets them. */
@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class ReceivingTest {

    @TempDir
    Path folder;

    /** The jobs of the device, in order. */
    private final BlockingQueue<Runnable> jobs = new LinkedBlockingQueue<>();
    private IvshmemServer server;
    private IvshmemMemory device;
    private Vector vector;

    @BeforeEach
    void open() throws Exception {
        server = IvshmemServer.builder(folder.resolve("s").toString()).start();
        device = Ivshmem.doorbell(server.getPath(), jobs::add, null);
        vector = ((Dispatch) field(device.getClass(), "dispatch").get(device)).vector(0);
    }

    @AfterEach
    void close() {
        device.close();
        server.close();
    }

    @Test
    void aFutureGetsAnInterruptThatARoutineHasNotReceived() throws Exception {
        leaveAnInterruptUnheard();
        final CompletableFuture<Integer> future = device.nextInterrupt(0);
        jobs.take().run();
        jobs.take().run();
        assertEquals(0, future.get());
    }

    @Test
    void aRoutineGetsAnInterruptThatAnotherHasNotReceived() throws Exception {
        leaveAnInterruptUnheard();
        final BlockingQueue<Integer> heard = new LinkedBlockingQueue<>();
        device.registerInterruptServiceRoutine(0, heard::add);
        // The other routine may run twice.
        while (heard.isEmpty()) {
            jobs.take().run();
        }
        assertEquals(0, heard.take());
    }

    @Test
    void aRoutineGetsTheInterruptOfAFutureThatWasGivenUp() throws Exception {
        final CompletableFuture<Integer> future = device.nextInterrupt(0);
        device.sendInterrupt(device.getOwnPeerID(), 0);
        final Runnable completing = jobs.take();
        future.cancel(false);
        completing.run();
        final BlockingQueue<Integer> received = new LinkedBlockingQueue<>();
        device.registerInterruptServiceRoutine(0, received::add);
        jobs.take().run();
        assertEquals(0, received.take());
    }

    @Test
    void aFutureIsCompletedThoughItsJobRunsAfterTheDeviceIsClosed() throws Exception {
        final CompletableFuture<Integer> future = device.nextInterrupt(0);
        device.sendInterrupt(device.getOwnPeerID(), 0);
        final Runnable completing = jobs.take();
        device.close();
        completing.run();
        assertEquals(0, future.get());
    }

    @Test
    void aCancellationCountsThoughTheDeviceLacksTheVector() throws Exception {
        final Object handle = field(device.getClass(), "device").get(device);
        NativeLibrary.deviceCancel(((NativeDevice) handle).handle(), 255);
    }

    @Test
    void aThreadThatIsInterruptedTakesNoInterrupt() throws Exception {
        final BlockingQueue<String> ends = new LinkedBlockingQueue<>();
        final Thread waiter = new Thread(() -> {
            try {
                device.waitInterrupt(0);
                ends.add("rung");
            } catch (final InterruptedException e) {
                ends.add("interrupted");
            } catch (final RuntimeException e) {
                ends.add(e.toString());
            }
        });
        waiter.start();
        awaitNative(waiter);
        waiter.interrupt();
        assertEquals("interrupted", ends.take());
        assertFalse(device.waitInterrupt(0, 0, TimeUnit.SECONDS));
        device.sendInterrupt(device.getOwnPeerID(), 0);
        assertTrue(device.waitInterrupt(0, 0, TimeUnit.SECONDS));
    }

    @Test
    void aThreadThatHasWaitedKeepsNothingOfAClosedDeviceReachable() throws Exception {
        final ExecutorService thread = Executors.newSingleThreadExecutor();
        try {
            final WeakReference<Executor> executor = thread.submit(() -> {
                final List<Runnable> unused = new ArrayList<>();
                final Executor jobs = unused::add;
                try (IvshmemMemory other = Ivshmem.doorbell(server.getPath(), jobs, null)) {
                    other.waitInterrupt(0, 1, TimeUnit.MILLISECONDS);
                }
                return new WeakReference<>(jobs);
            }).get();
            while (executor.get() != null) {
                System.gc();
            }
        } finally {
            thread.shutdownNow();
        }
    }

    /** Waits until a thread is in the native library. */
    private static void awaitNative(final Thread thread) {
        while (true) {
            final StackTraceElement[] stack = thread.getStackTrace();
            if (stack.length > 0 && stack[0].getMethodName().equals("deviceWait")) {
                return;
            }
        }
    }

    /**
     * Leaves an interrupt whose routine has been submitted but has not started; the submitting thread waits for the next
     * interrupt.
     */
    private void leaveAnInterruptUnheard() throws Exception {
        device.registerInterruptServiceRoutine(0, number -> { });
        device.sendInterrupt(device.getOwnPeerID(), 0);
        while (jobs.isEmpty()) {
            Thread.yield();
        }
        awaitReader();
    }

    /** Waits until the thread of the routines waits in the native library. */
    private void awaitReader() throws Exception {
        final Object attendant = field(Vector.class, "forCallbacks").get(vector);
        final ReentrantLock lock = (ReentrantLock) field(Vector.class, "lock").get(vector);
        final Field waiting = field(attendant.getClass(), "waiting");
        for (boolean isWaiting = false; !isWaiting;) {
            lock.lock();
            try {
                isWaiting = waiting.getBoolean(attendant);
            } finally {
                lock.unlock();
            }
        }
    }

    private static Field field(final Class<?> owner, final String name) throws Exception {
        final Field field = owner.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }
}
