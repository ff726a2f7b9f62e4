package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/**
 * Eight threads read and write views while memory, slices and devices are closed, thousands of times. The test runs in a
 * separate JVM, which a wrong access would end.
 */
@Timeout(value = 40, unit = TimeUnit.MINUTES)
@EnabledOnOs(value = OS.LINUX, disabledReason = "files cannot be opened")
class ViewClosingTest {

    private static final long MILLIS = Long.getLong("ivshmem4j.attack.millis", 1500);

    @Test
    void accessesThroughViewsEndWithTheMemoryAndReachNothingElse() throws Exception {
        attack(Child.class, "\\d+");
    }

    /** The other test accesses segments by reflection; here the JVM compiles the accesses. */
    @Test
    @EnabledIfSystemProperty(
        named = "ivshmem4j.memory", matches = "foreign", disabledReason = "there are no views of type MemorySegment before Java 22")
    void accessesThroughSegmentsInCompiledLoopsEndWithTheMemoryAndReachNothingElse() throws Exception {
        attack(Class.forName(ViewClosingTest.class.getPackage().getName() + ".SegmentAccesses"), "[1-9]\\d*");
    }

    private static void attack(final Class<?> program, final String refused) throws Exception {
        final ProcessBuilder builder = new ProcessBuilder(Jvm.command(
            Jvm.settings(), System.getProperty("java.class.path"), program, Long.toString(MILLIS)))
            .redirectErrorStream(true);
        try (Jvm jvm = new Jvm(builder)) {
            final String said = jvm.readAll().replaceAll("WARNING: .*\n", "");
            assertTrue(said.matches("[1-9]\\d* closes, [1-9]\\d* accesses, " + refused + " refused\nexit 0"), said);
            System.out.println("Java " + System.getProperty("java.version") + ", " + System.getProperty("ivshmem4j.memory")
                + ", " + program.getSimpleName() + ": " + said.replaceAll("\n.*", ""));
        }
    }

    /** What runs in the other JVM. */
    static final class Child {

        private static final int SIZE = 1 << 16;
        private static final int LEAST = 20;

        private Child() {}

        public static void main(final String[] arguments) throws Exception {
            final AtomicBoolean over = new AtomicBoolean();
            final AtomicReference<Views> current = new AtomicReference<>();
            final AtomicLong accesses = new AtomicLong();
            final AtomicLong refused = new AtomicLong();
            long closes = 0;
            try (Region region = new Region(SIZE)) {
                region.file.toFile().deleteOnExit();
                current.set(new Views(region.again()));
                final List<FutureTask<Void>> tasks = new ArrayList<>();
                for (int thread = 0; thread < 8; thread++) {
                    final Random random = new Random(thread);
                    final FutureTask<Void> task = new FutureTask<>(() -> {
                        while (!over.get()) {
                            use(current.get(), random, accesses, refused);
                        }
                        return null;
                    });
                    tasks.add(task);
                    final Thread user = new Thread(task);
                    user.setDaemon(true);
                    user.start();
                }
                final Random random = new Random(9);
                final long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000;
                // A busy machine may need more than the given time.
                for (; System.nanoTime() < end || closes < LEAST || accesses.get() == 0; closes++) {
                    final Views next = new Views(region.again());
                    final Views old = current.getAndSet(next);
                    if (random.nextBoolean()) {
                        Thread.sleep(0, random.nextInt(500_000));
                    }
                    old.close(random.nextInt(4));
                }
                over.set(true);
                for (final FutureTask<Void> task : tasks) {
                    task.get();
                }
                current.get().close(0);
            }
            System.out.println(closes + " closes, " + accesses + " accesses, " + refused + " refused");
        }

        private static void use(
            final Views views, final Random random, final AtomicLong accesses, final AtomicLong refused) {
            try {
                for (int i = 0; i < 200; i++) {
                    views.use(random);
                    accesses.incrementAndGet();
                }
            } catch (final IllegalStateException closed) {
                refused.incrementAndGet();
            }
        }
    }

    /** Views of all kinds of one opened memory. */
    private static final class Views {

        private static final Class<?> SEGMENT = segmentOrNull();
        private static final MethodHandle FILL = SEGMENT == null ? null : handle("fill", SEGMENT, byte.class);
        private static final MethodHandle COPY = SEGMENT == null ? null : handle("copyFrom", SEGMENT, SEGMENT);
        private static final MethodHandle SLICE = SEGMENT == null ? null : handle("asSlice", SEGMENT, long.class, long.class);
        private static final MethodHandle MISMATCH = SEGMENT == null ? null : handle("mismatch", long.class, SEGMENT);
        private static final MethodHandle BUFFER = SEGMENT == null ? null : handle("asByteBuffer", ByteBuffer.class);

        private final IvshmemMemory device;
        private final NativeMemory memory;
        private final NativeMemory part;
        private final ByteBuffer buffer;
        private final ByteBuffer ofPart;
        private final LongBuffer derived;
        private final Object segment;

        Views(final IvshmemMemory device) {
            this.device = device;
            memory = device.getMemory();
            part = memory.slice(4096, 8192);
            buffer = memory.asByteBuffer(0, Child.SIZE);
            ofPart = part.asByteBuffer(8, 4096);
            derived = buffer.duplicate().asLongBuffer();
            segment = SEGMENT == null ? null : memory.view(0, Child.SIZE, SEGMENT);
        }

        void close(final int how) {
            if (how == 1) {
                part.close();
            }
            if (how == 2) {
                memory.close();
            }
            device.close();
        }

        void use(final Random random) {
            final int at = random.nextInt(4000) & -8;
            final byte[] bytes = new byte[1 + random.nextInt(4096)];
            switch (random.nextInt(segment == null ? 7 : 12)) {
                case 0: buffer.putLong(at, buffer.getInt(at + 64)); break;
                case 1: ofPart.put(at, (byte) (ofPart.get(at + 1) + 1)); break;
                case 2: derived.put(at, derived.get(at + 1) + 1); break;
                case 3: buffer.duplicate().get(bytes); break;
                case 4: ((ByteBuffer) ofPart.duplicate()).put(bytes, 0, Math.min(bytes.length, 4000)); break;
                case 5: ((ByteBuffer) buffer.duplicate().position(at)).slice().put(ofPart.duplicate()); break;
                case 6: Arrays.fill(bytes, (byte) ofPart.duplicate().compareTo((ByteBuffer) buffer.duplicate().limit(4096))); break;
                case 7: call(FILL, segment, (byte) at); break;
                case 8: call(COPY, call(SLICE, segment, (long) at, 9000L), call(SLICE, segment, 20_000L, 9000L)); break;
                case 9: call(MISMATCH, segment, call(SLICE, segment, 0L, 30_000L)); break;
                case 10: ((ByteBuffer) call(BUFFER, segment)).putInt(at, at); break;
                default: ((ByteBuffer) call(BUFFER, call(SLICE, segment, (long) at, 4096L))).get(bytes); break;
            }
        }

        private static Object call(final MethodHandle handle, final Object... arguments) {
            try {
                return handle.invokeWithArguments(arguments);
            } catch (final RuntimeException | Error e) {
                throw e;
            } catch (final Throwable e) {
                throw new AssertionError(e);
            }
        }

        /** Null if this Java version has no view of that type. */
        private static Class<?> segmentOrNull() {
            try {
                return "foreign".equals(System.getProperty("ivshmem4j.memory"))
                    ? Class.forName("java.lang.foreign.MemorySegment") : null;
            } catch (final ClassNotFoundException e) {
                throw new AssertionError(e);
            }
        }

        private static MethodHandle handle(final String name, final Class<?> result, final Class<?>... types) {
            try {
                return MethodHandles.publicLookup().findVirtual(SEGMENT, name, MethodType.methodType(result, types));
            } catch (final ReflectiveOperationException e) {
                throw new AssertionError(e);
            }
        }
    }
}
