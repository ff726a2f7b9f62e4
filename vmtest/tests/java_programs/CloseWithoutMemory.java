import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.concurrent.CountDownLatch;

/**
 * Closes memory that other threads copy, in a guest whose kernel accounts strictly for all memory and has too little to
 * replace the pages with zeroes. Prints how many closings succeeded and how many were refused.
 */
public final class CloseWithoutMemory {

    private static final int ROUNDS = 20;
    private static final int COPY = 8 << 20;
    /** KiB for the JVM itself, less than the size of the memory. */
    private static final long LEFT = 64 << 10;

    private CloseWithoutMemory() {}

    public static void main(final String[] arguments) throws Exception {
        int closed = 0;
        int refused = 0;
        IvshmemException why = null;
        for (int round = 0; round < ROUNDS; round++) {
            final IvshmemMemory device = Ivshmem.plain(arguments[0]);
            final CountDownLatch copying = new CountDownLatch(2);
            final Thread[] threads = {copier(device, copying, true), copier(device, copying, false)};
            copying.await();
            account(true);
            try {
                device.close();
                closed++;
            } catch (final IvshmemException e) {
                refused++;
                why = e;
            }
            account(false);
            for (final Thread thread : threads) {
                thread.join();
            }
            if (!device.isClosed()) {
                throw new IllegalStateException("open after closing");
            }
        }
        System.out.println("closed " + closed + " refused " + refused + " " + why);
    }

    private static Thread copier(final IvshmemMemory device, final CountDownLatch copying, final boolean reads) {
        final NativeMemory memory = device.getMemory();
        final Thread thread = new Thread(() -> {
            final byte[] bytes = new byte[COPY];
            try {
                for (long round = 0;; round++) {
                    final long off = round * COPY % (memory.size() - COPY);
                    if (reads) {
                        memory.read(off, bytes, 0, COPY);
                    } else {
                        memory.write(off, bytes, 0, COPY);
                    }
                    copying.countDown();
                }
            } catch (final IllegalStateException theEnd) {
                // Closing ends the loop.
            }
        });
        thread.start();
        return thread;
    }

    private static void account(final boolean strictly) throws Exception {
        if (strictly) {
            for (final String line : Files.readAllLines(Paths.get("/proc/meminfo"))) {
                if (line.startsWith("Committed_AS:")) {
                    final long committed = Long.parseLong(line.replaceAll("[^0-9]", ""));
                    set("overcommit_kbytes", committed + LEFT);
                }
            }
        }
        set("overcommit_memory", strictly ? 2 : 0);
    }

    private static void set(final String name, final long value) throws Exception {
        final Path path = Paths.get("/proc/sys/vm", name);
        Files.write(path, Long.toString(value).getBytes(StandardCharsets.US_ASCII));
    }
}
