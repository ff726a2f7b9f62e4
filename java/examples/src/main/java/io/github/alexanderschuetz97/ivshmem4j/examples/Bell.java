package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import java.util.concurrent.Semaphore;

/**
 * Interrupts: one program waits for them, another one sends them. Both are clients of a server; in a virtual machine use
 * {@code auto} instead of {@code doorbell:PATH}.
 *
 * <pre>
 * ivshmem-server -F -S /tmp/s -l 1M -n 2 &amp;
 * java -cp ivshmem4j.jar Bell.java doorbell:/tmp/s         # prints its peer id, then waits
 * java -cp ivshmem4j.jar Bell.java doorbell:/tmp/s 0 1     # rings vector 1 of peer 0
 * </pre>
 */
public final class Bell {

    private static final int MESSAGE = 0;

    private Bell() {}

    /**
     * Runs the program.
     *
     * @param arguments the target string; to send an interrupt, also the peer and its vector
     * @throws InterruptedException never
     */
    public static void main(final String[] arguments) throws InterruptedException {
        try (IvshmemMemory device = Ivshmem.open(arguments[0])) {
            if (arguments.length == 1) {
                listen(device);
            } else {
                device.getMemory().writeLongRelease(MESSAGE, 42);
                device.sendInterrupt(Integer.parseInt(arguments[1]), Integer.parseInt(arguments[2]));
            }
        }
    }

    private static void listen(final IvshmemMemory device) throws InterruptedException {
        final Semaphore rung = new Semaphore(0);
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            // Runs in a thread of the library: keep it short.
            device.registerInterruptServiceRoutine(vector, number -> {
                System.out.println("rung on vector " + number);
                rung.release();
            });
        }
        System.out.println("peer " + device.getOwnPeerID() + " listens");
        // An interrupt is a hint, and several may be merged into one: the memory has the exact state.
        do {
            rung.acquire();
        } while (device.getMemory().readLongAcquire(MESSAGE) == 0);
        System.out.println("the message is " + device.getMemory().readLongAcquire(MESSAGE));
    }
}
