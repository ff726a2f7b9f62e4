package io.github.alexanderschuetz97.ivshmem4j.misuse;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Executable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Random calls in any order from several threads: the JVM survives and no resource leaks. */
@Tag("long")
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class MisuseTest {

    private static final int THREADS = 8;
    /** Longer than any call, which lasts at most until its device is closed; devices are closed all the time. */
    private static final long HANG_SECONDS = 60;

    @TempDir
    Path folder;

    private final Queue<Throwable> unexpected = new ConcurrentLinkedQueue<>();
    private final AtomicInteger servers = new AtomicInteger();
    private final Set<Executable> called = ConcurrentHashMap.newKeySet();
    private final Misuser.Objects objects = new Misuser.Objects();
    private final ExecutorService pool = Executors.newFixedThreadPool(2);
    private Api api;
    private Values values;
    private long calls;
    private volatile boolean over;

    @Test
    void randomCallsFromEightThreadsCrashNothingHangNowhereAndLeaveNothing() throws Exception {
        final long seconds = Long.getLong("ivshmem4j.misuse.seconds", 60);
        final long seed = Long.getLong("ivshmem4j.misuse.seed", System.nanoTime());
        System.out.println("Java " + System.getProperty("java.version") + ", " + seconds
            + " s; the same calls again, if not in the same order: -Divshmem4j.misuse.seed=" + seed);
        // Most devices have no handler, and their callbacks throw many exceptions on purpose.
        System.setErr(new PrintStream(new OutputStream() {
            @Override
            public void write(final int value) {}
        }));
        api = new Api();
        values = new Values(folder, pool, unexpected::add);
        // Objects that are loaded or started once stay; they must not be counted.
        misuse(seed - THREADS, Math.max(seconds / 10, 3));
        final Leaks before = Leaks.settled();
        misuse(seed, seconds);
        final Leaks after = Leaks.await(before);
        pool.shutdown();
        System.out.println(calls + " calls of " + called.size() + " methods, " + values.callbacks + " callbacks, " + servers
            + " servers killed\nbefore: " + before + "\nafter:  " + after);
        assertEquals("[]", unexpected.stream().limit(5).collect(Collectors.toList()).toString());
        // So that every new method is certain to be included.
        final Set<String> missing = Stream.of(NativeMemory.class, IvshmemMemory.class)
            .flatMap(type -> Stream.of(type.getMethods())).map(MisuseTest::signature)
            .collect(Collectors.toCollection(TreeSet::new));
        called.forEach(callee -> missing.remove(signature(callee)));
        assertEquals(new TreeSet<String>(), missing);
    }

    private static String signature(final Executable callee) {
        return callee.getName() + Arrays.toString(callee.getParameterTypes());
    }

    /** Misuses the library for some time, and closes everything at the end. */
    private void misuse(final long seed, final long seconds) throws Exception {
        over = false;
        final List<Misuser> misusers = new ArrayList<>();
        final List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            final Misuser misuser = new Misuser(api, values, objects, called, new Random(seed + i), unexpected::add);
            misusers.add(misuser);
            threads.add(new Thread(misuser, "misuse-" + i));
        }
        final Thread killer = new Thread(this::serveAndKill, "servers");
        threads.forEach(Thread::start);
        killer.start();
        final Random random = new Random(seed - 1);
        final long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (System.nanoTime() < end) {
            Thread.sleep(20);
            endSomething(random, threads);
            watch(misusers);
        }
        over = true;
        misusers.forEach(Misuser::stop);
        while (threads.stream().anyMatch(Thread::isAlive)) {
            Thread.sleep(20);
            objects.clear();
            endSomething(random, threads);
            watch(misusers);
        }
        killer.join();
        objects.clear();
        for (final Misuser misuser : misusers) {
            calls += misuser.calls();
        }
    }

    /** Ends waits, as many calls wait for a value or an event, which may never come. */
    private void endSomething(final Random random, final List<Thread> threads) {
        objects.closeForgotten();
        threads.get(random.nextInt(threads.size())).interrupt();
        final IvshmemMemory device = objects.device(random);
        try {
            if (device != null && random.nextInt(8) == 0) {
                device.close();
            } else if (device != null) {
                device.getMemory().stopSpin();
            }
        } catch (final IllegalStateException e) {
            // The device was closed.
        }
    }

    private void watch(final List<Misuser> misusers) {
        for (final Misuser misuser : misusers) {
            if (misuser.nanosInCall() > TimeUnit.SECONDS.toNanos(HANG_SECONDS)) {
                for (final Map.Entry<Thread, StackTraceElement[]> thread : Thread.getAllStackTraces().entrySet()) {
                    System.out.println(thread.getKey());
                    for (final StackTraceElement frame : thread.getValue()) {
                        System.out.println("    at " + frame);
                    }
                }
                over = true;
                misusers.forEach(Misuser::stop);
                throw new AssertionError("for " + HANG_SECONDS + " s one thread is " + misuser);
            }
        }
    }

    private void serveAndKill() {
        while (!over) {
            try (Jvm jvm = new Jvm(Server.class, values.socket())) {
                jvm.readLine();
                for (int wait = 0; wait < 20 && !over; wait++) {
                    Thread.sleep(100);
                }
                jvm.kill();
                servers.incrementAndGet();
                Files.deleteIfExists(Paths.get(values.socket()));
            } catch (final Exception e) {
                unexpected.add(e);
                return;
            }
        }
    }

    /** A server in a separate process, which is killed. */
    static final class Server {

        private Server() {}

        /** Argument: the socket's path. */
        public static void main(final String[] arguments) throws Exception {
            try (IvshmemServer server =
                IvshmemServer.builder(arguments[0]).size(Values.SIZE).vectors(Values.VECTORS).start()) {
                System.out.println("ready: " + server.getPath());
                Thread.sleep(Long.MAX_VALUE);
            }
        }
    }
}
