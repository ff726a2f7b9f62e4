package io.github.alexanderschuetz97.ivshmem4j.vmtest;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.util.Arrays;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Calls between programs: each is some data, a counter and an interrupt, answered with other data, a counter and an
 * interrupt. All data is checked, and whoever waits looks at the memory only when it was interrupted.
 */
final class Calls {

    /** Offset of the ids, and of the first block; there is a block for each caller, called one and vector. */
    private static final long IDS = 0;
    private static final long BLOCKS = 4096;
    private static final int BLOCK = 1024;
    private static final int PROGRAMS = 4;
    private static final int VECTORS = 8;

    /** In a block: what the caller writes, and what the one that is called does. */
    private static final int CALLED = 0;
    private static final int QUESTION = 8;
    private static final int ANSWERED = 512;
    private static final int ANSWER = 520;
    private static final int DATA = 256;

    /** Only against hanging. */
    private static final int PATIENCE_SECONDS = 60;

    private final IvshmemMemory device;
    private final NativeMemory memory;
    private final int me;
    private final Semaphore rung = new Semaphore(0);
    private volatile String broken;

    Calls(final IvshmemMemory device, final int me) {
        this.device = device;
        this.memory = device.getMemory();
        this.me = me;
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            device.registerInterruptServiceRoutine(vector, this::answer);
        }
        memory.writeIntRelease(IDS + 4L * me, device.getOwnPeerID() + 1);
    }

    /** Calls until there is an answer: a ring is lost as long as this machine's QEMU has not heard of a new peer. */
    String meet(final int other) throws Exception {
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            final long block = block(me, other, vector);
            final long round = memory.readLong(block + CALLED) + 1;
            memory.write(block + QUESTION, data(round));
            memory.writeLongRelease(block + CALLED, round);
            final long begin = System.nanoTime();
            do {
                if (System.nanoTime() - begin > TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS)) {
                    throw new IllegalStateException(other + " does not answer on vector " + vector);
                }
                ring(other, vector);
                rung.tryAcquire(20, TimeUnit.MILLISECONDS);
            } while (memory.readLongAcquire(block + ANSWERED) != round);
        }
        return "met";
    }

    /** Calls another program on each vector, again and again, with one ring for each call. */
    String call(final int other, final int rounds) throws Exception {
        final long begin = System.nanoTime();
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            final long block = block(me, other, vector);
            final long first = memory.readLong(block + CALLED) + 1;
            for (long round = first; round < first + rounds; round++) {
                memory.write(block + QUESTION, data(round));
                memory.writeLongRelease(block + CALLED, round);
                ring(other, vector);
                await(block, round);
                final byte[] answer = new byte[DATA];
                memory.read(block + ANSWER, answer);
                if (!Arrays.equals(answer, data(-round))) {
                    throw new IllegalStateException("wrong answer in round " + round + " of vector " + vector);
                }
            }
        }
        final long micros = (System.nanoTime() - begin) / 1000 / Math.max(rounds * device.getOwnVectors(), 1);
        return "called " + rounds + " times on " + device.getOwnVectors() + " vectors, " + micros + " us";
    }

    /** Rings without waiting; the last ring must be answered, however many were merged. */
    String burst(final int other, final int rings) throws Exception {
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            final long block = block(me, other, vector);
            final long last = memory.readLong(block + CALLED) + rings;
            memory.write(block + QUESTION, data(last));
            for (long round = last - rings + 1; round <= last; round++) {
                // Only the last one's data is there, so only that one is checked.
                memory.writeLongRelease(block + CALLED, round == last ? last : -round);
                ring(other, vector);
            }
            await(block, last);
        }
        return "rung " + rings + " times on " + device.getOwnVectors() + " vectors";
    }

    /** What went wrong while others called. */
    String check() {
        return broken == null ? "fine" : broken;
    }

    private void await(final long block, final long round) throws Exception {
        while (memory.readLongAcquire(block + ANSWERED) != round) {
            if (!rung.tryAcquire(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException("no interrupt in " + PATIENCE_SECONDS + " s, in round " + round);
            }
        }
    }

    private void answer(final int vector) {
        for (int other = 0; other < PROGRAMS; other++) {
            final long block = block(other, me, vector);
            final long round = memory.readLongAcquire(block + CALLED);
            if (round > memory.readLong(block + ANSWERED)) {
                final byte[] question = new byte[DATA];
                memory.read(block + QUESTION, question);
                if (!Arrays.equals(question, data(round))) {
                    broken = "wrong data from " + other + " in round " + round + " of vector " + vector;
                }
                memory.write(block + ANSWER, data(-round));
                memory.writeLongRelease(block + ANSWERED, round);
                ring(other, vector);
            }
        }
        rung.release();
    }

    private void ring(final int other, final int vector) {
        device.sendInterrupt(memory.readInt(IDS + 4L * other) - 1, vector);
    }

    private static long block(final int caller, final int called, final int vector) {
        return BLOCKS + (long) BLOCK * ((caller * PROGRAMS + called) * VECTORS + vector);
    }

    /** Bytes that are different for each number. */
    private static byte[] data(final long seed) {
        final byte[] data = new byte[DATA];
        long state = seed * 0x9e37_79b9_7f4a_7c15L;
        for (int i = 0; i < DATA; i++) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            data[i] = (byte) (state >>> 56);
        }
        return data;
    }
}
