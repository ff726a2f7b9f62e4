package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.io.SyncFailedException;
import java.nio.ByteBuffer;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.BooleanSupplier;

/**
 * Memory of a mapping: all that does not depend on how Java gets at an address.
 *
 * <p>There is one bound for reading and one for writing: the size, or {@link #NOTHING} when the memory is closed or
 * must not be written. So one comparison tells that an access is inside, open and allowed; only when it fails
 * {@link #refused} finds out why. The bounds are plain fields: a loop may see the end of closing late, and until then
 * goes on in pages that are still there.
 */
abstract class MappedMemory implements NativeMemory {

    /** Below every offset, also after taking the length of an access from it. */
    private static final long NOTHING = -1;
    /** Bytes that are copied at a time, where a copy on the way is needed. */
    private static final int CHUNK = 8192;

    final Mapping mapping;
    final long address;
    private final long size;
    private final Runnable onClose;
    private long readBound;
    private long writeBound;

    private final AtomicBoolean closed = new AtomicBoolean();
    private final Waiting waiting = new Waiting();
    private final Runnable relax = this::relax;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();

    MappedMemory(final Mapping mapping, final Runnable onClose) {
        this.mapping = mapping;
        this.address = mapping.address;
        this.size = mapping.size;
        this.onClose = onClose;
        readBound = size;
        writeBound = mapping.writeable ? size : NOTHING;
    }

    @Override
    public final void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
        readBound = NOTHING;
        writeBound = NOTHING;
        waiting.stop();
        try {
            release();
        } finally {
            onClose.run();
        }
    }

    /** Lets go of the shared pages, so that an access that still runs does no harm. */
    abstract void release();

    /** Bytes of an address. */
    abstract int pointerBytes();

    /**
     * Stands behind every ordered read, and before and behind every ordered write.
     *
     * <p>Where the processor gathers writes, an ordinary store neither waits for what was written before nor goes on its
     * way, and reads are not ordered: a class for such memory puts a full fence here. It is a method and not a flag, as
     * the JIT compiler removes an empty method and not a look at a flag. Operations that read and write are such fences
     * themselves.
     */
    void fence() {}

    @Override
    public final boolean isValid() {
        return !closed.get();
    }

    @Override
    public final boolean isValid(final long off) {
        return isValid(off, 1);
    }

    @Override
    public final boolean isValid(final long off, final long len) {
        return isInside(off, len) && !closed.get();
    }

    @Override
    public final boolean isReadable() {
        return !closed.get();
    }

    @Override
    public final boolean isWriteable() {
        return mapping.writeable && !closed.get();
    }

    @Override
    public final long size() {
        return size;
    }

    @Override
    public final CacheMode cacheMode() {
        return mapping.cacheMode;
    }

    @Override
    public final long getNativePointer() {
        checkOpen();
        return address;
    }

    @Override
    public final long getNativePointer(final long off) {
        return readable(off, 1);
    }

    @Override
    public final ReentrantReadWriteLock.ReadLock readLock() {
        return lock.readLock();
    }

    @Override
    public final ReentrantReadWriteLock.WriteLock writeLock() {
        return lock.writeLock();
    }

    @Override
    public final void sync(final long off, final long len, final boolean invalidate) throws SyncFailedException {
        readable(off, len);
        try {
            NativeLibrary.memorySync(mapping.handle, off, len);
        } catch (final IvshmemException e) {
            final SyncFailedException failure = new SyncFailedException(e.getMessage());
            failure.initCause(e);
            throw failure;
        } finally {
            keep(this);
        }
    }

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
            // An occurrence may lie across two chunks.
            at += filled - Math.max(length - 1, 0);
        }
    }

    @Override
    public final void write(final long off, final ByteBuffer source) {
        final ByteBuffer rest = source.duplicate();
        final int len = rest.remaining();
        writable(off, len);
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
        readable(off, len);
        if (rest.hasArray()) {
            read(off, rest.array(), rest.arrayOffset() + rest.position(), len);
        } else {
            if (rest.isReadOnly()) {
                throw new java.nio.ReadOnlyBufferException();
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

    @Override
    public final void writePointer(final long off, final long value) {
        if (pointerBytes() == 8) {
            write(off, value);
        } else {
            write(off, (int) value);
        }
    }

    @Override
    public final long readPointer(final long off) {
        return pointerBytes() == 8 ? readLong(off) : readUnsignedInt(off);
    }

    @Override
    public final boolean supportsAtomicOperations() {
        return true;
    }

    @Override
    public final boolean supports16ByteCompareAndSet() {
        return NativeLibrary.supports16ByteCompareAndSet();
    }

    @Override
    public final boolean atomic8ByteOperationsRequireAlignment() {
        return pointerBytes() < 8;
    }

    @Override
    public final byte getAndAdd(final long off, final byte delta) {
        writable(off, 1);
        final byte result = NativeLibrary.getAndAdd(mapping.handle, off, delta);
        keep(this);
        return result;
    }

    @Override
    public final byte getAndSet(final long off, final byte value) {
        writable(off, 1);
        final byte result = NativeLibrary.getAndSet(mapping.handle, off, value);
        keep(this);
        return result;
    }

    @Override
    public final boolean compareAndSet(final long off, final byte expect, final byte update) {
        writable(off, 1);
        final boolean result = NativeLibrary.compareAndSet(mapping.handle, off, expect, update);
        keep(this);
        return result;
    }

    @Override
    public final short getAndAdd(final long off, final short delta) {
        writable(off, 2);
        final short result = NativeLibrary.getAndAdd(mapping.handle, off, delta);
        keep(this);
        return result;
    }

    @Override
    public final short getAndSet(final long off, final short value) {
        writable(off, 2);
        final short result = NativeLibrary.getAndSet(mapping.handle, off, value);
        keep(this);
        return result;
    }

    @Override
    public final boolean compareAndSet(final long off, final short expect, final short update) {
        writable(off, 2);
        final boolean result = NativeLibrary.compareAndSet(mapping.handle, off, expect, update);
        keep(this);
        return result;
    }

    @Override
    public final boolean compareAndSet(final long off, final byte[] data) {
        if (data.length != 32) {
            throw new IllegalArgumentException("16 bytes expected and 16 new ones are 32 bytes, not " + data.length);
        }
        writable(off, 16);
        final boolean result = NativeLibrary.compareAndSet16(mapping.handle, off, data);
        keep(this);
        return result;
    }

    @Override
    public final boolean spin(
        final long off, final byte expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readByteVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final byte expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final byte expect,
        final byte update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 1);
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
        return until(
            () -> readByteVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final byte expect, final byte update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final boolean spin(
        final long off, final short expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readShortVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final short expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final short expect,
        final short update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 2);
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
        return until(
            () -> readShortVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final short expect, final short update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final boolean spin(
        final long off, final int expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readIntVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final int expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final int expect,
        final int update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 4);
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
        return until(
            () -> readIntVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final int expect, final int update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final boolean spin(
        final long off, final long expect, final long sleep, final long timeout, final TimeUnit unit) {
        return until(() -> readLongVolatile(off) == expect, sleep, timeout, unit);
    }

    @Override
    public final void spin(final long off, final long expect, final long sleep, final TimeUnit unit) {
        orCancelled(spin(off, expect, sleep, -1, unit));
    }

    @Override
    public final boolean spinAndSet(
        final long off,
        final long expect,
        final long update,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        writable(off, 8);
        // A look costs less than an attempt, and leaves the cache line to whoever is to write it.
        return until(
            () -> readLongVolatile(off) == expect && compareAndSet(off, expect, update), sleep, timeout, unit);
    }

    @Override
    public final void spinAndSet(
        final long off, final long expect, final long update, final long sleep, final TimeUnit unit) {
        orCancelled(spinAndSet(off, expect, update, sleep, -1, unit));
    }

    @Override
    public final void stopSpin() {
        checkOpen();
        waiting.stop();
    }

    @Override
    public final String toString() {
        return "NativeMemory[size=" + size + (closed.get() ? ", closed]" : mapping.writeable ? "]" : ", read-only]");
    }

    private boolean until(
        final BooleanSupplier condition, final long sleep, final long timeout, final TimeUnit unit) {
        final boolean met = waiting.until(condition, relax, sleep, timeout, unit);
        // What was seen may be the zeroes that replace closed pages.
        checkOpen();
        return met;
    }

    private static void orCancelled(final boolean met) {
        if (!met) {
            throw new CancellationException("stopSpin() was called");
        }
    }

    /** Tells the processor that this thread waits for another one. */
    void relax() {}

    /**
     * Keeps an object, and with it the mapping, from being unreachable before this call.
     *
     * <p>HotSpot collects garbage only where the interpreter could be, too, and takes a variable for alive as long as
     * a later byte code names it. Reference.reachabilityFence, which Java 8 has not, is such an empty method up to
     * Java 21; from 22 on the accesses use that one.
     */
    static void keep(final Object object) {}

    /** Whether the processor reads or writes a number there as a whole. */
    final boolean isAligned(final long off, final int len) {
        return (address + off & len - 1) == 0;
    }

    final int unalignedGetAndAdd(final long off, final int delta) {
        writable(off, 4);
        final int result = NativeLibrary.getAndAdd(mapping.handle, off, delta);
        keep(this);
        return result;
    }

    final int unalignedGetAndSet(final long off, final int value) {
        writable(off, 4);
        final int result = NativeLibrary.getAndSet(mapping.handle, off, value);
        keep(this);
        return result;
    }

    final boolean unalignedCompareAndSet(final long off, final int expect, final int update) {
        writable(off, 4);
        final boolean result = NativeLibrary.compareAndSet(mapping.handle, off, expect, update);
        keep(this);
        return result;
    }

    final long unalignedGetAndAdd(final long off, final long delta) {
        writable(off, 8);
        final long result = NativeLibrary.getAndAdd(mapping.handle, off, delta);
        keep(this);
        return result;
    }

    final long unalignedGetAndSet(final long off, final long value) {
        writable(off, 8);
        final long result = NativeLibrary.getAndSet(mapping.handle, off, value);
        keep(this);
        return result;
    }

    final boolean unalignedCompareAndSet(final long off, final long expect, final long update) {
        writable(off, 8);
        final boolean result = NativeLibrary.compareAndSet(mapping.handle, off, expect, update);
        keep(this);
        return result;
    }

    /** The address of a number that is to be read. */
    final long readable(final long off, final int len) {
        if (off < 0 || off > readBound - len) {
            throw refused(off, len, false);
        }
        return address + off;
    }

    /** The address of a number that is to be written. */
    final long writable(final long off, final int len) {
        if (off < 0 || off > writeBound - len) {
            throw refused(off, len, true);
        }
        return address + off;
    }

    /** The address of any number of bytes that are to be read. */
    final long readable(final long off, final long len) {
        final long bound = readBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            throw refused(off, len, false);
        }
        return address + off;
    }

    /** The address of any number of bytes that are to be written. */
    final long writable(final long off, final long len) {
        final long bound = writeBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            throw refused(off, len, true);
        }
        return address + off;
    }

    static void checkArray(final byte[] array, final int off, final int len) {
        if ((off | len) < 0 || len > array.length - off) {
            throw new IllegalArgumentException(
                len + " bytes from index " + off + " on are not inside an array of " + array.length);
        }
    }

    /** Why an access was not done. */
    final RuntimeException refused(final long off, final long len, final boolean write) {
        if (closed.get()) {
            return new IllegalStateException("the memory is closed");
        }
        if (!isInside(off, len)) {
            return new IllegalArgumentException(
                len + " bytes at offset " + off + " are not inside a memory of " + size + " bytes");
        }
        if (write && !mapping.writeable) {
            return new UnsupportedOperationException(
                "the memory was opened for reading only: " + len + " bytes at offset " + off + " were not written");
        }
        // Closed by another thread between the check and here, or seen half made through a data race.
        return new IllegalStateException("the memory is not ready for an access");
    }

    /** What the caller is told when an access has failed with what the JVM throws. */
    final RuntimeException failed(final long off, final long len, final boolean write, final Throwable thrown) {
        return thrown instanceof InternalError ? truncated((InternalError) thrown) : refused(off, len, write);
    }

    /** What the JVM makes of pages that a file has lost. */
    final IvshmemException truncated(final InternalError cause) {
        return new IvshmemException(
            IvshmemException.Code.IO,
            "bytes of the memory of " + size + " bytes cannot be accessed: somebody made the file behind it shorter;"
                + " close the memory and open it again",
            cause);
    }

    private boolean isInside(final long off, final long len) {
        return off >= 0 && len >= 0 && off < size && len <= size - off;
    }

    private void checkOpen() {
        if (closed.get()) {
            throw new IllegalStateException("the memory is closed");
        }
    }
}
