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
 * Views: a part of the memory as a {@link ByteBuffer}, for the many libraries that want one. This reads a file straight
 * into shared memory, without a copy in between, and takes numbers from it. From Java 22 on
 * {@code memory.view(0, length, MemorySegment.class)} gives a segment the same way.
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
     * @throws IOException when the file cannot be read
     */
    public static void main(final String[] arguments) throws IOException {
        try (IvshmemMemory device = Ivshmem.plain(arguments[0], SIZE);
            FileChannel file = FileChannel.open(Paths.get(arguments[1]))) {
            final NativeMemory memory = device.getMemory();
            final ByteBuffer buffer = memory.asByteBuffer(64, SIZE - 64).order(ByteOrder.LITTLE_ENDIAN);
            while (buffer.hasRemaining() && file.read(buffer) >= 0) {
                // Until the file or the buffer ends.
            }
            // Publishes the bytes: who reads this with acquire sees them.
            memory.writeIntRelease(0, buffer.position());
            System.out.println(buffer.position() + " bytes, the first is " + memory.read(64) + " and " + buffer.get(0));
        }
    }
}
