package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.SharedMemoryLock;
import java.util.concurrent.TimeUnit;

/**
 * A lock: programs that run at the same time change two numbers that must stay equal.
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
     * @param arguments the path of a file, how often to change the numbers
     * @throws InterruptedException never
     */
    public static void main(final String[] arguments) throws InterruptedException {
        final int rounds = Integer.parseInt(arguments[1]);
        try (IvshmemMemory device = Ivshmem.plain(arguments[0], SIZE)) {
            final NativeMemory memory = device.getMemory();
            final SharedMemoryLock lock = new SharedMemoryLock(memory, LOCK);
            for (int round = 0; round < rounds; round++) {
                // A program that dies with the lock keeps it: never wait for ever.
                if (!lock.tryLock(60, TimeUnit.SECONDS)) {
                    throw new IllegalStateException("somebody holds the lock for a minute");
                }
                try {
                    final long taken = memory.readLong(TAKEN);
                    if (taken != memory.readLong(BOOKED)) {
                        throw new IllegalStateException(taken + " taken and " + memory.readLong(BOOKED) + " booked");
                    }
                    memory.writeLong(TAKEN, taken + 1);
                    memory.writeLong(BOOKED, taken + 1);
                } finally {
                    lock.unlock();
                }
            }
            lock.lock();
            try {
                System.out.println(memory.readLong(BOOKED) + " booked so far");
            } finally {
                lock.unlock();
            }
        }
    }
}
