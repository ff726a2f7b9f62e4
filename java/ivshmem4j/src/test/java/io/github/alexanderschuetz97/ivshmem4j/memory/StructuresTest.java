package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryBoolean;
import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryByte;
import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryInt;
import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryLong;
import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryShort;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.RingBuffer;
import io.github.alexanderschuetz97.ivshmem4j.api.SharedMemoryLock;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.NotSerializableException;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.util.Random;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Numbers, lock and ring; each side with a mapping of its own. */
@Timeout(60)
class StructuresTest {

    private static final int SIZE = 4096;

    private static <T> FutureTask<T> start(final java.util.concurrent.Callable<T> call) {
        final FutureTask<T> task = new FutureTask<>(call);
        final Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        return task;
    }

    @Test
    void numbersDoWhatTheirJavaNamesakesDo() {
        try (Region region = new Region(SIZE)) {
            final AtomicSharedMemoryInt number = new AtomicSharedMemoryInt(region.memory, 8);
            final java.util.concurrent.atomic.AtomicInteger same = new java.util.concurrent.atomic.AtomicInteger();
            assertEquals(same.getAndAdd(7), number.getAndAdd(7));
            assertEquals(same.addAndGet(-9), number.addAndGet(-9));
            assertEquals(same.getAndIncrement(), number.getAndIncrement());
            assertEquals(same.getAndDecrement(), number.getAndDecrement());
            assertEquals(same.incrementAndGet(), number.incrementAndGet());
            assertEquals(same.decrementAndGet(), number.decrementAndGet());
            assertEquals(same.getAndSet(Integer.MAX_VALUE), number.getAndSet(Integer.MAX_VALUE));
            assertEquals(same.incrementAndGet(), number.incrementAndGet());
            assertEquals(same.getAndUpdate(x -> x / 3), number.getAndUpdate(x -> x / 3));
            assertEquals(same.updateAndGet(x -> x + 5), number.updateAndGet(x -> x + 5));
            assertEquals(same.getAndAccumulate(4, Math::max), number.getAndAccumulate(4, Math::max));
            assertEquals(same.accumulateAndGet(40, Integer::sum), number.accumulateAndGet(40, Integer::sum));
            assertEquals(same.compareAndSet(44, 1), number.compareAndSet(44, 1));
            assertTrue(number.weakCompareAndSet(1, 300) && !number.compareAndSet(1, 2));
            assertEquals("300", number.toString());
            assertThrows(NotSerializableException.class,
                () -> new ObjectOutputStream(new ByteArrayOutputStream()).writeObject(number));
            assertEquals(300L, number.longValue());
            assertEquals((byte) 300, number.byteValue());
            assertEquals(300.0, number.doubleValue());
            number.lazySet(-5);
            assertEquals(-5, region.memory.readInt(8));
            number.set(6);
            assertEquals(6, number.get());
        }
    }

    @Test
    void smallNumbersWrapAroundAndLeaveTheirNeighboursAlone() {
        try (Region region = new Region(SIZE)) {
            region.memory.set(0, (byte) 0x11, 64);
            final AtomicSharedMemoryByte one = new AtomicSharedMemoryByte(region.memory, 3);
            one.set(Byte.MAX_VALUE);
            assertEquals(Byte.MIN_VALUE, one.incrementAndGet());
            assertEquals(Byte.MIN_VALUE, one.getAndDecrement());
            assertEquals((byte) 0x7e, one.updateAndGet(x -> x + 0xff));
            final AtomicSharedMemoryShort two = new AtomicSharedMemoryShort(region.memory, 11);
            two.set(Short.MIN_VALUE);
            assertEquals(Short.MAX_VALUE, two.decrementAndGet());
            assertEquals(Short.MAX_VALUE, two.getAndAccumulate((short) 2, Math::min));
            assertEquals(2, two.get());
            final AtomicSharedMemoryLong eight = new AtomicSharedMemoryLong(region.memory, 24);
            eight.set(Long.MAX_VALUE);
            assertEquals(Long.MIN_VALUE, eight.incrementAndGet());
            assertEquals(0x1111, region.memory.readShort(1));
            assertEquals(0x11, region.memory.read(4));
            assertEquals(0x11, region.memory.read(10));
            assertEquals(0x11, region.memory.read(13));
            assertEquals(0x11, region.memory.read(23));
            assertEquals(0x11, region.memory.read(32));
        }
    }

    @Test
    void aBooleanTakesAnyByteButZeroForTrue() {
        try (Region region = new Region(SIZE)) {
            final AtomicSharedMemoryBoolean flag = new AtomicSharedMemoryBoolean(region.memory, 5);
            assertFalse(flag.get());
            assertFalse(flag.compareAndSet(true, false));
            assertTrue(flag.compareAndSet(false, true));
            assertTrue(flag.get() && flag.getAndSet(false) && !flag.getAndSet(true));
            region.memory.write(5, (byte) -128);
            assertTrue(flag.get());
            assertFalse(flag.compareAndSet(false, true));
            assertTrue(flag.weakCompareAndSet(true, true));
            assertEquals(1, region.memory.read(5));
            flag.lazySet(false);
            assertEquals("false", flag.toString());
            flag.set(true);
            assertEquals("true", flag.toString());
        }
    }

    @Test
    void structuresOutsideTheMemoryAreIllegalArguments() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            assertThrows(IllegalArgumentException.class, () -> new AtomicSharedMemoryBoolean(memory, SIZE));
            assertThrows(IllegalArgumentException.class, () -> new AtomicSharedMemoryByte(memory, -1));
            assertThrows(IllegalArgumentException.class, () -> new AtomicSharedMemoryShort(memory, SIZE - 1));
            assertThrows(IllegalArgumentException.class, () -> new AtomicSharedMemoryInt(memory, SIZE - 3));
            assertThrows(IllegalArgumentException.class, () -> new AtomicSharedMemoryLong(memory, SIZE - 7));
            for (final long off : new long[] {-8, SIZE - 8, 4, SIZE, Long.MAX_VALUE - 7}) {
                assertThrows(IllegalArgumentException.class, () -> new SharedMemoryLock(memory, off));
                assertThrows(IllegalArgumentException.class, () -> new RingBuffer(memory, off, 1024));
            }
            for (final long len : new long[] {-1, 0, 384, SIZE + 1, Long.MAX_VALUE}) {
                assertThrows(IllegalArgumentException.class, () -> new RingBuffer(memory, 0, len));
            }
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void somethingElseIsNotTakenForAStructure() {
        try (Region region = new Region(SIZE)) {
            region.memory.write(0, 77L);
            assertThrows(IvshmemException.class, () -> new SharedMemoryLock(region.memory, 0));
            assertThrows(IvshmemException.class, () -> new RingBuffer(region.memory, 0, 1024));
            new RingBuffer(region.memory, 1024, 1024);
            assertThrows(IvshmemException.class, () -> new RingBuffer(region.memory, 1024, 2048));
            assertThrows(IvshmemException.class, () -> new SharedMemoryLock(region.memory, 1024));
        }
    }

    @Test
    void theLockKeepsTwoProgramsApart() throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory other = region.again().getMemory();
            final FutureTask<Integer> first = start(() -> count(region.memory));
            final FutureTask<Integer> second = start(() -> count(other));
            assertEquals(4000, first.get() + second.get());
            assertEquals(4000, region.memory.readInt(64));
            assertEquals("SharedMemoryLock[free]", new SharedMemoryLock(other, 0).toString());
            other.close();
        }
    }

    private static int count(final NativeMemory memory) {
        final Lock lock = new SharedMemoryLock(memory, 0);
        int done = 0;
        for (; done < 2000; done++) {
            lock.lock();
            try {
                memory.write(64, memory.readInt(64) + 1);
            } finally {
                lock.unlock();
            }
        }
        return done;
    }

    @Test
    void theLockCanBeTakenAgainByItsHolderOnly() throws Exception {
        try (Region region = new Region(SIZE)) {
            final SharedMemoryLock mine = new SharedMemoryLock(region.memory, 16);
            final SharedMemoryLock other = new SharedMemoryLock(region.memory, 16);
            mine.lock();
            assertTrue(mine.tryLock() && mine.tryLock(1, TimeUnit.HOURS));
            mine.lockInterruptibly();
            assertFalse(other.tryLock() || other.tryLock(20, TimeUnit.MILLISECONDS));
            assertFalse(start((java.util.concurrent.Callable<Boolean>) mine::tryLock).get());
            for (int i = 0; i < 4; i++) {
                assertTrue(mine.isHeldByCurrentThread());
                mine.unlock();
            }
            assertFalse(mine.isHeldByCurrentThread());
            assertThrows(IllegalMonitorStateException.class, mine::unlock);
            assertTrue(other.tryLock(20, TimeUnit.MILLISECONDS));
            assertThrows(UnsupportedOperationException.class, other::newCondition);
            other.unlock();
        }
    }

    @Test
    void whoLostTheLockIsToldAtTheLatestWhenGivingItBack() {
        try (Region region = new Region(SIZE)) {
            final SharedMemoryLock dead = new SharedMemoryLock(region.memory, 16);
            final SharedMemoryLock heir = new SharedMemoryLock(region.memory, 16);
            dead.lock();
            final long owner = heir.owner();
            assertThrows(IllegalArgumentException.class, () -> heir.breakLock(0));
            assertTrue(heir.breakLock(owner));
            assertFalse(heir.breakLock(owner));
            heir.lock();
            assertFalse(dead.isHeldByCurrentThread());
            assertThrows(IllegalMonitorStateException.class, dead::unlock);
            assertTrue(heir.isHeldByCurrentThread());
            heir.unlock();
            dead.lock();
            dead.unlock();
        }
    }

    @Test
    void waitingForTheLockEndsByInterruptAndByClosing() throws Exception {
        try (Region region = new Region(SIZE)) {
            new SharedMemoryLock(region.memory, 16).lock();
            final SharedMemoryLock lock = new SharedMemoryLock(region.memory, 16);
            final FutureTask<Class<?>> waits = new FutureTask<>(() ->
                assertThrows(InterruptedException.class, lock::lockInterruptibly).getClass());
            final Thread thread = new Thread(waits);
            thread.start();
            thread.interrupt();
            waits.get();
            final FutureTask<?> closed = start(() -> assertThrows(IllegalStateException.class, lock::lock));
            Thread.sleep(20);
            region.memory.close();
            closed.get();
        }
    }

    @Test
    void theRingCarriesEveryByteInOrder() throws Exception {
        final byte[] sent = new byte[300_000];
        new Random(3).nextBytes(sent);
        try (Region region = new Region(SIZE)) {
            final NativeMemory other = region.again().getMemory();
            final FutureTask<Void> writer = start(() -> {
                final Random random = new Random(1);
                try (OutputStream out = new RingBuffer(region.memory, 8, 384 + 1001).outputStream()) {
                    int done = 0;
                    while (done < sent.length) {
                        final int some = Math.min(sent.length - done, random.nextInt(3000));
                        out.write(sent, done, some);
                        done += some;
                    }
                }
                return null;
            });
            final byte[] received = new byte[sent.length];
            try (InputStream in = new RingBuffer(other, 8, 384 + 1001).inputStream()) {
                final Random random = new Random(2);
                int done = 0;
                for (int n; done < sent.length; done += n) {
                    n = in.read(received, done, Math.min(sent.length - done, random.nextInt(700) + 1));
                    assertTrue(n > 0);
                }
                assertEquals(-1, in.read());
            }
            writer.get();
            assertArrayEquals(sent, received);
            other.close();
        }
    }

    @Test
    void ringStreamsCanBeOpenedAgain() throws Exception {
        try (Region region = new Region(SIZE)) {
            final RingBuffer ring = new RingBuffer(region.memory, 0, 400);
            assertEquals(16, ring.capacity());
            OutputStream out = ring.outputStream();
            out.write(200);
            out.write(new byte[] {1, 2});
            out.close();
            InputStream in = ring.inputStream();
            assertEquals(3, in.available());
            assertEquals(0, in.read(new byte[0]));
            assertThrows(IndexOutOfBoundsException.class, () -> ring.inputStream().read(new byte[1], 0, 2));
            assertThrows(IndexOutOfBoundsException.class, () -> ring.outputStream().write(new byte[1], -1, 1));
            ring.outputStream().close();
            assertEquals(3, in.read(new byte[8]));
            assertEquals(-1, in.read());
            out = ring.outputStream();
            out.write(9);
            assertEquals(9, in.read());
            in.close();
            final OutputStream broken = out;
            assertThrows(IOException.class, () -> broken.write(1));
            in = ring.inputStream();
            broken.write(1);
            assertEquals(1, in.read());
        }
    }

    @Test
    void aLyingSideOfTheRingCostsAnException() throws Exception {
        try (Region region = new Region(SIZE)) {
            final RingBuffer ring = new RingBuffer(region.memory, 0, 400);
            final InputStream in = ring.inputStream();
            final OutputStream out = ring.outputStream();
            for (final long lie : new long[] {-1, 17, Long.MAX_VALUE, Long.MIN_VALUE}) {
                region.memory.write(128, lie);
                assertThrows(IOException.class, in::read, "written " + lie);
                region.memory.write(128, 0L);
                region.memory.write(256, lie);
                assertThrows(IOException.class, () -> out.write(1), "read " + lie);
                region.memory.write(256, 0L);
            }
            out.write(1);
            assertEquals(1, in.read());
        }
    }

    /** Both positions are a peer's numbers when a side is opened again; their difference may wrap around and look right. */
    @Test
    void positionsThatAreNotCountsMoveNoByteOutsideTheRing() throws Exception {
        final int off = 2048;
        try (Region region = new Region(SIZE)) {
            final RingBuffer ring = new RingBuffer(region.memory, off, RingBuffer.HEADER + 1600);
            for (final long written : new long[] {Long.MIN_VALUE, Long.MIN_VALUE + 5, Long.MIN_VALUE + 1599, -1}) {
                for (final long filled : new long[] {0, 10, 1590, 1600}) {
                    region.memory.write(off + 128, written);
                    region.memory.write(off + 256, written - filled);
                    final byte[] before = region.content();
                    final OutputStream out = ring.outputStream();
                    final InputStream in = ring.inputStream();
                    assertThrows(IOException.class, () -> out.write(new byte[] {1, 2, 3}), "written " + written);
                    assertThrows(IOException.class, () -> in.read(new byte[8]), "written " + written);
                    assertThrows(IOException.class, in::available, "written " + written);
                    assertArrayEquals(before, region.content());
                }
            }
            // The last position there can be.
            region.memory.write(off + 128, Long.MAX_VALUE - 1);
            region.memory.write(off + 256, Long.MAX_VALUE - 1);
            final byte[] before = new byte[off];
            region.memory.read(0, before, 0, off);
            final OutputStream out = ring.outputStream();
            out.write(new byte[] {1, 2, 3});
            assertThrows(IOException.class, () -> out.write(4));
            final byte[] after = new byte[off];
            region.memory.read(0, after, 0, off);
            assertArrayEquals(before, after);
        }
    }

    @Test
    void waitingAtTheRingEndsByInterruptAndByClosing() throws Exception {
        try (Region region = new Region(SIZE)) {
            final RingBuffer ring = new RingBuffer(region.memory, 0, 400);
            final OutputStream out = ring.outputStream();
            final FutureTask<InterruptedIOException> full = new FutureTask<>(() ->
                assertThrows(InterruptedIOException.class, () -> out.write(new byte[20])));
            final Thread thread = new Thread(full);
            thread.start();
            thread.interrupt();
            assertEquals(16, full.get().bytesTransferred);
            final InputStream in = new RingBuffer(region.memory, 512, 400).inputStream();
            final FutureTask<?> empty = start(() -> assertThrows(IOException.class, in::read));
            Thread.sleep(20);
            region.memory.close();
            empty.get();
        }
    }
}
