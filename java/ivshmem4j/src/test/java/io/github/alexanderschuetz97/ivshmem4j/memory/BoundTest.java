package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/**
 * The bound of every access is a number of 8 bytes, which a 32-bit JVM reads and writes in two halves. The test runs in a
 * separate JVM, as an access that passes the bound ends it.
 */
@Timeout(value = 40, unit = TimeUnit.MINUTES)
@EnabledOnOs(value = OS.LINUX, disabledReason = "files cannot be opened")
class BoundTest {

    /** With bounds whose halves do not match, a 32-bit JVM crashes after 1 to 5 seconds. */
    private static final long MILLIS =
        Long.getLong("ivshmem4j.attack.millis", "32".equals(System.getProperty("sun.arch.data.model")) ? 8000 : 200);

    @Test
    void noAccessBehindTheEndGetsThroughWhileAnotherThreadCloses() throws Exception {
        final List<String> options = new ArrayList<>(Jvm.settings());
        // So that more accesses are refused in the same time.
        options.add("-XX:-StackTraceInThrowable");
        final ProcessBuilder builder = new ProcessBuilder(Jvm.command(
            options, System.getProperty("java.class.path"), Child.class, Long.toString(MILLIS))).redirectErrorStream(true);
        try (Jvm jvm = new Jvm(builder)) {
            assertEquals("all were refused\nexit 0", jvm.readAll());
        }
    }

    /** The program of the other JVM. */
    static final class Child {

        /** Inside the bound that two halves of different bounds form: 4 GiB less one byte. */
        private static final long FAR = 0xf000_0000L;

        private Child() {}

        public static void main(final String[] arguments) throws Exception {
            final long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000;
            final AtomicReference<NativeMemory> current = new AtomicReference<>();
            final AtomicReference<NativeMemory> met = new AtomicReference<>();
            try (Region region = new Region(4096)) {
                region.file.toFile().deleteOnExit();
                final FutureTask<Void> closing = new FutureTask<>(() -> closeParts(region.memory, end, current, met));
                final Thread thread = new Thread(closing);
                thread.setDaemon(true);
                thread.start();
                while (!closing.isDone()) {
                    untilClosed(current.get(), met);
                }
                closing.get();
            }
            System.out.println("all were refused");
        }

        private static Void closeParts(
            final NativeMemory memory,
            final long end,
            final AtomicReference<NativeMemory> current,
            final AtomicReference<NativeMemory> met) {
            final Random random = new Random(1);
            while (System.nanoTime() < end) {
                final NativeMemory part = memory.slice(0, 64);
                current.set(part);
                for (int looks = 1; met.get() != part; looks++) {
                    if (looks % 1024 == 0) {
                        Thread.yield();
                    }
                }
                // Closes at a random moment between two reads of the bound by the other thread.
                final long until = System.nanoTime() + random.nextInt(3000);
                while (System.nanoTime() < until) {
                    continue;
                }
                part.close();
            }
            return null;
        }

        private static void untilClosed(final NativeMemory memory, final AtomicReference<NativeMemory> met) {
            for (int tries = 0; memory != null && tries < 1000; tries++) {
                try {
                    memory.readInt(FAR);
                    throw new AssertionError("an access behind the end was done");
                } catch (final IllegalArgumentException open) {
                    met.set(memory);
                } catch (final IllegalStateException closed) {
                    return;
                }
            }
        }
    }
}
