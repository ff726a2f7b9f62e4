package io.github.alexanderschuetz97.ivshmem4j.vmtest;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;

/** Numbers in the memory: the bytes and the atomic operations must be the same in every JVM. */
final class Values {

    private Values() {}

    /** Writes numbers of all kinds. */
    static void write(final NativeMemory memory, final long off) {
        memory.write(off, (byte) -2);
        memory.write(off + 1, (short) -12345);
        memory.write(off + 3, 0x1234_5678);
        memory.write(off + 7, 0x1122_3344_5566_7788L);
        memory.write(off + 15, 1.5f);
        memory.write(off + 19, -2.25d);
        memory.writeIntBE(off + 27, 0x0102_0304);
        memory.writeLongLE(off + 31, Long.MIN_VALUE + 7);
        memory.writeShortVolatile(off + 40, (short) 99);
        memory.writeIntRelease(off + 44, -99);
        memory.writeLongVolatile(off + 48, 1L << 40);
        memory.write(off + 56, "bytes".getBytes());
    }

    static String read(final NativeMemory memory, final long off) {
        return memory.read(off) + " " + memory.readShort(off + 1) + " " + memory.readInt(off + 3) + " "
            + memory.readLong(off + 7) + " " + memory.readFloat(off + 15) + " " + memory.readDouble(off + 19) + " "
            + memory.readIntBE(off + 27) + " " + memory.readLongLE(off + 31) + " " + memory.readShortVolatile(off + 40)
            + " " + memory.readIntAcquire(off + 44) + " " + memory.readLongVolatile(off + 48);
    }

    /** Adds to one number of each kind, and to an int and a long by compare-and-set; all are aligned. */
    static String add(final NativeMemory memory, final long off, final int times) {
        for (int i = 0; i < times; i++) {
            memory.getAndAdd(off, (byte) 1);
            memory.getAndAdd(off + 8, (short) 1);
            memory.getAndAdd(off + 16, 1);
            memory.getAndAdd(off + 24, 1L);
            int before;
            do {
                before = memory.readIntVolatile(off + 32);
            } while (!memory.compareAndSet(off + 32, before, before + 1));
            long wide;
            do {
                wide = memory.readLongVolatile(off + 40);
            } while (!memory.compareAndSet(off + 40, wide, wide + 1));
        }
        return "added";
    }

    /** The limits of a 32-bit processor and their exceptions. */
    static String limits(final NativeMemory memory) {
        return System.getProperty("os.arch") + " aligned=" + memory.atomic8ByteOperationsRequireAlignment() + " wide="
            + memory.supports16ByteCompareAndSet() + " " + thrown(() -> memory.getAndAdd(4, 1L)) + " "
            + thrown(() -> memory.compareAndSet(16, new byte[32]));
    }

    private static String thrown(final Runnable action) {
        try {
            action.run();
            return "nothing";
        } catch (final RuntimeException e) {
            return e.getClass().getSimpleName();
        }
    }
}
