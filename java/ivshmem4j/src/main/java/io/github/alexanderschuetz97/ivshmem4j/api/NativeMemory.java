package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.SyncFailedException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Memory that other programs, in other virtual machines or on the host, read and write at the same time.
 *
 * <h2>Rules of all methods</h2>
 * <ul>
 *   <li>Offsets and lengths are {@code long}, in bytes, from 0 to {@link #size()}. Offsets may have any alignment.
 *   <li>Numbers of several bytes are in the processor's byte order, unless the name of the method contains {@code LE}
 *       (lowest byte first) or {@code BE} (highest byte first).
 *   <li>Every method, including {@link #close()}, may be called from any thread at any time.
 *   <li>{@link IllegalArgumentException}: a byte of the access is outside the memory, or an offset or a length is negative.
 *       An access of length 0 may be at {@link #size()}, except for {@code set}, {@code zero} and {@code sync}, whose offset
 *       must be inside. Nothing is read or written.
 *   <li>{@link ArrayIndexOutOfBoundsException}: an element of the access is outside the array. Nothing is read or written.
 *   <li>{@link IllegalStateException}: the memory is closed.
 *   <li>{@link UnsupportedOperationException}: a write to read-only memory.
 *   <li>{@link IvshmemException}: another process has truncated the file behind the memory, and the JVM noticed in time. See
 *       <em>Truncated files</em>.
 *   <li>{@link NullPointerException}: an array, a buffer or a time unit is null.
 * </ul>
 *
 * <h2>Which methods see other writers</h2>
 * <table>
 *   <caption>Kinds of access</caption>
 *   <tr><th>methods</th><th>kind</th><th>meaning</th></tr>
 *   <tr><td>{@code read}, {@code write}, {@code set}, {@code zero}, {@code indexOf}, {@code copyTo} and similar methods;
 *       views</td><td>plain</td>
 *       <td>Fastest. The JIT compiler may merge, move or repeat them, so a loop that waits with them may never end. During a
 *       concurrent write, an access of several bytes may see a mixture of old and new bytes.</td></tr>
 *   <tr><td>{@code readXxxAcquire}, {@code writeXxxRelease}</td><td>ordered</td>
 *       <td>Atomic, and sees the writes of other programs. A program that reads the value of a release with an acquire sees
 *       all writes before that release.</td></tr>
 *   <tr><td>{@code readXxxVolatile}, {@code writeXxxVolatile}</td><td>ordered</td>
 *       <td>As above, and all programs see all of them in the same order.</td></tr>
 *   <tr><td>{@code getAndAdd}, {@code getAndSet}, {@code compareAndSet}, {@code spin}, {@code spinAndSet}</td>
 *       <td>ordered</td><td>As volatile; the read and the write are one atomic step for all programs.</td></tr>
 * </table>
 * <p>To publish, write the bytes plainly, then a number with release. To receive, read that number with acquire, then the
 * bytes plainly. These accesses pair with the atomic accesses of other languages, and are correct in every
 * {@linkplain #cacheMode() cache mode}: in the mode {@link CacheMode#WRITE_COMBINED}, as in Linux guests, each ordered
 * access is a full fence, which flushes the plain writes before it.
 *
 * <p>The JIT compiler compiles ordered accesses. The native library performs those that cross a multiple of 8, which costs a
 * call; in a 64-bit JVM before Java 22, it performs those to an {@code int} or a {@code long} only if they cross a cache
 * line (64 bytes). An access that crosses a cache line locks the bus of the whole machine for a moment. Reading a number
 * that crosses a multiple of 8 needs writable memory. In the last bytes of a mapping whose size is not a multiple of 8, the
 * same rules hold for every unaligned number and for atomic operations on {@code byte} and {@code short}. In a machine that
 * QEMU runs without hardware virtualisation (TCG), an unaligned access that crosses a multiple of 8 is not atomic for
 * programs outside that machine: align numbers that different machines change at the same time.
 *
 * <h2>Closing</h2>
 * <p>{@link #close()} also closes the device. It never waits for an access. An access that runs at the same time completes,
 * but may read zeroes, and its writes may be lost. Every later access throws, except in a loop that the JIT compiler has
 * compiled, as such a loop may not check again whether the memory is open:
 * <ul>
 *   <li>From Java 22 on, such a loop notices the closing of the memory at once, and the closing of a slice after a tenth of
 *       a second.
 *   <li>Before Java 22, a loop notices the closing if it contains an ordered access, {@code spin} or {@link #isValid()}. A
 *       loop with only plain reads and writes may never notice.
 * </ul>
 * <p>Until then, the accesses of the loop do no harm. Memory of the Windows driver is checked in each access before Java 22,
 * too. Closing interrupts no thread.
 *
 * <h2>Slices and views</h2>
 * <p>A {@linkplain #slice slice} is a {@link NativeMemory} over a part of the bytes. Its offsets begin at 0, and its
 * accesses are as fast. Closing a slice closes that slice and its own slices: accesses throw and waits end. The memory and
 * the device stay open, so a slice may be used in a try-with-resources statement, and need not be closed. Closing the memory
 * closes all its slices.
 *
 * <p>A {@linkplain #view view} is an object of a Java class for the same bytes: a {@link ByteBuffer} or, from Java 22 on, a
 * {@code java.lang.foreign.MemorySegment}. Its accesses are plain, without the fences of ordered accesses in
 * {@linkplain #cacheMode() any cache mode}: to publish what was written through a view, write a number with release through
 * this interface. Views of read-only memory are read-only. A view keeps the memory reachable, so the garbage collector does
 * not close the memory while a view exists. Closing a slice does not end its views; closing the memory does:
 * <ul>
 *   <li>From Java 22 on, views throw {@link IllegalStateException} afterwards. If a system call is using a view during
 *       closing, for example in a channel that writes it, the views read zeroes instead. The JVM may leave a thread that
 *       accesses a view during closing {@linkplain Thread#isInterrupted() interrupted}; on Windows, also a thread inside a
 *       method of this class.
 *   <li>Before Java 22, a {@link ByteBuffer} stays readable and writable. It contains zeroes and later writes to it, which
 *       no other program sees. Its addresses are freed when the buffer is unreachable. It throws no exception: check
 *       {@link #isValid()} where that matters.
 * </ul>
 *
 * <h2>Truncated files</h2>
 * <p>When another process truncates the mapped file, the lost pages can no longer be read or written. From Java 22 on, plain
 * accesses and ordered reads of these pages throw {@link IvshmemException} if the JVM notices in time. Compiled code may
 * notice late, and older JVMs always do: they throw an {@link InternalError} at some later point of the thread, and until
 * then the value that was read is an arbitrary number of its type. A value read through a view may even be outside the range
 * of its type, and compiled code that uses it as an index can crash the JVM, even after a check of the index. Ordered
 * writes, atomic operations and unaligned ordered reads may end the process on any JVM, as the JVM cannot recover from the
 * fault in their code. Before Java 14, copies between a view and an array may also end the process, as the JVM performs them
 * itself. The memory of an {@code ivshmem-server} can be sealed against truncation; named files cannot.
 */
public interface NativeMemory extends ByteOrderAccess, ArrayAccess, SpinAccess, AutoCloseable {

    /**
     * Closes the memory and its device, and wakes the threads that are inside {@code spin}. A second call has no effect.
     */
    @Override
    void close();

    /**
     * Whether the memory is open.
     *
     * @return false after closing
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
     * @return true if the memory is open, neither value is negative, and the bytes end at or before {@link #size()}; thus 0
     *     bytes at {@link #size()} can be accessed
     */
    boolean isValid(long off, long len);

    /**
     * Whether the memory was opened for reading; {@link #isValid()} returns whether it is still open.
     *
     * @return always true
     */
    boolean isReadable();

    /**
     * Whether the memory was opened for writing; {@link #isValid()} returns whether it is still open.
     *
     * @return false if it was opened read-only
     */
    boolean isWriteable();

    /**
     * The size of the memory. It never changes, and is available after closing.
     *
     * @return bytes
     */
    long size();

    /**
     * How the processor caches the memory, which determines the cost of reads and writes. The mode never changes, and is
     * available after closing.
     *
     * @return never null; {@link CacheMode#CACHED} except for devices in Linux guests, and for devices in Windows guests
     *     that the program opens with another mode
     */
    CacheMode cacheMode();

    /**
     * The address of the first byte in this process, for calls into foreign code.
     *
     * <p>Accesses through the address bypass all checks of this class. The address is valid until the memory is closed.
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
     * The read lock of a lock for the program's use. It works only within this process, and no method of this class,
     * including {@link #close()}, acquires it.
     *
     * @return always the same lock, also after closing
     */
    ReentrantReadWriteLock.ReadLock readLock();

    /**
     * The write lock that belongs to {@link #readLock()}.
     *
     * @return always the same lock, also after closing
     */
    ReentrantReadWriteLock.WriteLock writeLock();

    /**
     * Writes the bytes to the storage of the file behind the memory, and waits until that is done. Other mappings of the
     * file see every write without this call. Memory without storage, such as a file in {@code /dev/shm}, needs no wait.
     *
     * @param off offset of the first byte
     * @param len number of bytes
     * @param invalidate has no effect, as a shared mapping has no stale copies
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
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void set(long off, byte value, long len);

    /**
     * Sets the whole memory to 0. Plain.
     *
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
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
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void zero(final long off, final long len) {
        set(off, (byte) 0, len);
    }

    /**
     * Finds the first occurrence of a sequence of bytes. Plain: the method searches copies of the bytes, as other programs
     * may write at the same time.
     *
     * @param off offset to start at
     * @param len number of bytes to search
     * @param needle the bytes to find; an empty sequence is found at {@code off}
     * @return offset of its first byte from the start of the memory, or -1 if those bytes do not contain it completely
     * @throws IllegalArgumentException if the bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    long indexOf(long off, long len, byte[] needle);

    /**
     * Finds the first occurrence of a byte. Plain.
     *
     * @param off offset to start at
     * @param len number of bytes to search
     * @param value the byte to find
     * @return its offset from the start of the memory, or -1 if those bytes do not contain it
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
     * @param buffer the array to copy from
     * @param bufferOff index of the first byte in the array
     * @param len number of bytes; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if they are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, byte[] buffer, int bufferOff, int len);

    /**
     * Writes an array. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final byte[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Writes the remaining bytes of a buffer, and moves the buffer's position to its limit. Plain. The buffer may be a
     * direct buffer of another memory; the two parts may overlap only if both are at the same addresses.
     *
     * @param off offset of the first byte in the memory
     * @param source the buffer to copy from, with its position and limit
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written and the position does not
     *     change
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
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
     * Fills the remaining space of a buffer, and moves the buffer's position to its limit. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param target the buffer to fill, with its position and limit
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read and the position does not
     *     change
     * @throws IllegalStateException if the memory is closed
     * @throws java.nio.ReadOnlyBufferException if the buffer is read-only
     */
    void read(long off, ByteBuffer target);

    /**
     * Copies bytes to another offset or to another memory, as if through a temporary copy: within one memory and its slices,
     * source and target may overlap. Two memories that were opened separately may show the same bytes; if source and target
     * overlap there, the result is a mixture. Plain.
     *
     * @param off offset of the first byte in this memory
     * @param target the memory to copy to, which may be this memory
     * @param targetOff offset of the first byte in {@code target}
     * @param len number of bytes, which may exceed 2 GiB; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside this memory, or not inside {@code target}; nothing
     *     is written
     * @throws IllegalStateException if one of the two is closed
     * @throws UnsupportedOperationException if {@code target} is read-only
     */
    void copyTo(long off, NativeMemory target, long targetOff, long len);

    /**
     * A part of this memory as a {@link NativeMemory} whose offsets begin at 0. The slice shares the lock of this memory and
     * supports all of its operations. The rules for alignment apply to offsets in the memory that was opened. See <em>Slices
     * and views</em>.
     *
     * @param off offset of its first byte in this memory
     * @param len its size in bytes; it may be 0
     * @return a slice, which closes only itself, and which closing this memory closes as well
     * @throws IllegalArgumentException if the bytes are not inside this memory
     * @throws IllegalStateException if this memory is closed
     */
    NativeMemory slice(long off, long len);

    /**
     * A part of this memory as a buffer in the processor's byte order; {@link ByteBuffer#order} changes the order. A buffer
     * derived from it, as by {@link ByteBuffer#duplicate()}, begins with Java's default order, highest byte first. See
     * <em>Slices and views</em>.
     *
     * @param off offset of its first byte in this memory
     * @param len its capacity in bytes, up to {@code Integer.MAX_VALUE - 8}, 9 bytes less than 2 GiB
     * @return a direct buffer, with position 0
     * @throws IllegalArgumentException if the bytes are not inside this memory, or exceed the maximum capacity
     * @throws IllegalStateException if this memory is closed
     * @throws UnsupportedOperationException before Java 22, if the addresses of the memory become invalid on closing, as
     *     with the Windows driver
     */
    ByteBuffer asByteBuffer(long off, long len);

    /**
     * A part of this memory as an object of another class: {@code ByteBuffer.class}, as {@link #asByteBuffer} returns it,
     * and from Java 22 on {@code java.lang.foreign.MemorySegment.class}. See <em>Slices and views</em>.
     *
     * @param <T> the class
     * @param off offset of its first byte in this memory
     * @param len its size in bytes
     * @param type the class
     * @return the view
     * @throws IllegalArgumentException if the bytes are not inside this memory, or exceed the maximum capacity of a buffer
     * @throws IllegalStateException if this memory is closed
     * @throws UnsupportedOperationException if this version of Java has no such view
     */
    <T> T view(long off, long len, Class<T> type);

    /**
     * All bytes of this memory as an object of another class; see {@link #view(long, long, Class)}: {@code MemorySegment
     * segment = memory.view(MemorySegment.class);}
     *
     * @param <T> the class
     * @param type the class
     * @return the view
     * @throws IllegalArgumentException if the memory is too large for a buffer
     * @throws IllegalStateException if this memory is closed
     * @throws UnsupportedOperationException if this version of Java has no such view
     */
    default <T> T view(final Class<T> type) {
        return view(0, size(), type);
    }
}
