package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Slices: they are complete memories, and closing affects the right ones. */
@Timeout(120)
class SliceTest {

    private static final int SIZE = 61;
    /**
     * An odd offset, so that no address in a slice has the alignment of its offset in the slice. Few bytes follow the
     * slice.
     */
    private static final int BEFORE = 19;
    private static final int BEHIND = 3;

    static List<Operation> operations() {
        return Operation.all();
    }

    @ParameterizedTest
    @MethodSource("operations")
    void everyOperationWorksAtEveryOffsetAndStaysInside(final Operation operation) throws Exception {
        final Random random = new Random(operation.name.hashCode());
        final byte[] content = new byte[BEFORE + SIZE + BEHIND];
        try (Region region = new Region(content.length)) {
            final NativeMemory slice = region.memory.slice(7, SIZE + BEFORE - 7).slice(BEFORE - 7, SIZE);
            for (int off = 0; off <= SIZE - operation.size; off++) {
                if ((BEFORE + off) % operation.alignment != 0) {
                    continue;
                }
                random.nextBytes(content);
                region.fill(content);
                final ByteBuffer model = ByteBuffer.wrap(content.clone()).order(ByteOrder.nativeOrder());
                final ByteBuffer part = ((ByteBuffer) model.position(BEFORE)).slice().order(ByteOrder.nativeOrder());
                final String where = operation + " at " + off;
                final Object expected = operation.model.on(part, off);
                final Object actual = operation.call.on(slice, off);
                if (expected instanceof byte[]) {
                    assertArrayEquals((byte[]) expected, (byte[]) actual, where);
                } else {
                    assertEquals(expected, actual, where);
                }
                assertArrayEquals(model.array(), region.content(), where);
            }
            for (final long off : new long[] {-1, -BEFORE, SIZE - operation.size + 1, SIZE, Long.MAX_VALUE}) {
                assertThrows(IllegalArgumentException.class, () -> operation.call.on(slice, off), operation.name);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("operations")
    void withTheMemoryItsSlicesAreClosed(final Operation operation) {
        try (Region region = new Region(SIZE + 32)) {
            final NativeMemory slice = region.memory.slice(16, SIZE);
            final NativeMemory deeper = slice.slice(16, SIZE - 16);
            region.memory.close();
            for (final NativeMemory each : new NativeMemory[] {slice, deeper}) {
                assertThrows(IllegalStateException.class, () -> operation.call.on(each, 0), operation.name);
                assertFalse(each.isValid());
            }
            assertEquals("NativeMemory[target=" + region.target + ", offset=16, size=61, closed]", slice.toString());
        }
    }

    @ParameterizedTest
    @MethodSource("operations")
    void closingASliceClosesItAndItsSlicesAlone(final Operation operation) throws Exception {
        try (Region region = new Region(SIZE + 32)) {
            final NativeMemory sibling = region.memory.slice(16, SIZE);
            final NativeMemory slice = region.memory.slice(16, SIZE);
            final NativeMemory deeper = slice.slice(0, SIZE);
            slice.close();
            slice.close();
            assertThrows(IllegalStateException.class, () -> operation.call.on(slice, 0), operation.name);
            assertThrows(IllegalStateException.class, () -> operation.call.on(deeper, 0), operation.name);
            operation.call.on(sibling, 0);
            operation.call.on(region.memory, 0);
        }
    }

    @Test
    void aSliceOfReadOnlyMemoryIsReadOnly() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = Ivshmem.open("plain:" + region.file + "?readonly").getMemory();
            final NativeMemory slice = memory.slice(1, 8);
            assertFalse(slice.isWriteable());
            assertEquals(0L, slice.readLong(0));
            assertThrows(UnsupportedOperationException.class, () -> slice.write(0, 1L));
            assertThrows(UnsupportedOperationException.class, () -> slice.getAndAdd(0, (byte) 1));
            assertThrows(UnsupportedOperationException.class, () -> region.memory.copyTo(0, slice, 0, 1));
            // Inside a word, the read needs no atomic operation.
            assertEquals(0, memory.readIntVolatile(1));
            assertEquals(0, memory.readShortAcquire(5));
            memory.close();
        }
    }

    @Test
    void aSliceTellsOfItselfWhatTheMemoryTells() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory slice = region.memory.slice(5, 9);
            assertEquals(9, slice.size());
            assertEquals(region.memory.getNativePointer(5), slice.getNativePointer());
            assertEquals(region.memory.getNativePointer(7), slice.getNativePointer(2));
            assertSame(region.memory.readLock(), slice.readLock());
            assertSame(region.memory.writeLock(), slice.writeLock());
            assertSame(region.memory.cacheMode(), slice.cacheMode());
            assertEquals("NativeMemory[target=" + region.target + ", offset=5, size=9, open]", slice.toString());
            assertSame(region.memory.getClass(), slice.getClass());
        }
    }

    @Test
    void closingEndsWaitsInSlices() throws Exception {
        for (final boolean byParent : new boolean[] {true, false}) {
            try (Region region = new Region(SIZE)) {
                final NativeMemory slice = region.memory.slice(8, 16);
                final FutureTask<Boolean> sleeps =
                    new FutureTask<>(() -> slice.spin(0, 1, 3_600_000, -1, TimeUnit.MILLISECONDS));
                final FutureTask<Boolean> burns =
                    new FutureTask<>(() -> slice.spinAndSet(0, (byte) 1, (byte) 2, -1, -1, TimeUnit.MILLISECONDS));
                new Thread(sleeps).start();
                new Thread(burns).start();
                Thread.sleep(50);
                (byParent ? region.memory : slice).close();
                for (final FutureTask<?> task : new FutureTask<?>[] {sleeps, burns}) {
                    final ExecutionException thrown = assertThrows(ExecutionException.class, task::get);
                    assertEquals(IllegalStateException.class, thrown.getCause().getClass());
                }
            }
        }
    }

    @Test
    void stopSpinConcernsOneObject() throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory slice = region.memory.slice(8, 16);
            final FutureTask<Boolean> wait =
                new FutureTask<>(() -> slice.spin(0, 1, 3_600_000, -1, TimeUnit.MILLISECONDS));
            new Thread(wait).start();
            Thread.sleep(50);
            region.memory.stopSpin();
            Thread.sleep(50);
            assertFalse(wait.isDone());
            slice.stopSpin();
            assertFalse(wait.get());
        }
    }

    @Test
    void aSliceKeepsTheMemoryAndIsNotKeptByIt() throws Exception {
        try (Region region = new Region(SIZE)) {
            NativeMemory slice = region.again().getMemory().slice(8, 16);
            for (int i = 0; i < 5; i++) {
                System.gc();
                Thread.sleep(20);
            }
            slice.write(0, 5);
            assertEquals(5, region.memory.readInt(8));
            final WeakReference<NativeMemory> forgotten = new WeakReference<>(slice);
            slice = null;
            for (int i = 0; i < 100 && forgotten.get() != null; i++) {
                System.gc();
                Thread.sleep(20);
            }
            assertEquals(null, forgotten.get());
        }
    }

    @Test
    void slicesMayBeTakenWhileTheMemoryIsClosed() throws Exception {
        try (Region region = new Region(SIZE)) {
            for (int round = 0; round < 100; round++) {
                final NativeMemory memory = region.again().getMemory();
                final List<NativeMemory> slices = new ArrayList<>();
                final FutureTask<Void> taker = new FutureTask<>(() -> {
                    while (true) {
                        slices.add(memory.slice(1, 9));
                        Thread.yield();
                    }
                });
                new Thread(taker).start();
                memory.close();
                final ExecutionException thrown = assertThrows(ExecutionException.class, taker::get);
                assertEquals(IllegalStateException.class, thrown.getCause().getClass());
                // All were tested.
                for (final NativeMemory slice : slices) {
                    assertThrows(IllegalStateException.class, () -> slice.read(0));
                }
            }
        }
    }

    @Test
    @Tag("long")
    void lengthsAndOffsetsBehind2GiBAreLikeOthers() throws IOException {
        assumeTrue(Operation.WIDE);
        final long copied = (2L << 30) + 3;
        final long size = copied + 8192;
        final Path folder = Paths.get("/dev/shm");
        assumeTrue(Files.getFileStore(folder).getUsableSpace() > 2 * size, "/dev/shm has no room for 2 GiB");
        final Path file = Files.createTempFile(folder, "ivshmem4j-large", null);
        try {
            final NativeMemory memory = Ivshmem.plain(file.toString(), size).getMemory();
            final NativeMemory slice = memory.slice(copied, 8192);
            slice.write(1, new int[] {1, 2, 3});
            slice.getAndAdd(1, (byte) 4);
            assertEquals(5, memory.readInt(copied + 1));
            assertEquals(5, memory.asByteBuffer(copied, 64).getInt(1));
            assertEquals(5, slice.asByteBuffer(1, 63).getInt(0));
            assertThrows(IllegalArgumentException.class, () -> memory.asByteBuffer(0, 1L << 31));
            assertThrows(IllegalArgumentException.class, () -> memory.asByteBuffer(0, Integer.MAX_VALUE - 7));
            assertEquals(Integer.MAX_VALUE - 8, memory.asByteBuffer(9, Integer.MAX_VALUE - 8).capacity());
            final IllegalArgumentException thrown =
                assertThrows(IllegalArgumentException.class, () -> memory.view(ByteBuffer.class));
            assertTrue(thrown.getMessage().contains("at most 2147483639"), thrown.getMessage());

            memory.write(0, 7L);
            memory.write(copied / 2, 8L);
            memory.write(copied - 8, 9L);
            memory.copyTo(0, memory, 5, copied);
            assertEquals(7L, memory.readLong(5));
            assertEquals(8L, memory.readLong(copied / 2 + 5));
            assertEquals(9L, memory.readLong(copied - 8 + 5));
            memory.copyTo(5, memory, 0, copied);
            assertEquals(7L, memory.readLong(0));
            assertEquals(8L, memory.readLong(copied / 2));
            assertEquals(9L, memory.readLong(copied - 8));
            memory.close();
        } finally {
            Files.delete(file);
        }
    }
}
