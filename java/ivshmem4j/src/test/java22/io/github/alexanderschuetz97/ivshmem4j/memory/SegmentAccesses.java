package io.github.alexanderschuetz97.ivshmem4j.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.LongAdder;

/**
 * A program in which eight threads access memory segments in compiled loops while the devices of the segments are closed.
 * Its argument is the duration in milliseconds. After each closing it maps another file, perhaps at addresses that have
 * become free; the bytes of that file must not change. It prints how often each event happened.
 */
final class SegmentAccesses {

    private static final int SIZE = 1 << 16;
    private static final int LONGS = SIZE / Long.BYTES;
    private static final int LEAST = 20;
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();

    private static volatile MemorySegment current;
    private static volatile boolean over;

    private SegmentAccesses() {}

    public static void main(final String[] arguments) throws Exception {
        final LongAdder accesses = new LongAdder();
        final LongAdder refused = new LongAdder();
        long closes = 0;
        try (Region region = new Region(SIZE); Region neighbour = new Region(SIZE)) {
            region.file.toFile().deleteOnExit();
            neighbour.file.toFile().deleteOnExit();
            final byte[] untouched = new byte[SIZE];
            Arrays.fill(untouched, (byte) 0x5a);
            neighbour.fill(untouched);
            IvshmemMemory device = region.again();
            IvshmemMemory other = neighbour.again();
            current = device.getMemory().view(MemorySegment.class);
            final List<FutureTask<Long>> tasks = new ArrayList<>();
            for (int thread = 0; thread < 8; thread++) {
                final int kind = thread % 4;
                final FutureTask<Long> task = new FutureTask<>(() -> accessUntilTheEnd(kind, accesses, refused));
                tasks.add(task);
                final Thread user = new Thread(task);
                user.setDaemon(true);
                user.start();
            }
            final long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000;
            // A busy machine may take longer than the time.
            for (; System.nanoTime() < end || closes < LEAST || accesses.sum() == 0 || refused.sum() == 0; closes++) {
                Thread.sleep(1);
                final IvshmemMemory next = region.again();
                final MemorySegment segment = next.getMemory().view(MemorySegment.class);
                other.close();
                if (closes % 2 == 0) {
                    device.close();
                    current = segment;
                } else {
                    current = segment;
                    device.close();
                }
                other = neighbour.again();
                if (closes % 4 == 0) {
                    // The addresses of closed memory may stay mapped until the garbage collector finds it.
                    System.gc();
                }
                device = next;
            }
            over = true;
            for (final FutureTask<Long> task : tasks) {
                task.get();
            }
            device.close();
            other.close();
            if (!Arrays.equals(untouched, neighbour.content())) {
                throw new AssertionError("a closed segment wrote to memory that was mapped after it was closed");
            }
        }
        System.out.println(closes + " closes, " + accesses + " accesses, " + refused + " refused");
    }

    private static long accessUntilTheEnd(final int kind, final LongAdder accesses, final LongAdder refused) {
        long sum = 0;
        while (!over) {
            try {
                sum += accessAll(current, kind);
                accesses.add(LONGS);
            } catch (final IllegalStateException closed) {
                refused.increment();
            }
        }
        return sum;
    }

    /** Returns the values that it read, so that the compiler does not remove the reads. */
    private static long accessAll(final MemorySegment segment, final int kind) {
        long sum = 0;
        switch (kind) {
            case 0:
                for (int i = 0; i < LONGS; i++) {
                    sum += segment.getAtIndex(ValueLayout.JAVA_LONG, i);
                }
                break;
            case 1:
                for (int i = 0; i < LONGS; i++) {
                    segment.set(ValueLayout.JAVA_BYTE, i, (byte) i);
                }
                break;
            case 2:
                for (int i = 0; i < LONGS; i++) {
                    LONG.setRelease(segment, (long) i * Long.BYTES, (long) i);
                }
                break;
            default:
                for (int i = 0; i < LONGS; i++) {
                    sum += (long) LONG.getAndAdd(segment, (long) i * Long.BYTES, 1L);
                }
                break;
        }
        return sum;
    }
}
