package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.IOException;
import java.io.InputStream;

/** The reading side of a ring. */
final class RingInputStream extends InputStream {

    private final RingBuffer ring;
    private final byte[] one = new byte[1];
    /** Position behind the last byte read. Only this side writes it, so it is never read again. */
    private long read;
    private boolean closed;

    RingInputStream(final RingBuffer ring) {
        this.ring = ring;
        read = ring.memory.readLongAcquire(ring.offset + RingBuffer.READ);
        ring.memory.writeIntRelease(ring.offset + RingBuffer.READER_CLOSED, 0);
    }

    @Override
    public int read() throws IOException {
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(final byte[] bytes, final int off, final int len) throws IOException {
        if ((off | len) < 0 || len > bytes.length - off) {
            throw new IndexOutOfBoundsException(len + " bytes from " + off + " on, of " + bytes.length);
        }
        if (len == 0) {
            return 0;
        }
        try {
            final long filled = await();
            if (filled == 0) {
                return -1;
            }
            final int some = (int) Math.min(len, filled);
            final int straight = (int) Math.min(some, ring.untilWrap(read));
            ring.memory.read(ring.at(read), bytes, off, straight);
            if (straight < some) {
                ring.memory.read(ring.at(0), bytes, off + straight, some - straight);
            }
            read += some;
            // Pairs with the acquire of the writer's await: room is given back after the bytes were read.
            ring.memory.writeLongRelease(ring.offset + RingBuffer.READ, read);
            return some;
        } catch (final IllegalStateException e) {
            throw new IOException("the memory of the ring is closed", e);
        }
    }

    /** Waits for bytes and tells how many there are; 0 when no more will come. */
    private long await() throws IOException {
        final RingPause pause = new RingPause();
        while (true) {
            // First whether it is the end, then what there is: the writer does it the other way around.
            final boolean end = ring.memory.readIntAcquire(ring.offset + RingBuffer.WRITER_CLOSED) != 0;
            final long filled = filled();
            if (filled > 0 || end) {
                return filled;
            }
            pause.pause(0);
        }
    }

    private long filled() throws IOException {
        if (closed) {
            throw new IOException("this stream is closed");
        }
        // Pairs with the release of the writer's write: its bytes are there.
        final long written = ring.memory.readLongAcquire(ring.offset + RingBuffer.WRITTEN);
        final long filled = ring.filled(written, read);
        if (filled < 0) {
            throw new IOException("the header of the ring is spoilt: written " + written + ", read " + read
                + ", capacity " + ring.capacity);
        }
        return filled;
    }

    @Override
    public int available() throws IOException {
        try {
            return (int) Math.min(filled(), Integer.MAX_VALUE);
        } catch (final IllegalStateException e) {
            throw new IOException("the memory of the ring is closed", e);
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            if (ring.memory.isValid()) {
                ring.memory.writeIntRelease(ring.offset + RingBuffer.READER_CLOSED, 1);
            }
        }
    }
}
