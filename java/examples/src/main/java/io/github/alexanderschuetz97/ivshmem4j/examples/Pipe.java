package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.RingBuffer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/**
 * A stream of bytes from one program to another one, through a ring in shared memory.
 *
 * <pre>
 * java -cp ivshmem4j.jar Pipe.java receive /dev/shm/pipe &gt; copy &amp;
 * java -cp ivshmem4j.jar Pipe.java send /dev/shm/pipe &lt; original
 * </pre>
 */
public final class Pipe {

    private static final int SIZE = 1 << 16;

    private Pipe() {}

    /**
     * Runs the program.
     *
     * @param arguments send or receive, the path of a file; of a new one for each stream
     * @throws IOException when a stream fails
     */
    public static void main(final String[] arguments) throws IOException {
        try (IvshmemMemory device = Ivshmem.plain(arguments[1], SIZE)) {
            final RingBuffer ring = new RingBuffer(device.getMemory(), 0, SIZE);
            if (arguments[0].equals("send")) {
                // Closing it is the end that the receiver sees.
                try (OutputStream out = ring.outputStream()) {
                    copy(System.in, out);
                }
            } else {
                try (InputStream in = ring.inputStream()) {
                    copy(in, System.out);
                }
            }
        }
    }

    private static void copy(final InputStream in, final OutputStream out) throws IOException {
        final byte[] block = new byte[8192];
        for (int n = in.read(block); n >= 0; n = in.read(block)) {
            out.write(block, 0, n);
        }
        out.flush();
    }
}
