package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A user at the limit of threads, in a separate JVM, as root has no such limit. */
@Timeout(120)
@EnabledOnOs(value = OS.LINUX, disabledReason = "there is no such limit")
class NoThreadTest {

    private static final String NOBODY = "65534";

    @TempDir
    Path folder;

    @Test
    void anInterruptedWaitEndsThen() throws Exception {
        checkThat("wait", "interrupted", "anInterruptedWaitEndsThen");
    }

    @Test
    void memoryIsOpenedAndClosedThenAndCleanedUpLater() throws Exception {
        checkThat("open", "no thread, 8 bytes, one thread", "memoryIsOpenedAndClosedThenAndCleanedUpLater");
    }

    @Test
    void closingEndsFuturesThenAndCallbacksThatWereRefusedAreNotKept() throws Exception {
        checkThat("close", "refused, refused, ended, closed", "closingEndsFuturesThenAndCallbacksThatWereRefusedAreNotKept");
    }

    private void checkThat(final String what, final String expected, final String test) throws Exception {
        if (!"root".equals(System.getProperty("user.name"))) {
            System.out.println("SKIP " + test + ": it needs root, to become another user");
            return;
        }
        Files.setAttribute(folder, "unix:mode", 0777);
        // The user may read files of root, as the class path may belong to root, and has no other capability.
        final List<String> command = new ArrayList<>(Arrays.asList("setpriv", "--reuid=" + NOBODY, "--regid=" + NOBODY,
            "--clear-groups", "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
            "--bounding-set=-all,+dac_read_search"));
        final List<String> options = new ArrayList<>(Jvm.settings());
        // Otherwise the JVM prints warnings about threads that it could not start, in the middle of a line of this test.
        options.addAll(Arrays.asList("-Xlog:disable", "-XX:-PrintWarnings"));
        command.addAll(Jvm.command(
            options, System.getProperty("java.class.path"), Child.class, what, folder.toString()));
        // On standard error, the library prints a warning about a home directory that this user cannot write.
        try (Jvm jvm = new Jvm(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT))) {
            final String pid = jvm.readLine();
            limit(pid, "1:");
            Files.createFile(folder.resolve("limited"));
            if (what.equals("open")) {
                Child.await(folder.resolve("opened"));
                limit(pid, "1000:");
                Files.createFile(folder.resolve("unlimited"));
            }
            assertEquals(expected + "\nexit 0", jvm.readAll());
        }
    }

    private static void limit(final String pid, final String threads) throws Exception {
        assertEquals(0, new ProcessBuilder("setpriv", "--reuid=" + NOBODY, "--regid=" + NOBODY, "--clear-groups",
            "prlimit", "--pid=" + pid, "--nproc=" + threads).inheritIO().start().waitFor());
    }

    /** The program of the other JVM. */
    static final class Child {

        private Child() {}

        public static void main(final String[] arguments) throws Exception {
            final Path folder = Paths.get(arguments[1]);
            switch (arguments[0]) {
                case "wait":
                    interrupt(folder);
                    break;
                case "close":
                    close(folder);
                    break;
                default:
                    open(folder);
                    break;
            }
            Runtime.getRuntime().halt(0);
        }

        private static void interrupt(final Path folder) throws Exception {
            final IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).start();
            final IvshmemMemory memory = Ivshmem.doorbell(server.getPath());
            final Thread waiter = new Thread(() -> {
                try {
                    memory.waitInterrupt(0);
                } catch (final InterruptedException e) {
                    System.out.println("interrupted");
                }
            });
            waiter.setDaemon(true);
            waiter.start();
            // Inside the native library, where only an interrupt wakes the thread.
            Thread.sleep(500);
            ready(folder);
            waiter.interrupt();
            waiter.join(20_000);
        }

        private static void close(final Path folder) throws Exception {
            final IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).vectors(2).start();
            final IvshmemMemory memory = Ivshmem.doorbell(server.getPath());
            final CompletableFuture<Integer> future = memory.nextInterrupt(0);
            final InterruptServiceRoutine routine = vector -> { };
            ready(folder);
            final String first = register(memory, routine);
            final String second = register(memory, routine);
            memory.close();
            System.out.println(first + ", " + second + ", " + (future.isCompletedExceptionally() ? "ended" : "pending") + ", "
                + (memory.isClosed() && !memory.getMemory().isValid() ? "closed" : "open"));
        }

        private static String register(final IvshmemMemory memory, final InterruptServiceRoutine routine) {
            try {
                memory.registerInterruptServiceRoutine(1, routine);
                return "registered";
            } catch (final OutOfMemoryError noThread) {
                return "refused";
            }
        }

        private static void open(final Path folder) throws Exception {
            final String file = folder.resolve("file").toString();
            Ivshmem.plain(file, 8).close();
            awaitCleanups(0);
            ready(folder);
            final String size;
            final int before;
            try (IvshmemMemory memory = Ivshmem.plain(file, 8)) {
                before = cleanups();
                size = memory.getMemory().size() + " bytes";
            }
            Files.createFile(folder.resolve("opened"));
            await(folder.resolve("unlimited"));
            try (IvshmemMemory memory = Ivshmem.plain(file, 8)) {
                awaitCleanups(1);
                System.out.println((before == 0 ? "no" : "a") + " thread, " + size + ", one thread");
            }
        }

        private static void ready(final Path folder) throws Exception {
            System.out.println(Paths.get("/proc/self").toRealPath().getFileName());
            await(folder.resolve("limited"));
        }

        private static void await(final Path file) throws Exception {
            final long limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while (!Files.exists(file)) {
                assertTrue(System.nanoTime() < limit, () -> "nobody made " + file);
                Thread.sleep(10);
            }
        }

        private static void awaitCleanups(final int number) throws Exception {
            while (cleanups() != number) {
                // Closed memory keeps its addresses until the garbage collector finds it.
                System.gc();
                Thread.sleep(10);
            }
        }

        private static int cleanups() throws IOException {
            return (int) Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("ivshmem4j-cleanup")).count();
        }
    }
}
