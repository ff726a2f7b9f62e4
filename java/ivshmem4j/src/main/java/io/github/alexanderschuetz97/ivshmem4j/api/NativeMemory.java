package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.SyncFailedException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Memory that other programs, in other virtual machines or on the host, read and write at the same time.
 *
 * <h2>Rules of all methods</h2>
 * <ul>
 *   <li>Offsets and lengths are {@code long}, in bytes, from 0 to {@link #size()}. Any alignment will do.
 *   <li>Numbers of several bytes are in the processor's byte order, unless the name says {@code LE} (lowest byte first)
 *       or {@code BE} (highest byte first).
 *   <li>Every method may be called from any thread, at any time, {@link #close()} included.
 *   <li>{@link IllegalArgumentException}: a byte of the access would be outside the memory, or an offset or a length is
 *       negative. An access of length 0 may be at {@link #size()}, but for {@code set}, {@code zero} and {@code sync}, whose
 *       offset must be inside. Nothing was read or written then.
 *   <li>{@link ArrayIndexOutOfBoundsException}: an element of the access would be outside the array. Nothing was read or
 *       written then.
 *   <li>{@link IllegalStateException}: the memory is closed.
 *   <li>{@link UnsupportedOperationException}: a write to memory that was opened for reading only.
 *   <li>{@link IvshmemException}: the file behind the memory was made shorter by somebody else, and the JVM noticed
 *       in time. See <em>Truncated files</em>.
 *   <li>{@link NullPointerException}: an array, a buffer or a time unit is null.
 * </ul>
 *
 * <h2>Which methods see other writers</h2>
 * <table>
 *   <caption>Kinds of access</caption>
 *   <tr><th>methods</th><th>kind</th><th>meaning</th></tr>
 *   <tr><td>{@code read}, {@code write}, {@code set}, {@code zero}, {@code indexOf}, {@code copyTo} and their kin;
 *       views</td><td>plain</td>
 *       <td>Fastest. The JIT compiler may merge, move or repeat them, so a loop that waits with them may wait for ever.
 *       Beside a writer, an access of several bytes may see a mixture of old and new bytes.</td></tr>
 *   <tr><td>{@code readXxxAcquire}, {@code writeXxxRelease}</td><td>ordered</td>
 *       <td>Whole, and sure to see another writer. What was written before a release is seen by whoever reads its
 *       value with an acquire.</td></tr>
 *   <tr><td>{@code readXxxVolatile}, {@code writeXxxVolatile}</td><td>ordered</td>
 *       <td>As above, and all of them happen in one order that everybody agrees on.</td></tr>
 *   <tr><td>{@code getAndAdd}, {@code getAndSet}, {@code compareAndSet}, {@code spin}, {@code spinAndSet}</td>
 *       <td>ordered</td><td>As volatile; read and write are one step for everybody.</td></tr>
 * </table>
 * <p>To publish: write the bytes plainly, then a number with release. To receive: read that number with acquire, then
 * the bytes plainly. Java here pairs with the atomics of any other language there. That is right in every
 * {@linkplain #cacheMode() cache mode}: where it is {@link CacheMode#WRITE_COMBINED}, as in Linux guests, each ordered
 * access is a full fence, which sends the plain writes before it on their way.
 *
 * <p>Ordered accesses are compiled by the JIT compiler. Those that cross a multiple of 8 are done by the native library
 * instead, which costs a call; of an {@code int} or a {@code long} on 64 bits before Java 22 only those that cross a cache
 * line (64 bytes) are. One that crosses a cache line stops the bus of the whole machine for a moment.
 * Reading one that crosses a multiple of 8 needs memory that can be written. So do the last bytes of a mapping whose size is no multiple of 8,
 * for numbers that are not aligned and for atomic operations on {@code byte} and {@code short}.
 * In a machine that QEMU runs without hardware virtualisation (TCG), one that is not aligned is not a single step for
 * programs outside that machine if it crosses a multiple of 8: align what different machines change at the same time.
 *
 * <h2>Closing</h2>
 * <p>{@link #close()} closes the device as well. It never waits for an access: one that runs at the same moment
 * finishes, though it may read zeroes, and what it writes may reach nobody. Every later one throws, but for accesses in a loop
 * that the JIT compiler has compiled: it need not look again whether the memory is open.
 * <ul>
 *   <li>From Java 22 on such a loop notices that the memory was closed at once, and that a slice was, after a tenth of a second.
 *   <li>Before, a loop notices as soon as it has an ordered access, {@code spin} or {@link #isValid()} in it; one that has
 *       none but plain reads and writes may never notice.
 * </ul>
 * <p>Until then its accesses do no harm. Memory of the Windows driver is looked at in each access before Java 22, too. Closing
 * interrupts no thread.
 *
 * <h2>Slices and views</h2>
 * <p>A {@linkplain #slice slice} is a memory of its own kind over a part of the bytes, with offsets from 0 on, and as
 * fast. Closing a slice closes that slice and the slices of it: its accesses throw, its waits end; neither the memory
 * nor the device is closed, so a slice may stand in a try-with-resources statement, or be forgotten. Closing the memory
 * closes all its slices.
 *
 * <p>A {@linkplain #view view} is an object of Java's own for the same bytes: a {@link ByteBuffer}, or from Java 22 on
 * a {@code java.lang.foreign.MemorySegment}. Its accesses are plain, without the fences of ordered ones in
 * {@linkplain #cacheMode() any cache mode}: to publish what was written through it, write a number with release here.
 * Memory for reading only has views for reading only. A view keeps the memory reachable, so the memory stays open while
 * there is one, unless somebody closes it. Closing a slice does not end its views; closing the memory does:
 * <ul>
 *   <li>From Java 22 on, views throw {@link IllegalStateException} then. Should a call of the operating system be using
 *       one at that moment, such as a channel that writes it, the views read zeroes instead. The JVM may leave a thread that is
 *       inside an access to a view at that moment {@linkplain Thread#isInterrupted() interrupted}; on Windows, one that is in a
 *       method of this class, too.
 *   <li>Before, a {@link ByteBuffer} stays readable and writable: it has zeroes then and what is written into it
 *       afterwards, nobody else sees that, and its addresses are given back when it is unreachable. It throws nothing:
 *       ask {@link #isValid()} where that matters.
 * </ul>
 *
 * <h2>Truncated files</h2>
 * <p>When another process makes the mapped file shorter, its lost pages cannot be read or written any more. Plain
 * accesses and ordered reads throw {@link IvshmemException} then, from Java 22 on, if the JVM notices in time. Compiled
 * code may notice late, and older JVMs always do: they throw an {@link InternalError} from some later point of the
 * thread, and until then what was read is any number of its type; read through a view, it may be none of its type, and
 * compiled code that uses it as an index can crash the JVM, even behind a check of the index. Ordered writes, atomic
 * operations, and ordered reads that are not aligned may end the process, with any JVM: they meet code of the JVM that cannot
 * come back from it. Before Java 14, so may copies between a view and an array, which are the JVM's own. The memory of an
 * {@code ivshmem-server} can be sealed against all this; named files cannot.
 */
public interface NativeMemory extends NumberAccess, ArrayAccess, OrderedAccess, AutoCloseable {

    /**
     * Closes the memory and the device that it belongs to, and wakes the threads that are inside {@code spin}.
     * A second call does nothing.
     */
    @Override
    void close();

    /**
     * Whether the memory is open.
     *
     * @return false once it was closed
     */
    boolean isValid();

    /**
     * Whether one byte can be accessed.
     *
     * @param off offset in bytes, any value
     * @return true if the memory is open and has this byte
     */
    boolean isValid(long off);

    /**
     * Whether a number of bytes can be accessed.
     *
     * @param off offset of the first byte, any value
     * @param len number of bytes, any value
     * @return true if the memory is open, and neither is negative nor do the bytes reach over the end; so no bytes at
     *     {@link #size()} can be
     */
    boolean isValid(long off, long len);

    /**
     * Whether the memory was opened for reading; {@link #isValid()} tells whether it is open still.
     *
     * @return always true
     */
    boolean isReadable();

    /**
     * Whether the memory was opened for writing; {@link #isValid()} tells whether it is open still.
     *
     * @return false if it was opened for reading only
     */
    boolean isWriteable();

    /**
     * The size of the memory. It never changes, and can be asked for after closing.
     *
     * @return bytes
     */
    long size();

    /**
     * How the processor caches the memory: what it costs to read and write it. It never changes, and can be asked for
     * after closing.
     *
     * @return never null; {@link CacheMode#CACHED} but for devices in virtual machines
     */
    CacheMode cacheMode();

    /**
     * The address of the first byte in this process, for calls into foreign code.
     *
     * <p>Whoever goes through it does without every check of this class. It is good until the memory is closed.
     *
     * @return an address; 0 once the memory is closed
     */
    long getNativePointer();

    /**
     * The address of a byte in this process, for calls into foreign code; see {@link #getNativePointer()}.
     *
     * @param off offset in bytes
     * @return an address
     * @throws IllegalArgumentException if the memory has no such byte
     * @throws IllegalStateException if the memory is closed
     */
    long getNativePointer(long off);

    /**
     * The reading half of a lock that is the program's own: it holds in this process only, and no method of this class
     * takes it or waits for it, {@link #close()} neither.
     *
     * @return always the same lock, also after closing
     */
    ReentrantReadWriteLock.ReadLock readLock();

    /**
     * The writing half of the lock of {@link #readLock()}.
     *
     * @return always the same lock, also after closing
     */
    ReentrantReadWriteLock.WriteLock writeLock();

    /**
     * Waits until the bytes are in the storage of the file behind the memory. Other views of the file see every write
     * without this; memory that has no storage, such as a file in {@code /dev/shm}, has nothing to wait for.
     *
     * @param off offset of the first byte
     * @param len number of bytes
     * @param invalidate has no effect: a shared mapping has no copies that could be old
     * @throws SyncFailedException if the operating system fails to write
     * @throws IllegalArgumentException if the bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    void sync(long off, long len, boolean invalidate) throws SyncFailedException;

    /**
     * Sets bytes to one value. Plain.
     *
     * @param off offset of the first byte
     * @param value the value of each byte
     * @param len number of bytes; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void set(long off, byte value, long len);

    /**
     * Sets the whole memory to 0. Plain.
     *
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    default void zero() {
        set(0, (byte) 0, size());
    }

    /**
     * Sets bytes to 0. Plain.
     *
     * @param off offset of the first byte
     * @param len number of bytes; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    default void zero(final long off, final long len) {
        set(off, (byte) 0, len);
    }

    /**
     * Where a sequence of bytes occurs first. Plain: the answer is true of a copy, as others may write meanwhile.
     *
     * @param off offset to start at
     * @param len number of bytes to look through
     * @param needle what to look for; an empty one is found at {@code off}
     * @return offset of its first byte from the start of the memory, or -1 if it does not lie wholly inside those bytes
     * @throws IllegalArgumentException if the bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    long indexOf(long off, long len, byte[] needle);

    /**
     * Where a byte occurs first. Plain.
     *
     * @param off offset to start at
     * @param len number of bytes to look through
     * @param value what to look for
     * @return its offset from the start of the memory, or -1 if it is not there
     * @throws IllegalArgumentException if the bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default long indexOf(final long off, final long len, final byte value) {
        return indexOf(off, len, new byte[] {value});
    }

    /**
     * Writes a part of an array. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to take from
     * @param bufferOff index of the first byte in the array
     * @param len number of bytes; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if they are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void write(long off, byte[] buffer, int bufferOff, int len);

    /**
     * Writes an array. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to take from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    default void write(final long off, final byte[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Writes what remains in a buffer, and moves the buffer's position to its limit. Plain. A direct buffer of another
     * memory may be given, too; the parts may overlap only if both are at the same addresses.
     *
     * @param off offset of the first byte in the memory
     * @param source the buffer to take from, with its position and limit
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written, the position stays
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void write(long off, ByteBuffer source);

    /**
     * Reads into a part of an array. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first byte in the array
     * @param len number of bytes; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if they are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, byte[] buffer, int bufferOff, int len);

    /**
     * Fills an array. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final byte[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Fills what remains of a buffer, and moves the buffer's position to its limit. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param target the buffer to fill, with its position and limit
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read, the position stays
     * @throws IllegalStateException if the memory is closed
     * @throws java.nio.ReadOnlyBufferException if the buffer cannot be written
     */
    void read(long off, ByteBuffer target);

    /**
     * Copies bytes to another place or to another memory, as if by way of a copy of all of them: within one memory and
     * its slices the two places may overlap. Memories that were opened one by one may show the same bytes twice; there,
     * what overlaps becomes a mixture. Plain.
     *
     * @param off offset of the first byte in this memory
     * @param target where to copy to; it may be this memory
     * @param targetOff offset of the first byte in {@code target}
     * @param len number of bytes, more than 2 GiB too; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside this memory, or not inside {@code target}; nothing
     *     is written
     * @throws IllegalStateException if one of the two is closed
     * @throws UnsupportedOperationException if {@code target} is for reading only
     */
    void copyTo(long off, NativeMemory target, long targetOff, long len);

    /**
     * A part of this memory as a memory, with offsets from 0 on. It has the lock of this one, and all that this one
     * can do; what is said of alignment holds for offsets in the memory that was opened. See <em>Slices and views</em>.
     *
     * @param off offset of its first byte in this memory
     * @param len its size in bytes; it may be 0
     * @return a memory that closes nothing but itself, and is closed with this one
     * @throws IllegalArgumentException if the bytes are not inside this memory
     * @throws IllegalStateException if this memory is closed
     */
    NativeMemory slice(long off, long len);

    /**
     * A part of this memory as a buffer, in the processor's byte order; {@link ByteBuffer#order} changes that, and what
     * is made of the buffer, as by {@link ByteBuffer#duplicate()}, begins with Java's own, highest byte first. See
     * <em>Slices and views</em>.
     *
     * @param off offset of its first byte in this memory
     * @param len its capacity in bytes, up to {@code Integer.MAX_VALUE - 8}, 9 bytes less than 2 GiB
     * @return a direct buffer, with position 0
     * @throws IllegalArgumentException if the bytes are not inside this memory, or are too many
     * @throws IllegalStateException if this memory is closed
     * @throws UnsupportedOperationException before Java 22, where the addresses of the memory do not outlive closing
     */
    ByteBuffer asByteBuffer(long off, long len);

    /**
     * A part of this memory as an object of another class: {@code ByteBuffer.class}, as {@link #asByteBuffer} gives it,
     * and from Java 22 on {@code java.lang.foreign.MemorySegment.class}. See <em>Slices and views</em>.
     *
     * @param <T> the class
     * @param off offset of its first byte in this memory
     * @param len its size in bytes
     * @param type the class
     * @return the view
     * @throws IllegalArgumentException if the bytes are not inside this memory, or too many for a buffer
     * @throws IllegalStateException if this memory is closed
     * @throws UnsupportedOperationException if there is no such view in this version of Java
     */
    <T> T view(long off, long len, Class<T> type);

    /**
     * This memory as an object of another class, as {@link #view(long, long, Class)} of all its bytes:
     * {@code MemorySegment segment = memory.view(MemorySegment.class);}
     *
     * @param <T> the class
     * @param type the class
     * @return the view
     * @throws IllegalArgumentException if the memory is too large for a buffer
     * @throws IllegalStateException if this memory is closed
     * @throws UnsupportedOperationException if there is no such view in this version of Java
     */
    default <T> T view(final Class<T> type) {
        return view(0, size(), type);
    }
}
