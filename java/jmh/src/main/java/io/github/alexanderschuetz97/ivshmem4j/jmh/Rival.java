package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Access to memory by other means than this library: one check of the range, one access. Unsupported operations throw. */
public interface Rival {

    /** Maps a file. The first implementation that the JVM supports is the best that the JIT compiler offers. */
    static Rival of(final String name, final Path file) {
        switch (name) {
            case "MemorySegment":
                return segment(file);
            case "Unsafe":
                return new UnsafeRival(map(file));
            case "ByteBuffer":
                return new BufferRival(map(file));
            case "JNI":
                return new JniRival(map(file));
            case "1.2":
                return new OlderRival(file);
            default:
                throw new IllegalArgumentException("no rival " + name);
        }
    }

    private static ByteBuffer map(final Path file) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            return channel.map(MapMode.READ_WRITE, 0, channel.size()).order(ByteOrder.nativeOrder());
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Rival segment(final Path file) {
        try {
            return (Rival) Class.forName(Rival.class.getPackageName() + ".SegmentRival")
                .getConstructor(Path.class).newInstance(file);
        } catch (final ReflectiveOperationException e) {
            throw new IllegalStateException("built without JDK 22: nothing to compare with on this JVM", e);
        }
    }

    default byte read(final long off) {
        throw new UnsupportedOperationException();
    }

    default int readInt(final long off) {
        throw new UnsupportedOperationException();
    }

    default long readLong(final long off) {
        throw new UnsupportedOperationException();
    }

    default void write(final long off, final long value) {
        throw new UnsupportedOperationException();
    }

    default long readAcquire(final long off) {
        throw new UnsupportedOperationException();
    }

    default void writeRelease(final long off, final long value) {
        throw new UnsupportedOperationException();
    }

    default int getAndAdd(final long off, final int delta) {
        throw new UnsupportedOperationException();
    }

    default long getAndAdd(final long off, final long delta) {
        throw new UnsupportedOperationException();
    }

    default boolean compareAndSet(final long off, final int expect, final int update) {
        throw new UnsupportedOperationException();
    }

    default boolean compareAndSet(final long off, final long expect, final long update) {
        throw new UnsupportedOperationException();
    }

    default void read(final long off, final byte[] buffer, final int bufferOff, final int len) {
        throw new UnsupportedOperationException();
    }

    default void write(final long off, final byte[] buffer, final int bufferOff, final int len) {
        throw new UnsupportedOperationException();
    }

    /**
     * Exchanges the word around the byte, repeatedly if another thread was faster, as Java has no such instruction on every
     * JVM.
     */
    default byte getAndAdd(final long off, final byte delta) {
        final int shift = (int) (off & 3) * 8;
        while (true) {
            final int word = readInt(off & -4);
            final int sum = (word >>> shift) + delta & 0xff;
            if (compareAndSet(off & -4, word, word & ~(0xff << shift) | sum << shift)) {
                return (byte) (word >>> shift);
            }
        }
    }

    /** Works in the same way; not across two words. */
    default short getAndAdd(final long off, final short delta) {
        final int shift = (int) (off & 3) * 8;
        while (true) {
            final int word = readInt(off & -4);
            final int sum = (word >>> shift) + delta & 0xffff;
            if (compareAndSet(off & -4, word, word & ~(0xffff << shift) | sum << shift)) {
                return (short) (word >>> shift);
            }
        }
    }

    /** Works in the same way with a word of 8 bytes; not across two of them. */
    default int getAndAddUnaligned(final long off, final int delta) {
        final int shift = (int) (off & 7) * 8;
        while (true) {
            final long word = readLong(off & -8);
            final long sum = (word >>> shift) + delta & 0xffff_ffffL;
            if (compareAndSet(off & -8, word, word & ~(0xffff_ffffL << shift) | sum << shift)) {
                return (int) (word >>> shift);
            }
        }
    }
}
