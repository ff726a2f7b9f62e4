package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.lang.reflect.Field;
import java.nio.file.Path;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
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

/**
 * If the system cannot start a thread, the requesting thread rings, and a peer may block it: it must not hold a lock that
 * the thread in the native library needs.
 */
@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class RingingTest {

    @TempDir
    Path folder;

    /** The jobs of the device, in order. */
    private final BlockingQueue<Runnable> jobs = new LinkedBlockingQueue<>();
    /** For each ring, the locks that the ringing thread holds. */
    private final Queue<String> rings = new ConcurrentLinkedQueue<>();
    private IvshmemServer server;
    private IvshmemMemory device;
    private Dispatch dispatch;
    private Vector vector;
    private ReentrantLock lock;

    @BeforeEach
    void open() throws Exception {
        server = IvshmemServer.builder(folder.resolve("s").toString()).start();
        device = Ivshmem.doorbell(server.getPath(), jobs::add, null);
        dispatch = (Dispatch) field(device.getClass(), "dispatch").get(device);
        vector = dispatch.vector(0);
        lock = (ReentrantLock) field(Vector.class, "lock").get(vector);
        field(Vector.class, "bell").set(vector, new Bell(this::ring, thread -> {
            throw new OutOfMemoryError("on purpose");
        }));
    }

    @AfterEach
    void close() {
        device.close();
        server.close();
    }

    @Test
    void aFutureThatIsToHearOfAnInterruptRingsWithNoLock() throws Exception {
        leaveAnInterruptUnheard();
        final CompletableFuture<Integer> future = device.nextInterrupt(0);
        assertEquals("[none]", rings.toString());
        jobs.take().run();
        jobs.take().run();
        assertEquals(0, future.get());
    }

    @Test
    void aRoutineThatIsToHearOfAnInterruptRingsWithNoLock() throws Exception {
        leaveAnInterruptUnheard();
        final BlockingQueue<Integer> heard = new LinkedBlockingQueue<>();
        device.registerInterruptServiceRoutine(0, heard::add);
        assertEquals("[none]", rings.toString());
        // The other routine may run twice.
        while (heard.isEmpty()) {
            jobs.take().run();
        }
        assertEquals(0, heard.take());
    }

    @Test
    void aFutureThatWasGivenUpRingsForTheOthersWithNoLock() throws Exception {
        device.registerInterruptServiceRoutine(0, number -> { });
        final CompletableFuture<Integer> future = device.nextInterrupt(0);
        device.sendInterrupt(device.getOwnPeerID(), 0);
        final Runnable completing = jobs.take();
        final Runnable routine = jobs.take();
        awaitReader();
        future.cancel(false);
        completing.run();
        assertEquals("[none]", rings.toString());
        routine.run();
    }

    @Test
    void aThreadThatIsInterruptedBeforeItReadsDoesNotRing() throws Exception {
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
        lock.lock();
        try {
            waiter.start();
            while (!lock.hasQueuedThread(waiter)) {
                Thread.yield();
            }
            waiter.interrupt();
        } finally {
            lock.unlock();
        }
        assertEquals("interrupted", ends.take());
        assertEquals("[]", rings.toString());
        assertFalse(device.waitInterrupt(0, 0, TimeUnit.SECONDS));
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

    private void awaitReader() throws Exception {
        final Field reading = field(Vector.class, "reading");
        for (boolean isReading = false; !isReading;) {
            lock.lock();
            try {
                isReading = reading.getBoolean(vector);
            } finally {
                lock.unlock();
            }
        }
    }

    private void ring() {
        final boolean ofDevice = Thread.holdsLock(dispatch);
        final boolean ofVector = lock.isHeldByCurrentThread();
        rings.add(ofDevice ? "the device's" : ofVector ? "the vector's" : "none");
        device.sendInterrupt(device.getOwnPeerID(), 0);
    }

    private static Field field(final Class<?> owner, final String name) throws Exception {
        final Field field = owner.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }
}
