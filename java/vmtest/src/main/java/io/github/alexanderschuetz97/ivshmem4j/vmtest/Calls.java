package io.github.alexanderschuetz97.ivshmem4j.vmtest;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.util.Arrays;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Calls between programs: a call consists of data, a counter and an interrupt, and so does its answer. All data is checked,
 * and a waiting program reads the memory only after an interrupt.
 */
final class Calls {

    /**
     * The offsets of the ids and of the first block. There is a block for each combination of caller, called program and
     * vector.
     */
    private static final long IDS = 0;
    private static final long BLOCKS = 4096;
    private static final int BLOCK = 1024;
    private static final int PROGRAMS = 4;
    private static final int VECTORS = 8;

    /** The offsets in a block: the fields that the caller writes, and those that the called program writes. */
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

    /**
     * Calls until an answer arrives: an interrupt is lost until the server has announced the new peer to this machine's
     * QEMU.
     */
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

    /** Calls another program repeatedly on each vector, with one interrupt for each call. */
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

    /** Sends interrupts without waiting; the last one must be answered, regardless of how many were merged. */
    String burst(final int other, final int rings) throws Exception {
        for (int vector = 0; vector < device.getOwnVectors(); vector++) {
            final long block = block(me, other, vector);
            final long last = memory.readLong(block + CALLED) + rings;
            memory.write(block + QUESTION, data(last));
            for (long round = last - rings + 1; round <= last; round++) {
                // Only the data of the last call is in the memory, so only that is checked.
                memory.writeLongRelease(block + CALLED, round == last ? last : -round);
                ring(other, vector);
            }
            await(block, last);
        }
        return "rung " + rings + " times on " + device.getOwnVectors() + " vectors";
    }

    /** The last failure of calls from other programs, or "fine". */
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

    /** Bytes that differ for each number. */
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
