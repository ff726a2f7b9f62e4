package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/**
 * A file loses its pages and gets them back, thousands of times, while four threads access it in every way that must not end
 * the JVM. The test runs in a separate JVM, which a wrong access would end.
 */
@Timeout(value = 40, unit = java.util.concurrent.TimeUnit.MINUTES)
@EnabledOnOs(value = OS.LINUX, disabledReason = "files cannot be opened")
class LiveTruncationTest {

    private static final long MILLIS = Long.getLong("ivshmem4j.attack.millis", 1500);

    @Test
    void theJvmLivesAndNothingElseThanTheTwoErrorsIsThrown() throws Exception {
        final ProcessBuilder builder = new ProcessBuilder(Jvm.command(
            Jvm.settings(), System.getProperty("java.class.path"), Child.class, Long.toString(MILLIS)))
            .redirectErrorStream(true);
        try (Jvm jvm = new Jvm(builder)) {
            final String said = jvm.readAll().replaceAll("WARNING: .*\n", "");
            assertTrue(said.matches("[1-9]\\d* truncations, [1-9]\\d* accesses, [1-9]\\d* failed\nexit 0"), said);
            System.out.println("Java " + System.getProperty("java.version") + ", "
                + System.getProperty("ivshmem4j.memory") + ": " + said.replaceAll("\n.*", ""));
        }
    }

    /** The program of the other JVM. */
    static final class Child {

        /** The minimum number of truncations, as a busy machine may need more than the given time. */
        private static final int LEAST = 20;
        private static final int PAGE = 4096;
        private static final int SIZE = 64 * PAGE;
        /** Whether the copies of the JVM survive a lost page, as they do from Java 14 on. */
        private static final boolean VIEWS_COPY =
            Float.parseFloat(System.getProperty("java.specification.version")) >= 14;

        private static final int[] BYTES = new int[1 << 8];
        private static final int[] SHORTS = new int[1 << 16];
        private static final long INDEX_BELOW_OTHER_BITS = 0x7fff_ffff_0000_ffffL;
        private static final long[] LONGS = new Random(6).longs(64).map(bits -> bits & INDEX_BELOW_OTHER_BITS).toArray();

        private Child() {}

        public static void main(final String[] arguments) throws Exception {
            final AtomicBoolean over = new AtomicBoolean();
            final AtomicLong truncations = new AtomicLong();
            final AtomicLong accesses = new AtomicLong();
            final AtomicLong failed = new AtomicLong();
            final Region region = new Region(SIZE);
            region.file.toFile().deleteOnExit();
            final Queue<Throwable> thrown = new ConcurrentLinkedQueue<>();
            final List<Thread> threads = new ArrayList<>();
            for (int number = 0; number < 4; number++) {
                final Random random = new Random(number);
                final List<Operation> operations = number == 0 ? trusted() : operations();
                final Thread thread = new Thread(() -> {
                    while (!over.get()) {
                        try {
                            hammer(region.memory, operations, random, over, accesses, failed);
                        } catch (final InternalError late) {
                            failed.incrementAndGet();
                        }
                    }
                });
                // The error may occur as late as the end of the thread.
                thread.setUncaughtExceptionHandler((ended, e) -> {
                    if (!(e instanceof InternalError)) {
                        thrown.add(e);
                    }
                });
                threads.add(thread);
                thread.setDaemon(true);
                thread.start();
            }
            try (RandomAccessFile file = new RandomAccessFile(region.file.toFile(), "rw");
                FileChannel channel = FileChannel.open(region.file, StandardOpenOption.WRITE)) {
                final Random random = new Random(5);
                final long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000;
                while (System.nanoTime() < end || truncations.get() < LEAST || failed.get() == 0) {
                    channel.truncate(PAGE * (long) random.nextInt(64));
                    truncations.incrementAndGet();
                    Thread.sleep(0, random.nextInt(300_000));
                    file.setLength(SIZE);
                    Thread.sleep(0, random.nextInt(300_000));
                }
            }
            over.set(true);
            for (final Thread thread : threads) {
                thread.join();
            }
            for (final Throwable e : thrown) {
                throw new AssertionError("an access threw what it must not", e);
            }
            // The file has its full length again, so the memory works.
            region.memory.write(SIZE - 8, 7L);
            if (region.memory.readLong(SIZE - 8) != 7) {
                throw new AssertionError("what was written is not there");
            }
            System.out.println(truncations + " truncations, " + accesses + " accesses, " + failed + " failed");
        }

        private static void hammer(
            final NativeMemory memory,
            final List<Operation> operations,
            final Random random,
            final AtomicBoolean over,
            final AtomicLong accesses,
            final AtomicLong failed) {
            while (!over.get()) {
                try {
                    final Operation operation = operations.get(random.nextInt(operations.size()));
                    accesses.incrementAndGet();
                    operation.call.on(memory, random.nextInt((SIZE - operation.size) / 16) * 16);
                } catch (final InternalError e) {
                    failed.incrementAndGet();
                } catch (final IvshmemException e) {
                    if (e.getCode() != IvshmemException.Code.IO) {
                        throw e;
                    }
                    failed.incrementAndGet();
                } catch (final Exception e) {
                    throw new IllegalStateException(e);
                }
            }
        }

        /**
         * Reads whose result the JVM assumes to be in the range of its type: it omits index checks that no number in the
         * range fails.
         */
        private static List<Operation> trusted() {
            final List<Operation> operations = new ArrayList<>();
            Operation.read(operations, "indexes", PAGE, Child::useAsIndexes, null);
            Operation.read(operations, "checked indexes", PAGE, Child::useAsCheckedIndexes, null);
            return operations;
        }

        /** Reads ints among numbers whose lower half is a valid index and whose upper half is outside any array. */
        private static Object useAsCheckedIndexes(final NativeMemory m, final long off) {
            long sum = 0;
            for (long at = off; at < off + PAGE - 40; at += 40) {
                final int number = (int) (at >> 3);
                final long first = LONGS[number & 63] ^ sum;
                LONGS[number + 1 & 63] = first & INDEX_BELOW_OTHER_BITS;
                sum += first;
                final int plain = m.readInt(at);
                if (plain >= 0 && plain < SHORTS.length) {
                    sum += SHORTS[plain];
                }
                sum ^= LONGS[number + 2 & 63];
                final int little = m.readIntLE(at + 8);
                if (little >= 0 && little < SHORTS.length) {
                    sum += SHORTS[little];
                }
                sum ^= m.readLong(at + 16) & INDEX_BELOW_OTHER_BITS;
                final int acquired = m.readIntAcquire(at + 24);
                if (acquired >= 0 && acquired < SHORTS.length) {
                    sum += SHORTS[acquired];
                }
                sum ^= LONGS[number + 3 & 63];
                final int ordered = m.readIntVolatile(at + 32);
                if (ordered >= 0 && ordered < SHORTS.length) {
                    sum += SHORTS[ordered];
                }
            }
            return sum;
        }

        private static Object useAsIndexes(final NativeMemory m, final long off) {
            long sum = 0;
            for (long at = off; at < off + PAGE; at += 74) {
                sum += BYTES[m.read(at) + 128] + BYTES[m.readUnsignedByte(at)] + SHORTS[m.readUnsignedShort(at)];
                sum += SHORTS[m.readShort(at) + 32_768] + SHORTS[m.readChar(at)];
                sum += BYTES[m.readByteVolatile(at) & 0xff] + SHORTS[m.readShortVolatile(at) & 0xffff];
                sum += m.read(m.readUnsignedInt(at) % SIZE);
            }
            return sum;
        }

        private static List<Operation> operations() {
            final List<Operation> operations = Operation.all();
            // The operations that the documentation excludes, and those that wait for a value.
            operations.removeIf(operation -> operation.name.matches(
                "(getAnd|compareAnd|spin|write.*(Release|Volatile)|sync|getNative" + (VIEWS_COPY ? "" : "|asByteBuffer|view")
                    + ").*"));
            final int some = 9 * PAGE + 5;
            Operation.read(operations, "many bytes", some, (m, o) -> {
                m.read(o, new byte[some], 0, some);
                return null;
            }, null);
            Operation.read(operations, "many longs", some, (m, o) -> {
                m.read(o, new long[PAGE], 0, PAGE);
                return null;
            }, null);
            Operation.read(operations, "many bytes in", some, (m, o) -> {
                m.write(o, new byte[some], 0, some);
                return null;
            }, null);
            Operation.read(operations, "search", some, (m, o) -> m.indexOf(o, some, new byte[] {1, 2, 3, 4, 5, 6}), null);
            Operation.read(operations, "fill", some, (m, o) -> {
                m.set(o, (byte) 0, some);
                return null;
            }, null);
            Operation.read(operations, "overlapping copy", some, (m, o) -> {
                m.copyTo(o, m, Math.max(0, o - 3), some);
                return null;
            }, null);
            Operation.read(operations, "buffer word", some, (m, o) -> m.asByteBuffer(o, some).putInt(7, 5).getLong(some - 8), null);
            if (VIEWS_COPY) {
                Operation.read(operations, "buffer copy", some, (m, o) -> {
                    final ByteBuffer buffer = m.asByteBuffer(o, some);
                    buffer.get(new byte[some]);
                    return buffer;
                }, null);
            }
            return operations;
        }
    }
}
