package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * A stream of bytes from one program to another one, block by block: the sender writes a block to the memory, the receiver
 * reads it.
 *
 * <pre>
 * java -cp ivshmem4j.jar Pipe.java receive /dev/shm/pipe &gt; copy &amp;
 * java -cp ivshmem4j.jar Pipe.java send /dev/shm/pipe &lt; original
 * </pre>
 */
public final class Pipe {

    /** Offsets: the program whose turn it is, the length of the block, its bytes. A block without bytes ends the stream. */
    private static final int TURN = 0;
    private static final int LENGTH = 4;
    private static final int BYTES = 64;
    private static final int SIZE = 1 << 16;

    private static final int SENDER = 0;
    private static final int RECEIVER = 1;

    private Pipe() {}

    /**
     * Runs the program.
     *
     * @param arguments send or receive, the path of a file
     * @throws IOException if standard input or output fails
     */
    public static void main(final String[] arguments) throws IOException {
        try (IvshmemMemory device = Ivshmem.plain(arguments[1], SIZE)) {
            if (arguments[0].equals("send")) {
                send(device.getMemory());
            } else {
                receive(device.getMemory());
            }
        }
    }

    private static void send(final NativeMemory memory) throws IOException {
        final byte[] block = new byte[SIZE - BYTES];
        int length;
        do {
            length = Math.max(System.in.read(block), 0);
            await(memory, SENDER);
            memory.write(BYTES, block, 0, length);
            memory.writeInt(LENGTH, length);
            // Publishes the block: a receiver that reads its turn sees the bytes.
            memory.writeIntRelease(TURN, RECEIVER);
        } while (length > 0);
    }

    private static void receive(final NativeMemory memory) throws IOException {
        final byte[] block = new byte[SIZE - BYTES];
        int length;
        do {
            await(memory, RECEIVER);
            length = memory.readInt(LENGTH);
            // Another program could have written any length: check it before using it.
            if (length < 0 || length > block.length) {
                throw new IllegalStateException("a block of " + length + " bytes, at most " + block.length + " fit");
            }
            memory.read(BYTES, block, 0, length);
            memory.writeIntRelease(TURN, SENDER);
            System.out.write(block, 0, length);
        } while (length > 0);
        System.out.flush();
    }

    /** Checks every 50 us, for at most a minute. */
    private static void await(final NativeMemory memory, final int turn) {
        if (!memory.spin(TURN, turn, 50, 60_000_000, TimeUnit.MICROSECONDS)) {
            throw new IllegalStateException("the other program has done nothing for a minute");
        }
    }
}
