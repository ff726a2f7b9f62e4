package io.github.alexanderschuetz97.ivshmem4j.jmh;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * One of the two programs of bench/src/bin/java_doorbell.rs: sends and receives interrupts according to the lines of its
 * input.
 */
public final class Doorbell {

    private static final int VECTOR = 0;

    private final IvshmemMemory device;
    private final int peer;

    private Doorbell(final IvshmemMemory device, final int peer) {
        this.device = device;
        this.peer = peer;
    }

    /** Argument: the server's path. Prints the Java version and its peer id, and reads the peer id of the other program. */
    public static void main(final String[] arguments) throws IOException, InterruptedException {
        try (IvshmemMemory device = Ivshmem.doorbell(arguments[0])) {
            System.out.println("Java " + Runtime.version());
            System.out.println(device.getOwnPeerID());
            final BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            final Doorbell doorbell = new Doorbell(device, Integer.parseInt(orders.readLine()));
            for (String order = orders.readLine(); order != null; order = orders.readLine()) {
                final String[] words = order.split(" ");
                final int trips = Integer.parseInt(words[2]);
                if (words[0].equals("ping")) {
                    System.out.println(doorbell.ping(words[1], trips));
                } else {
                    doorbell.pong(words[1], trips);
                    System.out.println("done");
                }
            }
        }
    }

    /** Removes earlier interrupts, as a wait also returns for an interrupt that arrived before it. */
    private void forgetInterrupts() throws InterruptedException {
        while (device.waitInterrupt(VECTOR, 0, TimeUnit.NANOSECONDS)) {
            // Removes one more interrupt.
        }
    }

    /** The nanoseconds of all trips. */
    private long ping(final String way, final int trips) throws InterruptedException {
        forgetInterrupts();
        final long begin = System.nanoTime();
        if (way.equals("wait")) {
            for (int trip = 0; trip < trips; trip++) {
                device.sendInterrupt(peer, VECTOR);
                device.waitInterrupt(VECTOR);
            }
        } else {
            // The starter of the last trip does not start another one.
            callbacks(trips, trips - 1, () -> device.sendInterrupt(peer, VECTOR));
        }
        return System.nanoTime() - begin;
    }

    private void pong(final String way, final int trips) throws InterruptedException {
        forgetInterrupts();
        if (way.equals("wait")) {
            System.out.println("ready");
            for (int trip = 0; trip < trips; trip++) {
                device.waitInterrupt(VECTOR);
                device.sendInterrupt(peer, VECTOR);
            }
        } else {
            callbacks(trips, trips, () -> System.out.println("ready"));
        }
    }

    /** Answers interrupts from a routine. */
    private void callbacks(final int interrupts, final int answers, final Runnable first) throws InterruptedException {
        final CountDownLatch left = new CountDownLatch(interrupts);
        final InterruptServiceRoutine routine = new InterruptServiceRoutine() {

            private int given;

            @Override
            public void onInterrupt(final int vector) {
                if (given++ < answers) {
                    device.sendInterrupt(peer, vector);
                }
                left.countDown();
            }
        };
        device.registerInterruptServiceRoutine(VECTOR, routine);
        first.run();
        left.await();
        device.removeInterruptServiceRoutine(VECTOR, routine);
    }
}
