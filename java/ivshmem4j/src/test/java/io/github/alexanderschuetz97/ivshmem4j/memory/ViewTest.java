package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.StringWriter;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.ReadOnlyBufferException;
import java.nio.channels.Pipe;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.concurrent.FutureTask;
import java.util.function.Function;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Buffers and segments over memory: above all, no access after closing reaches a wrong address. */
@Timeout(120)
class ViewTest {

    private static final int SIZE = 4096 * 3;
    private static final boolean THROWS = "foreign".equals(System.getProperty("ivshmem4j.memory"));

    @Test
    void aBufferIsDirectAndInNativeOrderAndSharesTheBytes() {
        try (Region region = new Region(SIZE)) {
            final ByteBuffer buffer = region.memory.asByteBuffer(5, 100);
            assertTrue(buffer.isDirect());
            assertFalse(buffer.isReadOnly());
            assertEquals(ByteOrder.nativeOrder(), buffer.order());
            assertEquals(100, buffer.remaining());
            buffer.putLong(3, 77L);
            assertEquals(77L, region.memory.readLong(8));
            region.memory.write(8, 78L);
            assertEquals(78L, buffer.getLong(3));
            assertEquals(78L, region.memory.slice(4, 50).asByteBuffer(4, 8).getLong());
            assertEquals(SIZE, region.memory.view(ByteBuffer.class).capacity());
            assertThrows(IndexOutOfBoundsException.class, () -> buffer.get(100));
        }
    }

    @Test
    void aBufferOfReadOnlyMemoryIsReadOnly() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = Ivshmem.open("plain:" + region.file + "?readonly").getMemory();
            final ByteBuffer buffer = memory.asByteBuffer(0, 16);
            assertTrue(buffer.isReadOnly());
            assertThrows(ReadOnlyBufferException.class, () -> buffer.put(0, (byte) 1));
            region.memory.write(0, 5);
            assertEquals(5, buffer.getInt(0));
            memory.close();
        }
    }

    @Test
    void anUnknownViewSaysWhichThereAre() {
        try (Region region = new Region(SIZE)) {
            final UnsupportedOperationException thrown =
                assertThrows(UnsupportedOperationException.class, () -> region.memory.view(LongBuffer.class));
            assertTrue(thrown.getMessage().contains("java.nio.LongBuffer"), thrown.getMessage());
            assertTrue(thrown.getMessage().contains("ByteBuffer always works"), thrown.getMessage());
        }
    }

    @Test
    void afterCloseABufferThrowsOrHasZeroesAndReachesNobody() {
        try (Region region = new Region(SIZE)) {
            region.memory.set(0, (byte) 9, SIZE);
            final ByteBuffer buffer = region.memory.slice(1, SIZE - 1).asByteBuffer(0, SIZE - 1);
            final ByteBuffer derived = buffer.duplicate().slice();
            region.memory.close();
            for (final ByteBuffer each : new ByteBuffer[] {buffer, derived}) {
                if (THROWS) {
                    assertThrows(IllegalStateException.class, () -> each.get(0));
                    assertThrows(IllegalStateException.class, () -> each.put(0, (byte) 1));
                } else {
                    assertEquals(0, each.get(7));
                    each.put(0, (byte) 1);
                }
            }
            final byte[] content = new byte[SIZE];
            Arrays.fill(content, (byte) 9);
            assertTrue(Arrays.equals(content, region.content()));
        }
    }

    @Test
    void closingASliceLeavesItsViews() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory slice = region.memory.slice(8, 16);
            final ByteBuffer buffer = slice.asByteBuffer(0, 16);
            slice.close();
            buffer.putInt(0, 3);
            assertEquals(3, region.memory.readInt(8));
        }
    }

    @Test
    void everyBufferKeepsTheMemoryAndNothingKeepsItLonger() throws Exception {
        check(buffer -> buffer);
        check(ByteBuffer::duplicate);
        check(buffer -> buffer.slice().duplicate());
        check(ByteBuffer::asReadOnlyBuffer);
        check(ByteBuffer::asLongBuffer);
        check(buffer -> buffer.duplicate().asIntBuffer().slice());
        check(buffer -> buffer.slice().asReadOnlyBuffer().asCharBuffer());
    }

    private static void check(final Function<ByteBuffer, Object> derive) throws Exception {
        final Path file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-view", null);
        try {
            Files.write(file, new byte[SIZE]);
            Object buffer = derive.apply(Ivshmem.plain(file.toString()).getMemory().slice(8, 64).asByteBuffer(8, 16));
            for (int i = 0; i < 5; i++) {
                System.gc();
                Thread.sleep(20);
            }
            assertEquals(1, ClosingTest.mappings(file));
            assertTrue(buffer.toString().length() > 0);
            buffer = null;
            for (int i = 0; i < 200 && ClosingTest.mappings(file) > 0; i++) {
                System.gc();
                Thread.sleep(20);
            }
            assertEquals(0, ClosingTest.mappings(file));
        } finally {
            Files.delete(file);
        }
    }

    /** While it writes into a full pipe, the operating system reads the view for an unlimited time. */
    @Test
    void aBufferThatASystemCallUsesDoesNotStopClosing() throws Exception {
        final int size = 1 << 20;
        final Path file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-view", null);
        final Pipe pipe = Pipe.open();
        try {
            Files.write(file, new byte[size]);
            final NativeMemory memory = Ivshmem.plain(file.toString()).getMemory();
            final FutureTask<Integer> writer = new FutureTask<>(() -> pipe.sink().write(memory.asByteBuffer(0, size)));
            new Thread(writer).start();
            Thread.sleep(100);
            assertFalse(writer.isDone());
            memory.close();
            assertThrows(IllegalStateException.class, () -> memory.read(0));
            assertThrows(IllegalStateException.class, () -> memory.getAndAdd(0, (byte) 1));
            assertEquals(0, ClosingTest.mappings(file));
            final ByteBuffer drain = ByteBuffer.allocate(size);
            while (drain.hasRemaining()) {
                pipe.source().read(drain);
            }
            assertEquals(size, writer.get());
        } finally {
            pipe.sink().close();
            pipe.source().close();
            Files.delete(file);
        }
    }

    @Test
    void buffersSurviveClosingWhileTheyAreUsed() throws Exception {
        try (Region region = new Region(SIZE)) {
            for (int round = 0; round < 100; round++) {
                final NativeMemory memory = region.again().getMemory();
                final FutureTask<Void> user = new FutureTask<>(() -> {
                    final ByteBuffer buffer = memory.asByteBuffer(0, SIZE);
                    while (memory.isValid()) {
                        buffer.putLong(buffer.getInt(8) & 0xff8, 5L);
                    }
                    return null;
                });
                new Thread(user).start();
                Thread.sleep(round % 3);
                memory.close();
                try {
                    user.get();
                } catch (final java.util.concurrent.ExecutionException e) {
                    assertEquals(IllegalStateException.class, e.getCause().getClass());
                }
            }
        }
    }

    /** A program for Java 22, compiled against the same jar as this test. */
    @Test
    // It needs a compiler, which a runtime does not have.
    @Tag("jdk")
    void aProgramForJava22GetsASegmentByItsType(@TempDir final Path folder) throws Exception {
        final Path source = Paths.get(ViewTest.class.getResource("/SegmentUser.java").toURI());
        try (Region region = new Region(SIZE)) {
            if (!THROWS) {
                final Class<?> segment;
                try {
                    segment = Class.forName("java.lang.foreign.MemorySegment");
                } catch (final ClassNotFoundException old) {
                    return;
                }
                assertThrows(UnsupportedOperationException.class, () -> region.memory.view(segment));
                return;
            }
            final JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
            final StringWriter errors = new StringWriter();
            assertTrue(compiler.getTask(errors, null, null,
                Arrays.asList("-d", folder.toString(), "-cp", System.getProperty("java.class.path"), "-Xlint:all",
                    "-Werror"),
                null, compiler.getStandardFileManager(null, null, null).getJavaFileObjects(source.toFile())).call(),
                errors::toString);
            final NativeMemory readOnly = Ivshmem.open("plain:" + region.file + "?readonly").getMemory();
            try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
                loader.loadClass("SegmentUser").getMethod("check", NativeMemory.class, NativeMemory.class)
                    .invoke(null, region.memory, readOnly);
            }
        }
    }
}
