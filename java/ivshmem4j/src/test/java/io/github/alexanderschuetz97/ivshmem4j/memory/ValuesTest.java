package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The result and the effect of every method at every offset of a small file, and so at every alignment. */
class ValuesTest {

    /** More than two cache lines, and not a multiple of a power of two. */
    private static final int SIZE = 147;

    static List<Operation> operations() {
        return Operation.all();
    }

    @ParameterizedTest
    @MethodSource("operations")
    void everyOffsetGivesAndLeavesWhatTheModelSays(final Operation operation) throws Exception {
        final Random random = new Random(operation.name.hashCode());
        final byte[] content = new byte[SIZE];
        try (Region region = new Region(SIZE)) {
            for (int off = 0; off <= SIZE - operation.size; off++) {
                random.nextBytes(content);
                region.fill(content);
                final ByteBuffer model = ByteBuffer.wrap(content.clone()).order(ByteOrder.nativeOrder());
                final String where = operation + " at " + off;
                if (off % operation.alignment == 0) {
                    check(operation, region.memory, off, model, where);
                } else {
                    final long at = off;
                    assertThrows(
                        IllegalArgumentException.class, () -> operation.call.on(region.memory, at), where);
                }
                assertArrayEquals(model.array(), region.content(), where);
            }
        }
    }

    private static void check(
        final Operation operation, final NativeMemory memory, final int off, final ByteBuffer model, final String where)
        throws Exception {
        final Object expected = operation.model.on(model, off);
        final Object actual = operation.call.on(memory, off);
        if (expected instanceof byte[]) {
            assertArrayEquals((byte[]) expected, (byte[]) actual, where);
        } else {
            assertEquals(expected, actual, where);
        }
    }

    @Test
    void everyMethodWithAnOffsetIsAmongTheOperations() {
        final Set<String> tested = Operation.all().stream()
            .map(operation -> operation.name.split("[( ]")[0]).collect(Collectors.toSet());
        final Set<String> missing = new TreeSet<>();
        for (final Method method : NativeMemory.class.getMethods()) {
            if (method.getParameterCount() > 0 && method.getParameterTypes()[0] == long.class) {
                missing.add(method.getName());
            }
        }
        missing.removeAll(tested);
        missing.remove("isValid");
        if (!Region.HAS_VIEWS) {
            missing.removeAll(Arrays.asList("asByteBuffer", "view"));
        }
        assertTrue(missing.isEmpty(), () -> "no operation tests " + missing);
    }

    @Test
    void theForcedImplementationIsTheOneUnderTest() {
        final String forced = System.getProperty("ivshmem4j.memory");
        try (Region region = new Region(SIZE)) {
            final String name = region.memory.getClass().getSimpleName();
            final boolean guarded = "unsafe".equals(forced) && System.getProperty("os.name").startsWith("Windows");
            assertTrue(forced == null || name.equalsIgnoreCase((guarded ? "guarded" : forced) + "memory"), name);
        }
    }

    @Test
    void bulkMethodsMoveMegabytes() {
        final byte[] written = new byte[(5 << 20) + 3];
        new Random(5).nextBytes(written);
        try (Region region = new Region(written.length + 1)) {
            region.memory.write(1, written);
            final byte[] read = new byte[written.length];
            region.memory.read(1, read);
            assertArrayEquals(written, read);
            final ByteBuffer direct = ByteBuffer.allocateDirect(written.length);
            region.memory.read(1, direct);
            direct.flip();
            assertEquals(ByteBuffer.wrap(written), direct);
            region.memory.zero();
            region.memory.write(1, direct);
            assertEquals(0, region.memory.read(0));
            region.memory.read(1, read);
            assertArrayEquals(written, read);
            region.memory.set(1, (byte) 7, written.length);
            assertEquals(0, region.memory.read(0));
            assertEquals(-1, region.memory.indexOf(1, written.length, (byte) 0));
            region.memory.zero();
            assertArrayEquals(new byte[written.length + 1], region.content());
        }
    }

    @Test
    void indexOfFindsWhatLiesAcrossItsChunks() {
        try (Region region = new Region(40_000)) {
            final byte[] needle = {1, 1, 2, 1, 1, 3};
            for (final int at : new int[] {0, 8187, 8190, 8191, 8192, 8193, 16_384, 39_994}) {
                region.memory.zero();
                region.memory.write(at, needle);
                assertEquals(at, region.memory.indexOf(0, 40_000, needle));
                assertEquals(at, region.memory.indexOf(at, 6, needle));
                assertEquals(-1, region.memory.indexOf(at, 5, needle));
                assertEquals(-1, region.memory.indexOf(0, at + 5, needle));
            }
            assertEquals(17, region.memory.indexOf(17, 1, new byte[0]));
            assertEquals(-1, region.memory.indexOf(0, 10, new byte[50_000]));
        }
    }

    @Test
    void aSecondMappingSeesWhatTheFirstWrites() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory other = region.again().getMemory();
            region.memory.write(3, 0x1234_5678_9abc_def0L);
            assertEquals(0x1234_5678_9abc_def0L, other.readLong(3));
            assertTrue(other.size() >= SIZE);
            other.close();
            assertEquals(0x1234_5678_9abc_def0L, region.memory.readLong(3));
        }
    }

    @Test
    void itTellsWhatItCanDo() {
        try (Region region = new Region(SIZE)) {
            assertTrue(region.memory.isReadable());
            assertTrue(region.memory.isWriteable());
            assertTrue(region.memory.supportsAtomicOperations());
            assertEquals(!Operation.WIDE, region.memory.atomic8ByteOperationsRequireAlignment());
            assertEquals(Operation.WIDE, region.memory.supports16ByteCompareAndSet());
            if (!Operation.WIDE) {
                final byte[] data = new byte[32];
                assertThrows(UnsupportedOperationException.class, () -> region.memory.compareAndSet(0, data));
            }
            assertEquals("NativeMemory[target=" + region.target + ", size=147, open]", region.memory.toString());
            region.memory.readLock().lock();
            region.memory.readLock().unlock();
            region.memory.writeLock().lock();
            region.memory.writeLock().unlock();
        }
    }

    @Test
    void isValidIsTrueInsideOnly() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            assertTrue(memory.isValid() && memory.isValid(0) && memory.isValid(SIZE - 1));
            assertTrue(memory.isValid(0, SIZE) && memory.isValid(SIZE - 1, 1) && memory.isValid(SIZE - 1, 0));
            for (final long off : new long[] {-1, SIZE, Long.MAX_VALUE, Long.MIN_VALUE}) {
                assertTrue(!memory.isValid(off) && !memory.isValid(off, 1), "at " + off);
                assertEquals(off == SIZE, memory.isValid(off, 0), "at " + off);
            }
            for (final long len : new long[] {-1, SIZE, Long.MAX_VALUE, Long.MIN_VALUE}) {
                assertTrue(!memory.isValid(1, len), "length " + len);
            }
        }
    }
}
