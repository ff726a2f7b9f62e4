package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * One of several programs, each in a virtual machine or on the host, that say something to each other through shared
 * memory, and then call each other by interrupts, each the others on each vector.
 *
 * <p>Each has a page of the memory that only it writes, so nothing needs a lock.
 */
public final class Meet {

    /** Bytes of a page, and in it: the peer id and 1, whether it is done, the text, and two tables of counters. */
    private static final int PAGE = 8192;
    private static final int ID = 0;
    private static final int DONE = 4;
    private static final int TEXT = 64;
    private static final int ROOM = 512;
    private static final int CALLED = 1024;
    private static final int ANSWERED = 4096;
    private static final int MAX_VECTORS = 32;
    private static final int PATIENCE_SECONDS = 30;

    private final IvshmemMemory device;
    private final NativeMemory memory;
    private final int me;
    private final int programs;
    private final Semaphore rung = new Semaphore(0);

    private Meet(final IvshmemMemory device, final int me, final int programs) {
        this.device = device;
        this.memory = device.getMemory();
        this.me = me;
        this.programs = programs;
    }

    /**
     * Runs the program.
     *
     * @param arguments what to open: {@code auto} in a guest, {@code doorbell:PATH} on the host; the number of this
     *     program, from 0; how many there are, at most 8; how often to call each other one on each vector; what to say
     * @throws Exception when another program does not do what was agreed on
     */
    public static void main(final String[] arguments) throws Exception {
        final int me = Integer.parseInt(arguments[1]);
        try (IvshmemMemory device = Ivshmem.open(arguments[0])) {
            System.out.println("opened peer " + device.getOwnPeerID() + " with " + device.getOwnVectors() + " vectors in Java "
                + System.getProperty("java.version"));
            final Meet meet = new Meet(device, me, Integer.parseInt(arguments[2]));
            meet.introduce(arguments[4]);
            meet.callAll(Integer.parseInt(arguments[3]));
            meet.leave();
        }
    }

    private void introduce(final String text) throws Exception {
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            device.registerInterruptServiceRoutine(vector, this::answer);
        }
        final byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        memory.write(page(me) + TEXT + 4, bytes);
        memory.writeInt(page(me) + TEXT, bytes.length);
        // Publishes what stands before it; who reads it with acquire sees the text.
        memory.writeIntRelease(page(me) + ID, device.getOwnPeerID() + 1);
        for (int other = 0; other < programs; other++) {
            while (memory.readIntAcquire(page(other) + ID) == 0) {
                Thread.sleep(1);
            }
            if (other != me) {
                System.out.println("heard " + other + " say: " + text(other));
            }
        }
    }

    /** What another program says. It could have written anything: check the length before using it. */
    private String text(final int other) {
        final int length = memory.readInt(page(other) + TEXT);
        if (length < 0 || length > ROOM) {
            throw new IllegalStateException("a text of " + length + " bytes, at most " + ROOM + " are agreed on");
        }
        final byte[] bytes = new byte[length];
        memory.read(page(other) + TEXT + 4, bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private void callAll(final int rounds) throws Exception {
        for (int other = 0; other < programs; other++) {
            if (other == me) {
                continue;
            }
            for (int vector = 0; vector < device.getOwnVectors(); vector++) {
                final long begin = System.nanoTime();
                for (long round = 1; round <= rounds; round++) {
                    memory.writeLongRelease(counter(me, CALLED, other, vector), round);
                    ring(other, vector);
                    if (round == 1) {
                        meet(other, vector);
                    }
                    awaitAnswer(other, vector, round);
                }
                final long each = (System.nanoTime() - begin) / Math.max(rounds, 1) / 1000;
                System.out.println("called " + other + " on vector " + vector + ": " + rounds
                    + " interrupts each way, " + each + " us there and back");
            }
        }
    }

    /** Rings until the first answer: an interrupt to a program that this machine has not heard of yet is lost. */
    private void meet(final int other, final int vector) throws Exception {
        for (int tries = 0; tries < 1000 && !isAnswered(other, vector, 1); tries++) {
            if (!rung.tryAcquire(50, TimeUnit.MILLISECONDS)) {
                ring(other, vector);
            }
        }
    }

    /** An interrupt says that something may have changed: look at the memory after each. */
    private void awaitAnswer(final int other, final int vector, final long round) throws Exception {
        while (!isAnswered(other, vector, round)) {
            if (!rung.tryAcquire(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException("no answer from " + other + " on vector " + vector + ", round " + round);
            }
        }
    }

    private boolean isAnswered(final int other, final int vector, final long round) {
        return memory.readLongAcquire(counter(other, ANSWERED, me, vector)) == round;
    }

    /** Runs in a thread of the library's, one for each vector. */
    private void answer(final int vector) {
        for (int other = 0; other < programs; other++) {
            final long call = memory.readLongAcquire(counter(other, CALLED, me, vector));
            if (call != memory.readLong(counter(me, ANSWERED, other, vector))) {
                memory.writeLongRelease(counter(me, ANSWERED, other, vector), call);
                ring(other, vector);
            }
        }
        rung.release();
    }

    /** Closing earlier would leave the others without answers. */
    private void leave() throws Exception {
        memory.writeIntRelease(page(me) + DONE, 1);
        for (int other = 0; other < programs; other++) {
            while (memory.readIntAcquire(page(other) + DONE) == 0) {
                Thread.sleep(1);
            }
        }
        System.out.println("done");
    }

    private void ring(final int other, final int vector) {
        device.sendInterrupt(memory.readInt(page(other) + ID) - 1, vector);
    }

    private static long page(final int program) {
        return (long) PAGE * program;
    }

    /** The counter of a program for another one and a vector. */
    private static long counter(final int program, final int table, final int other, final int vector) {
        return page(program) + table + 8L * (MAX_VECTORS * other + vector);
    }
}
