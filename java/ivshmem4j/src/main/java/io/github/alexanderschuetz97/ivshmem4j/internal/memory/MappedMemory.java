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
 * Memory of a mapping, or of a part of it: its life, its bounds, its parts.
 *
 * <p>There is one bound for reading and one for writing: the size, or {@link #NOTHING} when the memory is closed or
 * must not be written. So one comparison tells that an access is inside, open and allowed; only when it fails
 * {@link #refused} finds out why. The bounds are plain fields: a compiled loop may never look at them again, and goes on in
 * pages that are still there. Volatile or opaque ones made streaming loops take 1.7 to 2.7 times as long on Java 17. A call
 * site that closing changes costs accesses nothing, but with each closing all code that accesses memory has to be compiled anew.
 *
 * <p>A part is an object like the whole, with an address and bounds of its own, so it is as fast. It keeps the whole
 * reachable; the whole knows it by a weak reference, to close it.
 *
 * <p>An access begins with {@link #readable} or {@link #writable} and ends with {@link #keep}. Where an address is used that
 * closing may take away, it begins with {@link #reading} or {@link #writing} and ends with {@link #done}.
 */
abstract class MappedMemory implements NativeMemory {

    /** There the driver made the mapping, and nothing can take its place. */
    static final boolean WINDOWS = System.getProperty("os.name").startsWith("Windows");

    /**
     * No access of a byte or more is below it. On 32 bits a thread may see one half of an old bound and the other half of a
     * new one: those of this one and of any size that a mapping has there, below 2 GiB, have the same upper half.
     */
    private static final long NOTHING = 0;

    /**
     * All bits. No constant, so that compiled code has to do what is done with it.
     *
     * <p>Where a file has lost a page, compiled code goes on for a moment with what the register of the number held before,
     * which may be no number of the type. The compiler takes it for one: it leaves out the check of an index below 256 or
     * 65,536, or that of a sign, and it checks the lower half of a register and takes the whole of it for the index. So
     * {@link #narrowed} makes it one.
     */
    private static int allBits = -1;

    final Mapping mapping;
    /** Where this part begins in the mapping. */
    final long start;
    final long address;
    /** What this is a part of; null for the whole mapping. */
    final MappedMemory parent;
    private final long size;
    /** A copy of the mapping's field, as each read of a small number checks it. */
    private final boolean sealed;
    private final Runnable onClose;
    private long readBound;
    private long writeBound;

    private final AtomicBoolean closed = new AtomicBoolean();
    private final ReentrantReadWriteLock lock;
    /** The parts of this that somebody can reach; null before there is one. Guarded by {@code closed}. */
    private Set<MappedMemory> parts;

    /** All of a mapping. */
    MappedMemory(final Mapping mapping, final Runnable onClose) {
        this.mapping = mapping;
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

    /** A part of a memory, which must have these bytes. */
    MappedMemory(final MappedMemory parent, final long off, final long len) {
        this.parent = parent;
        mapping = parent.mapping;
        onClose = null;
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
     * Ends all accesses to come, here and in all parts.
     *
     * <p>Everybody who closes does so, also when somebody else has begun to: that one may be anywhere on its way, and once
     * this has returned the pages may go.
     */
    private void end() {
        readBound = NOTHING;
        writeBound = NOTHING;
        shut();
        wake();
        final List<MappedMemory> open = new ArrayList<>();
        synchronized (closed) {
            // None is added from here on.
            if (parts != null) {
                open.addAll(parts);
            }
        }
        open.forEach(MappedMemory::close);
    }

    /** The same kind of object for a part. */
    abstract MappedMemory part(long off, long len);

    /** Lets go of the shared pages, so that an access that still runs does no harm. */
    abstract void release();

    /** Ends accesses that the bounds do not end. */
    void shut() {}

    /** Ends the waits in this object. */
    abstract void wake();

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
     * Keeps an object, and with it the mapping, from being unreachable before this call.
     *
     * <p>HotSpot collects garbage only where the interpreter could be, too, and takes a variable for alive as long as
     * a later byte code names it. Reference.reachabilityFence, which Java 8 has not, is such an empty method up to
     * Java 21; from 22 on the accesses use that one.
     */
    static void keep(final Object object) {}

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
            checkEmptyEnd(off, len, false);
        }
        return address + off;
    }

    /** The address of any number of bytes that are to be written. */
    final long writable(final long off, final long len) {
        final long bound = writeBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            checkEmptyEnd(off, len, true);
        }
        return address + off;
    }

    /** As {@link #readable}, for an access that {@link #done} ends. */
    final long reading(final long off, final int len) {
        begin();
        if (off < 0 || off > readBound - len) {
            throw notBegun(off, len, false);
        }
        return address + off;
    }

    /** As {@link #writable}, for an access that {@link #done} ends. */
    final long writing(final long off, final int len) {
        begin();
        if (off < 0 || off > writeBound - len) {
            throw notBegun(off, len, true);
        }
        return address + off;
    }

    /** As {@link #readable}, for an access that {@link #done} ends. */
    final long reading(final long off, final long len) {
        begin();
        final long bound = readBound;
        if (off < 0 || len < 0 || off >= bound || len > bound - off) {
            checkEmptyEndBegun(off, len, false);
        }
        return address + off;
    }

    /** As {@link #writable}, for an access that {@link #done} ends. */
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

    /** Refuses what is not inside, closed or not allowed; but no bytes at the very end are inside, as in 1.2. */
    private void checkEmptyEnd(final long off, final long len, final boolean write) {
        if (len != 0 || off != size || closed.get() || write && !mapping.writeable) {
            throw refused(off, len, write);
        }
    }

    /** As {@link #checkEmptyEnd}, of an access that has begun. */
    private void checkEmptyEndBegun(final long off, final long len, final boolean write) {
        try {
            checkEmptyEnd(off, len, write);
        } catch (final RuntimeException e) {
            done();
            throw e;
        }
    }

    /** As {@link #writable} for setting bytes, which as in 1.2 must begin inside also where there are none. */
    final void checkSet(final long off, final long len) {
        writable(off, len);
        checkBegin(off, len);
    }

    /** An empty memory, which 1.2 had not, begins with its end. */
    private void checkBegin(final long off, final long len) {
        if (off == size && size > 0) {
            throw outside(off, len);
        }
    }

    /** Somebody is about to use an address: until {@link #done} closing leaves it good. Empty, as {@link #fence} is. */
    void begin() {}

    /** The address is used no more; until here this object is reachable, see {@link #keep}. */
    void done() {}

    /** What was read, and a byte even where no byte was read. */
    final byte narrowed(final byte read) {
        return sealed ? read : (byte) (read & allBits);
    }

    /** What was read, and a short even where none was read. */
    final short narrowed(final short read) {
        return sealed ? read : (short) (read & allBits);
    }

    /** What was read, and an int even where none was read. */
    final int narrowed(final int read) {
        return sealed ? read : read & allBits;
    }

    static void checkArray(final int length, final int off, final int len) {
        if ((off | len) < 0 || len > length - off) {
            throw new ArrayIndexOutOfBoundsException(
                len + " elements from index " + off + " on are not inside an array of " + length);
        }
    }

    /** Why an access was not done. */
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
        // Closed by another thread between the check and here, or seen half made through a data race.
        return new IllegalStateException("the memory is not ready for an access");
    }

    private IllegalArgumentException outside(final long off, final long len) {
        return new IllegalArgumentException(
            len + " bytes at offset " + off + " are not inside a memory of " + size + " bytes");
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
        return off >= 0 && len >= 0 && len <= size - off;
    }

    final void checkOpen() {
        if (closed.get()) {
            throw new IllegalStateException("the memory is closed");
        }
    }
}
