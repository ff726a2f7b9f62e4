package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import java.util.concurrent.ThreadFactory;

/**
 * Waiting threads: each vector has a thread that only waits for its interrupts. From Java 21 on these are virtual threads,
 * which cost very little; before, they are platform threads.
 *
 * <pre>
 * ivshmem-server -F -S /tmp/s -l 1M -n 2 &amp;
 * java -cp ivshmem4j.jar Waiters.java doorbell:/tmp/s      # prints its peer id, then waits
 * java -cp ivshmem4j.jar Bell.java doorbell:/tmp/s 0 1     # rings vector 1 of peer 0
 * </pre>
 */
public final class Waiters {

    private Waiters() {}

    /**
     * Runs the program.
     *
     * @param arguments the target string
     * @throws Exception if threads cannot be created
     */
    public static void main(final String[] arguments) throws Exception {
        final ThreadFactory threads = threads();
        try (IvshmemMemory device = Ivshmem.open(arguments[0])) {
            final Thread[] waiters = new Thread[device.getOwnVectors()];
            for (int i = 0; i < waiters.length; i++) {
                final int vector = i;
                waiters[i] = threads.newThread(() -> wait(device, vector));
                waiters[i].start();
            }
            System.out.println("peer " + device.getOwnPeerID() + " waits");
            System.in.read();
            // Wakes all threads.
            device.close();
            for (final Thread waiter : waiters) {
                waiter.join();
            }
        }
        System.out.println("all threads have ended");
    }

    private static void wait(final IvshmemMemory device, final int vector) {
        try {
            while (true) {
                device.waitInterrupt(vector);
                System.out.println("rung on vector " + vector);
            }
        } catch (final IllegalStateException e) {
            // The device is closed.
        } catch (final InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** In a program for Java 21 and newer only, this is {@code Thread.ofVirtual().factory()}. */
    private static ThreadFactory threads() throws ReflectiveOperationException {
        try {
            final Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
            return (ThreadFactory) Class.forName("java.lang.Thread$Builder").getMethod("factory").invoke(builder);
        } catch (final NoSuchMethodException e) {
            return Thread::new;
        }
    }
}
