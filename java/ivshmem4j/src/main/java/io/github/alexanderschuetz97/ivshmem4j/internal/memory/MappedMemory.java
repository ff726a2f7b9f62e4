package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.io.SyncFailedException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Memory of a mapping or of a part of it: its lifetime, its bounds and its parts.
 *
 * <p>There is one bound for reads and one for writes: the size, or {@link #NOTHING} if the memory is closed or must not be
 * written. So one comparison checks that an access is inside, open and permitted; only if it fails, {@link #refused}
 * determines the reason. The bounds are plain fields: a compiled loop may never read them again, and continues in pages that
 * are still mapped. With volatile or opaque fields, streaming loops take 1.7 to 2.7 times as long on Java 17. A mutable call
 * site that closing changes would cost accesses nothing, but each closing would make the JVM recompile all code that
 * accesses memory.
 *
 * <p>A part is an object of the same class with its own address and bounds, so it is as fast as the whole. It keeps the
 * whole reachable; the whole has a weak reference to the part in order to close it.
 *
 * <p>An access begins with {@link #readable} or {@link #writable} and ends with {@link #keep}. An access to an address that
 * closing may unmap begins with {@link #reading} or {@link #writing} and ends with {@link #done}.
 */
abstract class MappedMemory implements NativeMemory {

    /** On Windows, the driver creates the mapping, and its pages cannot be replaced. */
    static final boolean WINDOWS = System.getProperty("os.name").startsWith("Windows");

    /**
     * A bound that refuses every access of one byte or more. On 32 bits, a thread may read one half of an old bound and the
     * other half of a new one. This is safe: mappings are smaller than 2 GiB there, so the upper halves of this bound and of
     * any size are equal.
     */
    private static final long NOTHING = 0;

    /**
     * All bits set. Not a constant, so that compiled code must execute the operation.
     *
     * <p>After a read from a lost page of a file, compiled code continues for a moment with the previous content of the
     * register, which may be outside the range of the type. The compiler assumes the range: it omits the check of an index
     * below 256 or 65,536, or of a sign, and it checks the lower half of a register but uses the whole register as the
     * index. So {@link #narrowed} limits the value to its type.
     */
    private static int allBits = -1;

    final Mapping mapping;
    /** The offset of this part in the mapping. */
    final long start;
    final long address;
    /** The memory that contains this part; null for the whole mapping. */
    final MappedMemory parent;
    private final long size;
    /** A copy of the mapping's field, as each read of a byte, short or int checks it. */
    private final boolean sealed;
    private final Runnable onClose;
    /** What a subclass for write-combined memory executes in {@link #fence()}; null for other memory. */
    final Runnable fence;
    private long readBound;
    private long writeBound;

    private final AtomicBoolean closed = new AtomicBoolean();
    private final ReentrantReadWriteLock lock;
    /** The reachable parts of this memory; null before the first one. Guarded by {@code closed}. */
    private Set<MappedMemory> parts;

    /** Creates memory of a whole mapping; see {@link #fence()} for the fence, which may be null. */
    MappedMemory(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        this.mapping = mapping;
        this.fence = fence;
        this.onClose = onClose;
        start = 0;
        address = mapping.address;
        parent = null;
        size = mapping.size;
        sealed = mapping.sealed;
        lock = new ReentrantReadWriteLock();
        readBound = size;
        writeBound = mapping.writeable ? size : NOTHING;
    }

    /** Creates a part of a memory, which must contain these bytes. */
    MappedMemory(final MappedMemory parent, final long off, final long len) {
        this.parent = parent;
        mapping = parent.mapping;
        onClose = null;
        fence = parent.fence;
        start = parent.start + off;
        address = parent.address + off;
        size = len;
        sealed = mapping.sealed;
        lock = parent.lock;
        readBound = size;
        writeBound = mapping.writeable ? size : NOTHING;
    }

    @Override
    public final NativeMemory slice(final long off, final long len) {
        readable(off, len);
        final MappedMemory part = part(off, len);
        synchronized (closed) {
            if (closed.get()) {
                throw refused(off, len, false);
            }
            if (parts == null) {
                parts = Collections.newSetFromMap(new WeakHashMap<>());
            }
            parts.add(part);
        }
        return part;
    }

    @Override
    public final void close() {
        final boolean first = closed.compareAndSet(false, true);
        end();
        if (first && parent == null) {
            try {
                release();
            } finally {
                onClose.run();
            }
        }
    }

    /**
     * Refuses all later accesses, here and in all parts.
     *
     * <p>Every closing thread does this itself, even if another thread has begun: that thread may have got anywhere, and the
     * pages may be unmapped once this method has returned.
     */
    private void end() {
        readBound = NOTHING;
        writeBound = NOTHING;
        shut();
        wake();
        final List<MappedMemory> open = new ArrayList<>();
        synchronized (closed) {
            // No part is added from here on.
            if (parts != null) {
                open.addAll(parts);
            }
        }
        open.forEach(MappedMemory::close);
    }

    /** Creates a part of the same class. */
    abstract MappedMemory part(long off, long len);

    /** Releases the shared pages in a way that is safe for accesses that still run. */
    abstract void release();

    /** Ends accesses that ignore the bounds. */
    void shut() {}

    /** Ends the waits in this object. */
    abstract void wake();

    /** The size of an address in bytes. */
    abstract int pointerBytes();

    /**
     * Called after every ordered read, and before and after every ordered write.
     *
     * <p>In write-combined memory, an ordinary store neither waits for earlier stores nor is sent at once, and reads are not
     * ordered: a subclass for such memory executes a full fence here. This is a method and not a flag, as the JIT compiler
     * removes the call of an empty method but not the check of a flag, which makes an ordered access about 4 % slower.
     * Read-modify-write operations are full fences themselves.
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
        return true;
    }

    @Override
    public final boolean isWriteable() {
        return mapping.writeable;
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
        return closed.get() ? 0 : address;
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
        checkBegin(off, len);
        try {
            NativeLibrary.memorySync(mapping.handle, start + off, len);
        } catch (final IvshmemException e) {
            final SyncFailedException failure = new SyncFailedException(e.getMessage());
            failure.initCause(e);
            throw failure;
        } finally {
            keep(this);
        }
    }

    @Override
    public final String toString() {
        return "NativeMemory[target=" + mapping.target + (parent == null ? "" : ", offset=" + start) + ", size=" + size
            + (mapping.writeable ? "" : ", read-only") + (closed.get() ? ", closed]" : ", open]");
    }

    /**
     * Keeps an object, and with it the mapping, reachable until this call.
     *
     * <p>HotSpot collects garbage only at points where the interpreter could be, too, and treats a variable as live as long
     * as a later byte code uses it. Reference.reachabilityFence, which Java 8 does not have, is such an empty method up to
     * Java 21; from Java 22 on, the accesses use that method.
     */
    static void keep(final Object object) {}

    /** Checks the read of a number and returns its address. */
    final long readable(final long off, final int len) {
        if (off < 0 || off > readBound - len) {
            throw refused(off, len, false);
        }
        return address + off;
    }

    /** Checks the write of a number and returns its address. */
    final long writable(final long off, final int len) {
        if (off < 0 || off > writeBound - len) {
            throw refused(off, len, true);
        }
        return address + off;
    }

    /** Checks the read of any number of bytes and returns their address. */
    final long readable(final long off, final long len) {
        final long bound = readBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            checkEmptyEnd(off, len, false);
        }
        return address + off;
    }

    /** Checks the write of any number of bytes and returns their address. */
    final long writable(final long off, final long len) {
        final long bound = writeBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            checkEmptyEnd(off, len, true);
        }
        return address + off;
    }

    /** Like {@link #readable}, for an access that {@link #done} ends. */
    final long reading(final long off, final int len) {
        begin();
        if (off < 0 || off > readBound - len) {
            throw notBegun(off, len, false);
        }
        return address + off;
    }

    /** Like {@link #writable}, for an access that {@link #done} ends. */
    final long writing(final long off, final int len) {
        begin();
        if (off < 0 || off > writeBound - len) {
            throw notBegun(off, len, true);
        }
        return address + off;
    }

    /** Like {@link #readable}, for an access that {@link #done} ends. */
    final long reading(final long off, final long len) {
        begin();
        final long bound = readBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            checkEmptyEndBegun(off, len, false);
        }
        return address + off;
    }

    /** Like {@link #writable}, for an access that {@link #done} ends. */
    final long writing(final long off, final long len) {
        begin();
        final long bound = writeBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            checkEmptyEndBegun(off, len, true);
        }
        return address + off;
    }

    private RuntimeException notBegun(final long off, final long len, final boolean write) {
        done();
        return refused(off, len, write);
    }

    /** Refuses an access that is outside, closed or not permitted, but accepts 0 bytes at the end, as in version 1.2. */
    private void checkEmptyEnd(final long off, final long len, final boolean write) {
        if (len != 0 || off != size || closed.get() || write && !mapping.writeable) {
            throw refused(off, len, write);
        }
    }

    /** Like {@link #checkEmptyEnd}, for an access that has begun. */
    private void checkEmptyEndBegun(final long off, final long len, final boolean write) {
        try {
            checkEmptyEnd(off, len, write);
        } catch (final RuntimeException e) {
            done();
            throw e;
        }
    }

    /** Like {@link #writable}, for setting bytes; the offset must be inside even for 0 bytes, as in version 1.2. */
    final void checkSet(final long off, final long len) {
        writable(off, len);
        checkBegin(off, len);
    }

    /** The offset 0 of an empty memory is accepted; version 1.2 had no empty memory. */
    private void checkBegin(final long off, final long len) {
        if (off == size && size > 0) {
            throw outside(off, len);
        }
    }

    /**
     * Begins the use of an address: it stays valid until {@link #done}, even if the memory is closed. Empty here, like
     * {@link #fence()}.
     */
    void begin() {}

    /** Ends the use of an address and keeps this object reachable until here; see {@link #keep}. */
    void done() {}

    /** Limits a value to the range of a byte, even after a read from a lost page. */
    final byte narrowed(final byte read) {
        return sealed ? read : (byte) (read & allBits);
    }

    /** Limits a value to the range of a short, even after a read from a lost page. */
    final short narrowed(final short read) {
        return sealed ? read : (short) (read & allBits);
    }

    /** Limits a value to the range of an int, even after a read from a lost page. */
    final int narrowed(final int read) {
        return sealed ? read : read & allBits;
    }

    // For the types of which every value of a register is in the range.

    static long narrowed(final long read) {
        return read;
    }

    static float narrowed(final float read) {
        return read;
    }

    static double narrowed(final double read) {
        return read;
    }

    static void checkArray(final int length, final int off, final int len) {
        if ((off | len) < 0 || len > length - off) {
            throw new ArrayIndexOutOfBoundsException(
                len + " elements from index " + off + " on are not inside an array of " + length);
        }
    }

    /** The exception for a refused access. */
    final RuntimeException refused(final long off, final long len, final boolean write) {
        if (closed.get()) {
            return new IllegalStateException("the memory is closed");
        }
        if (!isInside(off, len)) {
            return outside(off, len);
        }
        if (write && !mapping.writeable) {
            return new UnsupportedOperationException(
                "the memory was opened for reading only: " + len + " bytes at offset " + off + " were not written");
        }
        // Another thread has closed the memory between the check and here, or has published it unsafely while it was under
        // construction.
        return new IllegalStateException("the memory is not ready for an access");
    }

    private IllegalArgumentException outside(final long off, final long len) {
        return new IllegalArgumentException(
            len + " bytes at offset " + off + " are not inside a memory of " + size + " bytes");
    }

    /** The exception for an access that has failed with an exception of the JVM. */
    final RuntimeException failed(final long off, final long len, final boolean write, final Throwable thrown) {
        return thrown instanceof InternalError ? truncated((InternalError) thrown) : refused(off, len, write);
    }

    /** The exception for the error that the JVM throws for lost pages of a file. */
    final IvshmemException truncated(final InternalError cause) {
        return new IvshmemException(
            IvshmemException.Code.IO,
            "bytes of the memory of " + size + " bytes cannot be accessed: somebody made the file behind it shorter;"
                + " close the memory and open it again",
            cause);
    }

    private boolean isInside(final long off, final long len) {
        return off >= 0 && len >= 0 && len <= size - off;
    }

    final void checkOpen() {
        if (closed.get()) {
            throw new IllegalStateException("the memory is closed");
        }
    }
}
