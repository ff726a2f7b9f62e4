package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.nio.BufferOverflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Whatever a program does, in whatever order, from however many threads: the JVM lives and nothing is left behind. */
@Tag("long")
class MisuseTest {

    private static final int THREADS = 8;
    private static final int DEVICES = 6;
    private static final int SIZE = 1 << 16;
    private static final int VECTORS = 3;

    @TempDir
    Path folder;

    private final AtomicReferenceArray<IvshmemMemory> devices = new AtomicReferenceArray<>(DEVICES);
    private final AtomicReferenceArray<ByteBuffer> buffers = new AtomicReferenceArray<>(DEVICES);
    private final Queue<Throwable> unexpected = new ConcurrentLinkedQueue<>();
    private final AtomicLong calls = new AtomicLong();
    private final AtomicLong callbacks = new AtomicLong();
    private final ExecutorService pool = Executors.newFixedThreadPool(2);
    private volatile boolean over;

    @Test
    @Timeout(300)
    void randomCallsFromEightThreadsCrashNothingHangNowhereAndLeaveNothing() throws Exception {
        final long seconds = Long.getLong("ivshmem4j.misuse.seconds", 60);
        warmUp();
        final Counts before = Counts.now();
        final AtomicInteger servers = new AtomicInteger();
        final long seed = System.nanoTime();
        System.out.println("seed " + seed);

        final List<Thread> threads = new ArrayList<>();
        threads.add(new Thread(() -> serveAndKill(servers), "servers"));
        for (int i = 0; i < THREADS; i++) {
            final Random random = new Random(seed + i);
            threads.add(new Thread(() -> misuse(random), "misuse-" + i));
        }
        threads.forEach(Thread::start);
        Thread.sleep(TimeUnit.SECONDS.toMillis(seconds));
        over = true;
        for (final Thread thread : threads) {
            thread.join();
        }
        for (int i = 0; i < DEVICES; i++) {
            close(devices.getAndSet(i, null));
            buffers.set(i, null);
        }
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.MINUTES);
        System.out.println(calls + " calls, " + callbacks + " callbacks, " + servers + " servers killed");
        assertEquals("[]", unexpected.toString());
        before.await();
    }

    /** What is loaded and started once stays; it must not be counted. */
    private void warmUp() throws Exception {
        final String path = folder.resolve("warm-up").toString();
        try (IvshmemServer server = IvshmemServer.builder(path).vectors(VECTORS).start();
            IvshmemMemory memory = Ivshmem.doorbell(path)) {
            memory.registerInterruptServiceRoutine(0, vector -> { });
            memory.sendInterrupt(memory.getOwnPeerID(), 0);
            assertEquals(1, server.getClients());
        }
        pool.submit(() -> { }).get();
        pool.submit(() -> { }).get();
    }

    private void serveAndKill(final AtomicInteger servers) {
        while (!over) {
            try (Jvm jvm = new Jvm(Server.class, socket())) {
                jvm.readLine();
                for (int wait = 0; wait < 20 && !over; wait++) {
                    Thread.sleep(100);
                }
                jvm.kill();
                servers.incrementAndGet();
                Files.deleteIfExists(Paths.get(socket()));
            } catch (final Exception e) {
                unexpected.add(e);
                return;
            }
        }
    }

    private void misuse(final Random random) {
        while (!over) {
            try {
                once(random);
            } catch (final IllegalArgumentException | IllegalStateException | UnsupportedOperationException
                | IvshmemException e) {
                // What the documentation promises for wrong arguments, closed memory, lacking features, the system.
            } catch (final IndexOutOfBoundsException | BufferOverflowException e) {
                // From buffers, which are Java's own.
            } catch (final Throwable e) {
                unexpected.add(e);
            }
            calls.incrementAndGet();
        }
    }

    private void once(final Random random) throws Exception {
        final int slot = random.nextInt(DEVICES);
        final IvshmemMemory device = devices.get(slot);
        if (device == null || random.nextInt(200) == 0) {
            final IvshmemMemory opened = open(random);
            if (opened != null) {
                final IvshmemMemory replaced = devices.getAndSet(slot, opened);
                // Sometimes nobody closes it; what has routines would stay, as it should.
                if (random.nextInt(10) > 0 || mayHaveRoutines(replaced)) {
                    close(replaced);
                }
            }
            return;
        }
        switch (random.nextInt(16)) {
            case 0:
                if (random.nextInt(20) == 0) {
                    device.close();
                }
                return;
            case 1:
                if (random.nextInt(20) == 0) {
                    device.getMemory().close();
                }
                return;
            case 2:
                device.registerInterruptServiceRoutine(random.nextInt(VECTORS + 1) - 1, routine(device, random.nextInt()));
                return;
            case 3:
                device.registerPeerConnectionListener(listener(device));
                return;
            case 4:
                device.removeInterruptServiceRoutine(random.nextInt(VECTORS), vector -> { });
                return;
            case 5:
                for (final int peer : device.getPeers()) {
                    device.sendInterrupt(peer, random.nextInt(VECTORS + 1));
                }
                return;
            case 6:
                device.sendInterrupt(device.getOwnPeerID(), random.nextInt(VECTORS));
                return;
            case 7:
                device.getVectors(random.nextInt(4));
                device.isOtherPeerConnected(random.nextInt());
                device.isVectorValid(random.nextInt());
                return;
            default:
                access(device.getMemory(), random);
        }
    }

    private void access(final NativeMemory memory, final Random random) throws Exception {
        final long off = random.nextInt(SIZE + 64) - 32;
        final byte[] bytes = new byte[random.nextInt(5000)];
        switch (random.nextInt(28)) {
            case 0:
                memory.write(off, random.nextLong());
                return;
            case 1:
                memory.readLong(off);
                return;
            case 2:
                memory.write(off, bytes, 0, bytes.length);
                return;
            case 3:
                memory.read(off, bytes, 0, bytes.length);
                return;
            case 4:
                memory.set(off, (byte) 1, random.nextInt(SIZE));
                return;
            case 5:
                memory.getAndAdd(off, (byte) 1);
                return;
            case 6:
                memory.getAndAdd(off, (short) 1);
                return;
            case 7:
                memory.getAndAdd(off, 1);
                return;
            case 8:
                memory.getAndAdd(off, 1L);
                return;
            case 9:
                memory.getAndSet(off, random.nextInt());
                return;
            case 10:
                memory.compareAndSet(off, 1, 2);
                return;
            case 11:
                memory.compareAndSet(off, 1L, 2L);
                return;
            case 12:
                memory.compareAndSet(off, new byte[random.nextInt(40)]);
                return;
            case 13:
                memory.compareAndSet(off & -16, new byte[32]);
                return;
            case 14:
                memory.spin(off, random.nextInt(), -1, 1, TimeUnit.MILLISECONDS);
                return;
            case 15:
                memory.spinAndSet(off, random.nextLong(), 1L, 1, 2, TimeUnit.MILLISECONDS);
                return;
            case 16:
                memory.sync(off, random.nextInt(SIZE), random.nextBoolean());
                return;
            case 17:
                memory.readIntVolatile(off);
                return;
            case 18:
                memory.writeLongRelease(off, random.nextLong());
                return;
            case 19:
                memory.write(off, new double[random.nextInt(700)]);
                return;
            case 20:
                memory.read(off, new char[random.nextInt(700)]);
                return;
            case 21:
                memory.copyTo(off, memory, random.nextInt(SIZE), random.nextInt(SIZE));
                return;
            case 22:
                try (NativeMemory slice = memory.slice(off, random.nextInt(5000))) {
                    access(slice, random);
                }
                return;
            case 23:
                // Forgotten, open.
                access(memory.slice(off, random.nextInt(5000)), random);
                return;
            case 24:
                memory.asByteBuffer(off, random.nextInt(5000)).duplicate().put(bytes);
                return;
            case 25:
                // Kept beyond what it is of, perhaps.
                buffers.set(random.nextInt(DEVICES), memory.view(off, random.nextInt(5000), ByteBuffer.class).slice());
                return;
            case 26:
                final ByteBuffer kept = buffers.get(random.nextInt(DEVICES));
                if (kept != null) {
                    kept.put(random.nextInt(5000), (byte) kept.get(random.nextInt(5000)));
                }
                return;
            default:
                memory.indexOf(off, random.nextInt(SIZE), new byte[] {1, 2, 3});
        }
    }

    private InterruptServiceRoutine routine(final IvshmemMemory device, final int kind) {
        return vector -> {
            callbacks.incrementAndGet();
            switch (kind & 31) {
                case 0:
                    device.close();
                    return;
                case 1:
                    device.getMemory().close();
                    return;
                case 2:
                    throw new IllegalStateException("from a routine, on purpose");
                case 3:
                    device.sendInterrupt(device.getOwnPeerID(), (vector + 1) % VECTORS);
                    return;
                default:
                    device.getMemory().getAndAdd(8L * vector, 1L);
            }
        };
    }

    private PeerConnectionListener listener(final IvshmemMemory device) {
        return new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) {
                callbacks.incrementAndGet();
                device.sendInterrupt(peer, 0);
            }

            @Override
            public void onDisconnect(final int peer) {
                callbacks.incrementAndGet();
            }
        };
    }

    private IvshmemMemory open(final Random random) {
        final Thread.UncaughtExceptionHandler handler = (thread, e) -> {
            if (!(e instanceof RuntimeException)) {
                unexpected.add(e);
            }
        };
        final Executor executor = random.nextBoolean() ? pool : null;
        switch (random.nextInt(4)) {
            case 0:
                return Ivshmem.plain(folder.resolve("plain").toString(), SIZE);
            case 1:
                return Ivshmem.plain(folder.resolve("missing").toString());
            default:
                return Ivshmem.doorbell(socket(), 1000, executor, handler);
        }
    }

    private String socket() {
        return folder.resolve("s").toString();
    }

    private static boolean mayHaveRoutines(final IvshmemMemory memory) {
        try {
            return memory != null && memory.supportsInterrupts();
        } catch (final IllegalStateException closed) {
            return false;
        }
    }

    private static void close(final IvshmemMemory memory) {
        if (memory != null) {
            memory.close();
        }
    }

    /** What must not grow. */
    private static final class Counts {

        private final int descriptors;
        private final int threads;
        private final int mappings;

        private Counts(final int descriptors, final int threads, final int mappings) {
            this.descriptors = descriptors;
            this.threads = threads;
            this.mappings = mappings;
        }

        /** Descriptors of sockets, events and the like, threads of the library, mappings of shared memory. */
        static Counts now() throws Exception {
            int descriptors = 0;
            for (final Path link : list("/proc/self/fd")) {
                try {
                    final String target = Files.readSymbolicLink(link).toString();
                    descriptors += target.startsWith("anon_inode") || target.startsWith("socket") ? 1 : 0;
                } catch (final java.nio.file.NoSuchFileException e) {
                    // The one that lists the folder.
                }
            }
            int threads = 0;
            for (final Path task : list("/proc/self/task")) {
                try {
                    final byte[] name = Files.readAllBytes(task.resolve("comm"));
                    threads += new String(name, StandardCharsets.UTF_8).startsWith("ivshmem") ? 1 : 0;
                } catch (final java.io.IOException e) {
                    // It has just ended.
                }
            }
            int mappings = 0;
            for (final String line : Files.readAllLines(Paths.get("/proc/self/maps"))) {
                mappings += line.contains(" rw-s ") ? 1 : 0;
            }
            return new Counts(descriptors, threads, mappings);
        }

        /** Waits until there are no more than at first: what was forgotten goes with the garbage. */
        void await() throws Exception {
            final long limit = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
            Counts now = now();
            while (now.descriptors > descriptors || now.threads > threads || now.mappings > mappings) {
                if (System.nanoTime() > limit) {
                    throw new AssertionError("before: " + this + ", now: " + now);
                }
                System.gc();
                Thread.sleep(50);
                now = now();
            }
            System.out.println("before: " + this + "; after: " + now);
        }

        @Override
        public String toString() {
            return descriptors + " descriptors, " + threads + " threads, " + mappings + " mappings";
        }

        private static List<Path> list(final String folder) throws Exception {
            try (Stream<Path> files = Files.list(Paths.get(folder))) {
                return files.collect(Collectors.toList());
            }
        }
    }

    /** A server in a process of its own, to be killed. */
    static final class Server {

        private Server() {}

        /** Argument: the socket's path. */
        public static void main(final String[] arguments) throws Exception {
            try (IvshmemServer server = IvshmemServer.builder(arguments[0]).size(SIZE).vectors(VECTORS).start()) {
                System.out.println("ready: " + server.getPath());
                Thread.sleep(Long.MAX_VALUE);
            }
        }
    }
}
