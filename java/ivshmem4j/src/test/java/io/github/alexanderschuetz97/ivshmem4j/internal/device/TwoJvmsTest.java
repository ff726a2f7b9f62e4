package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.file.Path;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Another JVM writes and rings; this one receives the interrupts and reads. */
@Tag("long")
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class TwoJvmsTest {

    private static final int RINGS = 1_000_000;
    private static final int VECTORS = 4;
    /** The number of the last ring of each vector, one after the other, followed by a word for each ring. */
    private static final int LAST = 64;
    private static final long SLOTS = LAST * VECTORS;
    private static final long SIZE = 8L * 2 * RINGS;

    @TempDir
    Path folder;

    @Test
    @Timeout(300)
    void afterTheLastOfAMillionRingsTheCallbackHasRunAndTheMemoryIsComplete() throws Exception {
        final Semaphore called = new Semaphore(0);
        final AtomicLongArray seen = new AtomicLongArray(VECTORS);
        final AtomicLongArray calls = new AtomicLongArray(VECTORS);
        final Queue<Throwable> thrown = new ConcurrentLinkedQueue<>();
        try (IvshmemServer server =
                IvshmemServer.builder(folder.resolve("s").toString()).size(SIZE).vectors(VECTORS).start();
            IvshmemMemory device = Ivshmem.doorbell(server.getPath(), (thread, e) -> thrown.add(e))) {
            final NativeMemory memory = device.getMemory();
            for (int vector = 0; vector < VECTORS; vector++) {
                final int own = vector;
                device.registerInterruptServiceRoutine(vector, rung -> {
                    assertEquals(own, rung);
                    seen.set(rung, memory.readLongAcquire(LAST * rung));
                    calls.incrementAndGet(rung);
                    called.release();
                });
            }
            try (Jvm other = new Jvm(Ringer.class, server.getPath(), String.valueOf(device.getOwnPeerID()))) {
                final String[] lasts = other.readLine().split(" ");
                assertEquals("exit 0", other.readAll());
                for (int vector = 0; vector < VECTORS; vector++) {
                    while (seen.get(vector) != Long.parseLong(lasts[vector])) {
                        called.acquire();
                    }
                }
            }
            for (long ring = 1; ring <= RINGS; ring++) {
                assertEquals(ring, memory.readLong(SLOTS + 8 * ring));
            }
        }
        assertEquals("[]", thrown.toString());
        System.out.println(RINGS + " rings, calls of each vector: " + calls);
    }

    /** The other program. */
    static final class Ringer {

        private Ringer() {}

        /** Arguments: the server's path and the peer to ring. Prints the number of the last ring of each vector. */
        public static void main(final String[] arguments) {
            final int peer = Integer.parseInt(arguments[1]);
            final long[] lasts = new long[VECTORS];
            final Random random = new Random(4711);
            try (IvshmemMemory device = Ivshmem.doorbell(arguments[0])) {
                final NativeMemory memory = device.getMemory();
                for (int ring = 1; ring <= RINGS; ring++) {
                    final int vector = random.nextInt(VECTORS);
                    memory.write(SLOTS + 8L * ring, (long) ring);
                    memory.writeLongRelease(LAST * vector, ring);
                    lasts[vector] = ring;
                    device.sendInterrupt(peer, vector);
                    pause(random.nextInt(1000));
                }
            }
            System.out.println(lasts[0] + " " + lasts[1] + " " + lasts[2] + " " + lasts[3]);
        }

        /** A pause: mostly none, sometimes a few iterations, rarely so long that the other program sleeps. */
        private static void pause(final int dice) {
            if (dice == 0) {
                LockSupport.parkNanos(200_000);
            } else if (dice < 20) {
                Thread.yield();
            } else if (dice < 500) {
                for (int turn = 0; turn < dice; turn++) {
                    Thread.interrupted();
                }
            }
        }
    }
}
