package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;

/**
 * Atomic numbers: programs that run at the same time increment one number, and no increment is lost.
 *
 * <pre>
 * java -cp ivshmem4j.jar Count.java /dev/shm/count 1000000 &amp;
 * java -cp ivshmem4j.jar Count.java /dev/shm/count 1000000
 * </pre>
 */
public final class Count {

    /** The number of started programs and the sum, in different cache lines. */
    private static final int PROGRAMS = 0;
    private static final int COUNTED = 64;
    private static final int SIZE = 4096;

    private Count() {}

    /**
     * Runs the program.
     *
     * @param arguments the path of a file, the number of increments
     */
    public static void main(final String[] arguments) {
        final long rounds = Long.parseLong(arguments[1]);
        try (IvshmemMemory device = Ivshmem.plain(arguments[0], SIZE)) {
            final NativeMemory memory = device.getMemory();
            final int number = memory.getAndAdd(PROGRAMS, 1) + 1;
            for (long round = 0; round < rounds; round++) {
                memory.getAndAdd(COUNTED, 1L);
            }
            System.out.println("program " + number + " has done its part, " + memory.readLongVolatile(COUNTED) + " counted so far");
        }
    }
}
