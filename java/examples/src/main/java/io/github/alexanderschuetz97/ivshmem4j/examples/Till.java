package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.util.concurrent.TimeUnit;

/**
 * A lock: programs that run at the same time change two numbers that must stay equal.
 *
 * <p>The lock is an int: 1 while a program holds it, otherwise 0.
 *
 * <pre>
 * java -cp ivshmem4j.jar Till.java /dev/shm/till 100000 &amp;
 * java -cp ivshmem4j.jar Till.java /dev/shm/till 100000
 * </pre>
 */
public final class Till {

    private static final int LOCK = 0;
    private static final int TAKEN = 64;
    private static final int BOOKED = 72;
    private static final int SIZE = 4096;

    private Till() {}

    /**
     * Runs the program.
     *
     * @param arguments the path of a file, the number of changes
     */
    public static void main(final String[] arguments) {
        final int rounds = Integer.parseInt(arguments[1]);
        try (IvshmemMemory device = Ivshmem.plain(arguments[0], SIZE)) {
            final NativeMemory memory = device.getMemory();
            for (int round = 0; round < rounds; round++) {
                change(memory, 1);
            }
            System.out.println(change(memory, 0) + " booked so far");
        }
    }

    /** Adds to both numbers, which are equal while no program holds the lock. */
    private static long change(final NativeMemory memory, final long by) {
        // Tries every 100 us. A program that dies with the lock does not release it, so a wait needs a limit.
        if (!memory.spinAndSet(LOCK, 0, 1, 100, 60_000_000, TimeUnit.MICROSECONDS)) {
            throw new IllegalStateException("another program has held the lock for a minute");
        }
        try {
            final long taken = memory.readLong(TAKEN);
            final long booked = memory.readLong(BOOKED);
            if (taken != booked) {
                throw new IllegalStateException(taken + " taken and " + booked + " booked");
            }
            memory.writeLong(TAKEN, taken + by);
            memory.writeLong(BOOKED, booked + by);
            return booked + by;
        } finally {
            // The next holder sees the writes of this one.
            memory.writeIntRelease(LOCK, 0);
        }
    }
}
