package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.ByteBuffer;
import java.nio.ReadOnlyBufferException;
import java.util.Objects;

/** Bulk accesses, through the copies of the subclass, and views. */
abstract class BulkMemory extends MappedMemory {

    /** Bytes per step where an intermediate copy is needed. */
    private static final int CHUNK = 8192;
    /** The maximum length of an array in the JVM, and thus of a buffer over a segment. */
    private static final int MAX_BUFFER = Integer.MAX_VALUE - 8;

    BulkMemory(final Mapping mapping, final Runnable onClose) {
        super(mapping, onClose);
    }

    BulkMemory(final MappedMemory parent, final long off, final long len) {
        super(parent, off, len);
    }

    /** Copies bytes as if through a temporary copy. The caller has checked both ranges. */
    abstract void copy(long off, MappedMemory target, long targetOff, long len);

    /** A buffer over a checked range. The caller sets its byte order. */
    abstract ByteBuffer buffer(long off, int len);

    /** A view of a checked range whose type exists only in newer Java versions; null for any other type. */
    abstract Object newerView(long off, long len, Class<?> type);

    @Override
    public final long indexOf(final long off, final long len, final byte[] needle) {
        final int length = needle.length;
        readable(off, len);
        if (length > len) {
            return -1;
        }
        final byte[] chunk = new byte[(int) Math.min(len, (long) CHUNK + length)];
        final long end = off + len;
        long at = off;
        while (true) {
            final int filled = (int) Math.min(end - at, chunk.length);
            read(at, chunk, 0, filled);
            final int found = Search.indexOf(chunk, filled, needle);
            if (found >= 0) {
                return at + found;
            }
            if (at + filled == end) {
                return -1;
            }
            // An occurrence may extend over two chunks.
            at += filled - Math.max(length - 1, 0);
        }
    }

    @Override
    public final void write(final long off, final ByteBuffer source) {
        final ByteBuffer rest = source.duplicate();
        final int len = rest.remaining();
        writable(off, (long) len);
        if (rest.hasArray()) {
            write(off, rest.array(), rest.arrayOffset() + rest.position(), len);
        } else {
            final byte[] chunk = new byte[Math.min(len, CHUNK)];
            for (int done = 0; done < len; done += chunk.length) {
                final int some = Math.min(len - done, chunk.length);
                rest.get(chunk, 0, some);
                write(off + done, chunk, 0, some);
            }
        }
        source.position(source.limit());
    }

    @Override
    public final void read(final long off, final ByteBuffer target) {
        final ByteBuffer rest = target.duplicate();
        final int len = rest.remaining();
        readable(off, (long) len);
        if (rest.hasArray()) {
            read(off, rest.array(), rest.arrayOffset() + rest.position(), len);
        } else {
            if (rest.isReadOnly()) {
                throw new ReadOnlyBufferException();
            }
            final byte[] chunk = new byte[Math.min(len, CHUNK)];
            for (int done = 0; done < len; done += chunk.length) {
                final int some = Math.min(len - done, chunk.length);
                read(off + done, chunk, 0, some);
                rest.put(chunk, 0, some);
            }
        }
        target.position(target.limit());
    }

    // A Java boolean that is neither 0 nor 1 violates an assumption of the JVM, and other programs may write any byte, so
    // each byte is converted.

    @Override
    public final void write(final long off, final boolean[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        writable(off, (long) len);
        final byte[] chunk = new byte[Math.min(len, CHUNK)];
        for (int done = 0; done < len; done += chunk.length) {
            final int some = Math.min(len - done, chunk.length);
            for (int i = 0; i < some; i++) {
                chunk[i] = (byte) (buffer[bufferOff + done + i] ? 1 : 0);
            }
            write(off + done, chunk, 0, some);
        }
    }

    @Override
    public final void read(final long off, final boolean[] buffer, final int bufferOff, final int len) {
        checkArray(buffer.length, bufferOff, len);
        readable(off, (long) len);
        final byte[] chunk = new byte[Math.min(len, CHUNK)];
        for (int done = 0; done < len; done += chunk.length) {
            final int some = Math.min(len - done, chunk.length);
            read(off + done, chunk, 0, some);
            for (int i = 0; i < some; i++) {
                buffer[bufferOff + done + i] = chunk[i] != 0;
            }
        }
    }

    @Override
    public final void copyTo(final long off, final NativeMemory target, final long targetOff, final long len) {
        Objects.requireNonNull(target, "target");
        readable(off, len);
        if (target instanceof MappedMemory) {
            final MappedMemory mapped = (MappedMemory) target;
            reading(off, len);
            try {
                mapped.writing(targetOff, len);
                try {
                    copy(off, mapped, targetOff, len);
                } finally {
                    mapped.done();
                }
            } finally {
                done();
            }
            return;
        }
        // The target is of a class of the program.
        if (!target.isValid(targetOff, len)) {
            throw target.isValid()
                ? new IllegalArgumentException(
                    len + " bytes at offset " + targetOff + " are not inside the target of " + target.size() + " bytes")
                : new IllegalStateException("the target is closed");
        }
        final byte[] chunk = new byte[(int) Math.min(len, CHUNK)];
        for (long done = 0; done < len; done += chunk.length) {
            final int some = (int) Math.min(len - done, chunk.length);
            read(off + done, chunk, 0, some);
            target.write(targetOff + done, chunk, 0, some);
        }
    }

    @Override
    public final ByteBuffer asByteBuffer(final long off, final long len) {
        readable(off, len);
        if (len > MAX_BUFFER) {
            throw new IllegalArgumentException("a ByteBuffer has at most " + MAX_BUFFER + " bytes, not " + len
                + "; take several, each of a part");
        }
        return buffer(off, (int) len).order(java.nio.ByteOrder.nativeOrder());
    }

    @Override
    public final <T> T view(final long off, final long len, final Class<T> type) {
        Objects.requireNonNull(type, "type");
        readable(off, len);
        final Object view = type == ByteBuffer.class ? asByteBuffer(off, len) : newerView(off, len, type);
        if (view == null) {
            throw new UnsupportedOperationException("there is no view of memory as " + type.getName()
                + (type.getName().equals("java.lang.foreign.MemorySegment") ? " before Java 22" : "")
                + "; ByteBuffer always works, and MemorySegment from Java 22 on");
        }
        return type.cast(view);
    }
}
