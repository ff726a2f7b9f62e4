package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.InputStream;
import java.io.OutputStream;

/**
 * A stream of bytes through shared memory: one program writes, one reads, in whatever virtual machine each is.
 *
 * <p>Little-endian, positions count bytes since the beginning and never go back; a byte of position <i>p</i> stands at
 * {@value #HEADER} + <i>p</i> modulo capacity:
 * <pre>
 *     0   "IVRB", version 1               8   capacity in bytes
 *   128   position behind the last byte written
 *   136   1 if the writer has closed (4 bytes)
 *   256   position behind the last byte read
 *   264   1 if the reader has closed (4 bytes)
 *   384   the bytes
 * </pre>
 * Zeroes are an empty ring, and whoever comes first puts in the header; both sides must name the same offset and
 * length. Each side believes its own position and checks the other's, so a side that lies or writes over the header
 * costs an exception and nothing else.
 *
 * <p>Waiting looks at the memory: briefly without pause, then with pauses that grow to a millisecond. Nothing notices
 * that the other side has died; {@link InputStream#available()} never waits. A stream that is closed can be opened
 * again by asking for a new one.
 */
public final class RingBuffer {

    /** Bytes in front of the bytes that are carried. */
    public static final int HEADER = 384;

    static final int WRITTEN = 128;
    static final int WRITER_CLOSED = 136;
    static final int READ = 256;
    static final int READER_CLOSED = 264;

    /** "IVRB", then version 1. */
    private static final long MAGIC = 0x1_4252_5649L;
    private static final int CAPACITY = 8;

    final NativeMemory memory;
    final long offset;
    final long capacity;

    /**
     * Opens the ring at an offset, and makes it if there are zeroes.
     *
     * @param memory the memory
     * @param off offset in bytes, a multiple of 8; best one of 128
     * @param len number of bytes of the whole ring, more than {@value #HEADER}; the rest is its capacity
     * @throws IllegalArgumentException if the ring is not inside the memory, {@code off} is not a multiple of 8 or
     *     {@code len} is too small
     * @throws IvshmemException if something else stands there, or a ring of another size
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public RingBuffer(final NativeMemory memory, final long off, final long len) {
        Layout.check(memory, off, len);
        if (len <= HEADER) {
            throw new IllegalArgumentException("a ring has more than " + HEADER + " bytes; these are " + len);
        }
        this.memory = memory;
        this.offset = off;
        this.capacity = len - HEADER;
        Layout.claim(memory, off, MAGIC, "ring");
        Layout.claim(memory, off + CAPACITY, capacity, "ring of this size");
    }

    /**
     * How many bytes can be written while nobody reads.
     *
     * @return bytes
     */
    public long capacity() {
        return capacity;
    }

    /**
     * Becomes the reader. There must be no other one, in any program.
     *
     * <p>Reading waits until a byte is there, and gives -1 when the writer has closed and all is read. One thread at a
     * time may use the stream. Its methods throw {@link java.io.IOException} when the memory is closed or the header
     * is spoilt, and {@link java.io.InterruptedIOException} when the thread is interrupted while it waits; no byte is
     * lost then.
     *
     * @return a stream that goes on where the last reader stopped
     * @throws IllegalStateException if the memory is closed
     */
    public InputStream inputStream() {
        return new RingInputStream(this);
    }

    /**
     * Becomes the writer. There must be no other one, in any program.
     *
     * <p>Writing waits until there is room, and passes on at once what it has written; {@code flush} does nothing. One
     * thread at a time may use the stream. Its methods throw {@link java.io.IOException} when the reader has closed,
     * the memory is closed or the header is spoilt, and {@link java.io.InterruptedIOException} when the thread is
     * interrupted while it waits; its field tells how many bytes were passed on.
     *
     * @return a stream that goes on where the last writer stopped
     * @throws IllegalStateException if the memory is closed
     */
    public OutputStream outputStream() {
        return new RingOutputStream(this);
    }

    /** Bytes between both positions; -1 if they cannot be the positions of a ring. */
    long filled(final long written, final long read) {
        // Both may be any number, as they stand in shared memory; of two that are not negative the difference is one.
        return written < 0 || read < 0 || written < read || written - read > capacity ? -1 : written - read;
    }

    /** Where a position stands. */
    long at(final long position) {
        return offset + HEADER + position % capacity;
    }

    /** How many bytes stand behind one another from a position on. */
    long untilWrap(final long position) {
        return capacity - position % capacity;
    }
}
