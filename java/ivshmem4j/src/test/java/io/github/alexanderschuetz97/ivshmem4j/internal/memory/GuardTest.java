package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import io.github.alexanderschuetz97.ivshmem4j.memory.Region;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The end of a mapping that nothing can take the place of; one of a file stands in for it, where there are files. */
@Timeout(60)
class GuardTest {

    private static final int SIZE = 4096;

    @Test
    void theActionRunsWhenItIsClosedAndTheLastOneHasLeft() throws Exception {
        final AtomicInteger runs = new AtomicInteger();
        final Guard guard = new Guard(runs::incrementAndGet);
        guard.enter();
        guard.enter();
        final Thread other = new Thread(guard::enter);
        other.start();
        other.join();
        guard.close();
        guard.leave();
        guard.leave();
        assertEquals(0, runs.get());
        // As the other thread, which is over, would have left.
        final Guard free = new Guard(runs::incrementAndGet);
        free.enter();
        free.leave();
        assertEquals(0, runs.get());
        free.close();
        assertEquals(1, runs.get());
    }

    @Test
    void closingReleasesAtOnceWhateverHadBeenRefusedBefore() throws IOException {
        final Path file = Region.isDevice() ? null : Files.createTempFile("ivshmem4j-test", null);
        NativeLibrary.load();
        final long device =
            file == null ? Region.openDevice() : NativeLibrary.open("plain:" + file + "?size=" + SIZE);
        try {
            final long handle = NativeLibrary.deviceMemory(device);
            final Mapping mapping =
                new Mapping(handle, NativeLibrary.memoryAddress(handle), SIZE, true, CacheMode.CACHED);
            final NativeMemory memory = new GuardedMemory(mapping, null, () -> { });
            final NativeMemory part = memory.slice(64, 64);
            for (final NativeMemory some : new NativeMemory[] {memory, part}) {
                some.write(0, 5);
                assertEquals(5, some.getAndAdd(0, (byte) 1));
                for (final long off : new long[] {-1, some.size(), Long.MAX_VALUE}) {
                    assertThrows(IllegalArgumentException.class, () -> some.readInt(off));
                    assertThrows(IllegalArgumentException.class, () -> some.write(off, 1L));
                    assertThrows(IllegalArgumentException.class, () -> some.write(off, new byte[3]));
                    assertThrows(IllegalArgumentException.class, () -> some.read(off, new int[3]));
                    assertThrows(IllegalArgumentException.class, () -> some.getAndAdd(off, (short) 1));
                    assertThrows(IllegalArgumentException.class, () -> some.readIntVolatile(off));
                    assertThrows(IllegalArgumentException.class, () -> some.compareAndSet(off, new byte[32]));
                    assertThrows(IllegalArgumentException.class, () -> some.set(off, (byte) 1, 3));
                    assertThrows(IllegalArgumentException.class, () -> some.copyTo(0, part, off, 8));
                }
                assertThrows(UnsupportedOperationException.class, () -> some.asByteBuffer(0, 8));
            }
            part.close();
            assertTrue(NativeLibrary.memorySize(handle) >= SIZE);
            memory.close();
            assertThrows(IllegalStateException.class, () -> NativeLibrary.memorySize(handle));
            assertThrows(IllegalStateException.class, () -> memory.readInt(0));
            assertThrows(IllegalStateException.class, () -> part.readInt(0));
        } finally {
            NativeLibrary.deviceClose(device);
            NativeLibrary.deviceFree(device);
            if (file != null) {
                Files.delete(file);
            }
        }
    }
}
