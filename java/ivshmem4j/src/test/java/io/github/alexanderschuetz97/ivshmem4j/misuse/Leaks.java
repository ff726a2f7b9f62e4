package io.github.alexanderschuetz97.ivshmem4j.misuse;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The amounts of resources in this process that must not grow. */
final class Leaks {

    /** The heap that the JDK itself retains after a run: reflection, thread locals, sizes of its tables. */
    private static final long HEAP_SLACK = 4 << 20;

    private final int descriptors;
    private final int threads;
    private final int mappings;
    private final long heap;

    private Leaks() throws IOException {
        descriptors = descriptors();
        threads = threads();
        mappings = mappings();
        heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    /** The amounts after garbage collection, which gets some time. */
    static Leaks settled() throws Exception {
        Leaks now = new Leaks();
        for (int i = 0; i < 20; i++) {
            System.gc();
            Thread.sleep(100);
            now = new Leaks();
        }
        return now;
    }

    /** Waits until the amounts are no larger than at first, as the garbage collector closes objects that were not closed. */
    static Leaks await(final Leaks before) throws Exception {
        final long limit = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
        Leaks now = settled();
        while (now.isMoreThan(before)) {
            if (System.nanoTime() > limit) {
                throw new AssertionError("something was left behind; before: " + before + "; now: " + now);
            }
            now = settled();
        }
        return now;
    }

    private boolean isMoreThan(final Leaks before) {
        return descriptors > before.descriptors || threads > before.threads || mappings > before.mappings
            || heap > before.heap + HEAP_SLACK;
    }

    /** Sockets, events and the like. */
    private static int descriptors() throws IOException {
        int count = 0;
        for (final Path link : list("/proc/self/fd")) {
            try {
                final String target = Files.readSymbolicLink(link).toString();
                count += target.startsWith("anon_inode") || target.startsWith("socket") ? 1 : 0;
            } catch (final NoSuchFileException e) {
                // The descriptor that lists the folder.
            }
        }
        return count;
    }

    /** Threads of the library. */
    private static int threads() throws IOException {
        int count = 0;
        for (final Path task : list("/proc/self/task")) {
            try {
                final byte[] name = Files.readAllBytes(task.resolve("comm"));
                count += new String(name, StandardCharsets.UTF_8).startsWith("ivshmem") ? 1 : 0;
            } catch (final IOException e) {
                // The thread has just ended.
            }
        }
        return count;
    }

    /** Mappings of shared memory. */
    private static int mappings() throws IOException {
        int count = 0;
        for (final String line : Files.readAllLines(Paths.get("/proc/self/maps"))) {
            count += line.contains(" rw-s ") ? 1 : 0;
        }
        return count;
    }

    private static List<Path> list(final String folder) throws IOException {
        try (Stream<Path> files = Files.list(Paths.get(folder))) {
            return files.collect(Collectors.toList());
        }
    }

    @Override
    public String toString() {
        return descriptors + " descriptors, " + threads + " threads, " + mappings + " mappings, " + heap / 1024 + " KiB of heap";
    }
}
