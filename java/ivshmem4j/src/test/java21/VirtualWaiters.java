import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;

/**
 * Many virtual threads that wait for the interrupts of another process, under a flight recording. VirtualThreadsTest runs
 * this program from its source, as the other tests are compiled for Java 8.
 */
final class VirtualWaiters {

    private static final String PINNED = "jdk.VirtualThreadPinned";
    /** A field of the event on Java 24 and newer. */
    private static final String REASON = "pinnedReason";

    private VirtualWaiters() {}

    /**
     * Arguments: the server's path, the number of threads, the number of rounds. Prints its peer id; "waiting" when all
     * threads are parked and an interrupt must be sent; "woken" when all have returned; and finally how often a carrier was
     * pinned: by the waits, and by a thread that pins one on purpose.
     */
    public static void main(final String[] arguments) throws Exception {
        final int count = Integer.parseInt(arguments[1]);
        final int rounds = Integer.parseInt(arguments[2]);
        final long pinned;
        try (IvshmemMemory device = Ivshmem.doorbell(arguments[0])) {
            loadClasses(device);
            System.out.println(device.getOwnPeerID());
            pinned = pinnedDuring(() -> wait(device, count, rounds));
        }
        final long onPurpose = pinnedDuring(() -> Thread.startVirtualThread(Pin::once).join());
        System.out.println("pinned " + pinned + ", on purpose " + Math.min(onPurpose, 1));
    }

    /** Loads the classes first, as two threads that load a class at the same time pin a carrier. */
    private static void loadClasses(final IvshmemMemory device) throws InterruptedException {
        final Thread first = Thread.startVirtualThread(() -> {
            try {
                device.waitInterrupt(1, 1, TimeUnit.MILLISECONDS);
                device.waitInterrupt(1);
            } catch (final InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        while (first.getState() != Thread.State.WAITING) {
            Thread.sleep(1);
        }
        device.sendInterrupt(device.getOwnPeerID(), 1);
        first.join();
    }

    private static void wait(final IvshmemMemory device, final int count, final int rounds) throws Exception {
        final List<CountDownLatch> woken = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            woken.add(new CountDownLatch(count));
        }
        final List<Thread> threads = new ArrayList<>();
        for (int thread = 0; thread < count; thread++) {
            threads.add(Thread.startVirtualThread(() -> {
                try {
                    for (final CountDownLatch latch : woken) {
                        device.waitInterrupt(0);
                        latch.countDown();
                    }
                } catch (final InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }));
        }
        for (final CountDownLatch latch : woken) {
            for (final Thread thread : threads) {
                while (thread.getState() != Thread.State.WAITING) {
                    Thread.sleep(1);
                }
            }
            if (latch.getCount() != count) {
                throw new IllegalStateException("woken before the interrupt: " + (count - latch.getCount()));
            }
            System.out.println("waiting");
            latch.await();
            System.out.println("woken");
        }
        for (final Thread thread : threads) {
            thread.join();
        }
    }

    private static long pinnedDuring(final Action action) throws Exception {
        final Path file = Files.createTempFile("ivshmem4j", ".jfr");
        try (Recording recording = new Recording()) {
            recording.enable(PINNED).withThreshold(Duration.ZERO).withStackTrace();
            recording.start();
            action.run();
            recording.stop();
            recording.dump(file);
            long pinned = 0;
            for (final RecordedEvent event : RecordingFile.readAllEvents(file)) {
                if (event.getEventType().getName().equals(PINNED) && !waitedForClass(event)) {
                    System.err.println(event);
                    pinned++;
                }
            }
            return pinned;
        } finally {
            Files.delete(file);
        }
    }

    /**
     * Whether the thread waited for a class: if two threads need a class of the JDK for the first time, the JVM makes one
     * of them wait.
     */
    private static boolean waitedForClass(final RecordedEvent event) {
        return event.hasField(REASON) && String.valueOf(event.getString(REASON)).startsWith("Waited for initialization of");
    }

    private interface Action {
        void run() throws Exception;
    }

    /** Sleeps in a class initializer: a native frame of the JVM is on the stack, so the carrier cannot leave the thread. */
    private static final class Pin {

        static {
            try {
                Thread.sleep(20);
            } catch (final InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }

        private Pin() {}

        static void once() {}
    }
}
