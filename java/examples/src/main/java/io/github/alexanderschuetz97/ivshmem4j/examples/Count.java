package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryInt;
import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryLong;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;

/**
 * Atomic numbers: programs that run at the same time count together, and no count is lost.
 *
 * <pre>
 * java -cp ivshmem4j.jar Count.java /dev/shm/count 1000000 &amp;
 * java -cp ivshmem4j.jar Count.java /dev/shm/count 1000000
 * </pre>
 */
public final class Count {

    private static final int SIZE = 4096;

    private Count() {}

    /**
     * Runs the program.
     *
     * @param arguments the path of a file, how far to count
     */
    public static void main(final String[] arguments) {
        final long rounds = Long.parseLong(arguments[1]);
        try (IvshmemMemory device = Ivshmem.plain(arguments[0], SIZE)) {
            final NativeMemory memory = device.getMemory();
            final AtomicSharedMemoryInt programs = new AtomicSharedMemoryInt(memory, 0);
            final AtomicSharedMemoryLong counted = new AtomicSharedMemoryLong(memory, 64);
            final int number = programs.incrementAndGet();
            for (long round = 0; round < rounds; round++) {
                counted.incrementAndGet();
            }
            System.out.println("program " + number + " has done its part, " + counted.get() + " counted so far");
        }
    }
}
