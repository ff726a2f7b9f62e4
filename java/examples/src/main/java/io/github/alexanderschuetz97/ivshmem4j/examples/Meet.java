package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * One of several programs, each in a virtual machine or on the host. They exchange texts through shared memory, and then
 * each sends interrupts to each other program on every vector.
 *
 * <p>Each program has a page of the memory that only it writes, so no lock is needed.
 */
public final class Meet {

    /**
     * The size of a page, and the offsets in it: the peer id plus 1, whether the program is done, the text, and two tables
     * of counters.
     */
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
     * @param arguments the target string: {@code auto} in a guest, {@code doorbell:PATH} on the host; the number of this
     *     program, from 0; the number of programs, at most 8; the number of calls to each other program on each vector; the
     *     text
     * @throws Exception if another program violates the agreed protocol
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
        // Publishes the writes before it: a program that reads this number with acquire sees the text.
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

    /** The text of another program. That program could have written any length: check it before using it. */
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

    /**
     * Rings until the first answer: an interrupt is lost if the server has not yet announced its receiver to this machine.
     */
    private void meet(final int other, final int vector) throws Exception {
        for (int tries = 0; tries < 1000 && !isAnswered(other, vector, 1); tries++) {
            if (!rung.tryAcquire(50, TimeUnit.MILLISECONDS)) {
                ring(other, vector);
            }
        }
    }

    /** An interrupt means that something may have changed: read the memory after each one. */
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

    /** Runs in a thread of the library, one for each vector. */
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

    /** Waits for the other programs, as they would get no answers after closing. */
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

    /** The offset of the counter of a program for another program and a vector. */
    private static long counter(final int program, final int table, final int other, final int vector) {
        return page(program) + table + 8L * (MAX_VECTORS * other + vector);
    }
}
