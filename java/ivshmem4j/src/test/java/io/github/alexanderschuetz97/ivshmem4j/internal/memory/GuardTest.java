package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import io.github.alexanderschuetz97.ivshmem4j.memory.Region;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Closing of a mapping that cannot be replaced. A mapping of a file represents it where files can be mapped. */
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
        // A guard without the thread that has ended without leaving.
        final Guard free = new Guard(runs::incrementAndGet);
        free.enter();
        free.leave();
        assertEquals(0, runs.get());
        free.close();
        assertEquals(1, runs.get());
    }

    /** A subclass of Thread may return any id, and a different one each time. */
    @Test
    void aThreadThatChangesItsIdIsCountedInAndOutAtOnePlace() throws Exception {
        final AtomicInteger runs = new AtomicInteger();
        final Guard guard = new Guard(runs::incrementAndGet);
        final CountDownLatch inside = new CountDownLatch(1);
        final CountDownLatch closed = new CountDownLatch(1);
        final Thread stays = new Liar(() -> {
            guard.enter();
            inside.countDown();
            await(closed);
            guard.leave();
        });
        stays.start();
        inside.await();
        // If counters depended on the id, this thread could leave in place of the other one.
        final Thread passes = new Liar(() -> {
            for (int i = 0; i < 1000; i++) {
                guard.enter();
                guard.leave();
            }
        });
        passes.start();
        passes.join();
        guard.close();
        assertEquals(0, runs.get());
        closed.countDown();
        stays.join();
        assertEquals(1, runs.get());
    }

    private static void await(final CountDownLatch latch) {
        try {
            latch.await();
        } catch (final InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static final class Liar extends Thread {

        private static final AtomicLong NEXT = new AtomicLong();

        Liar(final Runnable target) {
            super(target);
        }

        @Override
        @Deprecated
        public long getId() {
            return NEXT.incrementAndGet();
        }
    }

    /** Simulates another thread that has begun to close the part and has done nothing else. */
    @Test
    void aPartThatAnotherThreadIsClosingIsOverOnceTheWholeIsClosed() throws Exception {
        onAMapping((handle, memory) -> {
            final MappedMemory part = (MappedMemory) memory.slice(64, 64);
            final MappedMemory partOfPart = (MappedMemory) part.slice(8, 8);
            final Field closed = MappedMemory.class.getDeclaredField("closed");
            closed.setAccessible(true);
            assertTrue(((AtomicBoolean) closed.get(part)).compareAndSet(false, true));
            memory.close();
            assertThrows(IllegalStateException.class, () -> NativeLibrary.memorySize(handle));
            for (final MappedMemory each : new MappedMemory[] {part, partOfPart}) {
                // The methods that return an address; an access would end the JVM.
                assertThrows(IllegalStateException.class, () -> each.readable(0, 4));
                assertThrows(IllegalStateException.class, () -> each.readable(0, 4L));
                assertThrows(IllegalStateException.class, () -> each.writable(0, 4));
                assertThrows(IllegalStateException.class, () -> each.writable(0, 4L));
            }
        });
    }

    @Test
    void closingReleasesAtOnceWhateverHadBeenRefusedBefore() throws Exception {
        onAMapping((handle, memory) -> {
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
        });
    }

    private interface Use {
        void of(long handle, GuardedMemory memory) throws Exception;
    }

    private static void onAMapping(final Use use) throws Exception {
        final Path file = Region.isDevice() ? null : Files.createTempFile("ivshmem4j-test", null);
        NativeLibrary.load();
        final long device =
            file == null ? Region.openDevice() : NativeLibrary.open("plain:" + file + "?size=" + SIZE);
        try {
            final long handle = NativeLibrary.deviceMemory(device);
            final Mapping mapping =
                new Mapping("test", handle, NativeLibrary.memoryAddress(handle), SIZE, true, false, CacheMode.CACHED);
            use.of(handle, new GuardedMemory(mapping, null, () -> { }));
        } finally {
            NativeLibrary.deviceClose(device);
            NativeLibrary.deviceFree(device);
            if (file != null) {
                Files.delete(file);
            }
        }
    }
}
