package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.IOException;
import java.io.OutputStream;

/** The writing side of a ring. */
final class RingOutputStream extends OutputStream {

    private final RingBuffer ring;
    private final byte[] one = new byte[1];
    /** Position behind the last byte written. Only this side writes it, so it is never read again. */
    private long written;
    private boolean closed;

    RingOutputStream(final RingBuffer ring) {
        this.ring = ring;
        written = ring.memory.readLongAcquire(ring.offset + RingBuffer.WRITTEN);
        ring.memory.writeIntRelease(ring.offset + RingBuffer.WRITER_CLOSED, 0);
    }

    @Override
    public void write(final int value) throws IOException {
        one[0] = (byte) value;
        write(one, 0, 1);
    }

    @Override
    public void write(final byte[] bytes, final int off, final int len) throws IOException {
        if ((off | len) < 0 || len > bytes.length - off) {
            throw new IndexOutOfBoundsException(len + " bytes from " + off + " on, of " + bytes.length);
        }
        try {
            int done = 0;
            while (done < len) {
                final int some = (int) Math.min(len - done, await(done));
                final int straight = (int) Math.min(some, ring.untilWrap(written));
                ring.memory.write(ring.at(written), bytes, off + done, straight);
                if (straight < some) {
                    ring.memory.write(ring.at(0), bytes, off + done + straight, some - straight);
                }
                written += some;
                done += some;
                // Pairs with the acquire of the reader's await: the bytes are there before their number.
                ring.memory.writeLongRelease(ring.offset + RingBuffer.WRITTEN, written);
            }
        } catch (final IllegalStateException e) {
            throw new IOException("the memory of the ring is closed", e);
        }
    }

    /** Waits for room and tells how many bytes it has. */
    private long await(final int transferred) throws IOException {
        final RingPause pause = new RingPause();
        while (true) {
            if (closed) {
                throw new IOException("this stream is closed");
            }
            if (ring.memory.readIntAcquire(ring.offset + RingBuffer.READER_CLOSED) != 0) {
                throw new IOException("the reader of the ring has closed");
            }
            // Pairs with the release of the reader's read: it has done with these bytes.
            final long read = ring.memory.readLongAcquire(ring.offset + RingBuffer.READ);
            final long filled = ring.filled(written, read);
            if (filled < 0) {
                throw new IOException("the header of the ring is spoilt: written " + written + ", read " + read
                    + ", capacity " + ring.capacity);
            }
            if (filled < ring.capacity) {
                return ring.capacity - filled;
            }
            pause.pause(transferred);
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            if (ring.memory.isValid()) {
                ring.memory.writeIntRelease(ring.offset + RingBuffer.WRITER_CLOSED, 1);
            }
        }
    }
}
