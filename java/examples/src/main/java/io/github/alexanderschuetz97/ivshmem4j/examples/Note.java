package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

/**
 * Plain memory: a file that two programs map. One program writes a note into it, the other waits for the note.
 *
 * <pre>
 * java -cp ivshmem4j.jar Note.java read /dev/shm/note &amp;
 * java -cp ivshmem4j.jar Note.java write /dev/shm/note "Back at five"
 * </pre>
 */
public final class Note {

    /** Offsets: whether a note exists, its length, its bytes. */
    private static final int THERE = 0;
    private static final int LENGTH = 4;
    private static final int TEXT = 8;
    private static final int SIZE = 4096;

    private Note() {}

    /**
     * Runs the program.
     *
     * @param arguments read or write, the path of a file, the text
     */
    public static void main(final String[] arguments) {
        try (IvshmemMemory device = Ivshmem.plain(arguments[1], SIZE)) {
            final NativeMemory memory = device.getMemory();
            if (arguments[0].equals("write")) {
                final byte[] text = arguments[2].getBytes(StandardCharsets.UTF_8);
                memory.write(TEXT, text);
                memory.writeInt(LENGTH, text.length);
                // Publishes the writes before it: a program that reads this number with acquire sees the text.
                memory.writeIntRelease(THERE, 1);
            } else if (memory.spin(THERE, 1, 1, 60_000, TimeUnit.MILLISECONDS)) {
                System.out.println(text(memory));
            } else {
                System.err.println("no note in a minute");
            }
        }
    }

    /** Any program may have written any length: check it before using it. */
    private static String text(final NativeMemory memory) {
        final int length = memory.readInt(LENGTH);
        if (length < 0 || length > SIZE - TEXT) {
            throw new IllegalStateException("a note of " + length + " bytes");
        }
        final byte[] bytes = new byte[length];
        memory.read(TEXT, bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
