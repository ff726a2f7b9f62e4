package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Paths;

/**
 * Views: a part of the memory as a {@link ByteBuffer}, for the many libraries that take one. The program reads a file
 * directly into shared memory, without an intermediate copy, and reads numbers from the buffer. From Java 22 on,
 * {@code memory.view(0, length, MemorySegment.class)} returns a segment.
 *
 * <pre>
 * java -cp ivshmem4j.jar View.java /dev/shm/view /etc/hostname
 * </pre>
 */
public final class View {

    private static final int SIZE = 1 << 16;

    private View() {}

    /**
     * Runs the program.
     *
     * @param arguments the path of a file for the memory, the file to read
     * @throws IOException if the file cannot be read
     */
    public static void main(final String[] arguments) throws IOException {
        try (IvshmemMemory device = Ivshmem.plain(arguments[0], SIZE);
            FileChannel file = FileChannel.open(Paths.get(arguments[1]))) {
            final NativeMemory memory = device.getMemory();
            final ByteBuffer buffer = memory.asByteBuffer(64, SIZE - 64).order(ByteOrder.LITTLE_ENDIAN);
            while (buffer.hasRemaining() && file.read(buffer) >= 0) {
                // Reads until the end of the file or the buffer.
            }
            // Publishes the bytes: a program that reads this number with acquire sees them.
            memory.writeIntRelease(0, buffer.position());
            System.out.println(buffer.position() + " bytes, the first is " + memory.read(64) + " and " + buffer.get(0));
        }
    }
}
