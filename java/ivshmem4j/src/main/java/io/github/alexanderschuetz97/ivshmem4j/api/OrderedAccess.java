package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * Ordered reads and writes of numbers, which see the writes of other programs: the part of {@link NativeMemory} for
 * communication between programs. The rules of {@link NativeMemory} apply.
 *
 * <p>Offsets are in bytes and may have any alignment; an access that does not cross a multiple of 8 is faster. All methods
 * may be called from any thread.
 */
public interface OrderedAccess {

    /**
     * Reads a byte atomically; every later access of the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    byte readByteAcquire(long off);

    /**
     * Reads a byte atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    byte readByteVolatile(long off);

    /**
     * Writes a byte atomically; every earlier access of the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeByteRelease(long off, byte value);

    /**
     * Writes a byte atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeByteVolatile(long off, byte value);

    /**
     * Reads a short atomically; every later access of the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     */
    short readShortAcquire(long off);

    /**
     * Reads a short atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     */
    short readShortVolatile(long off);

    /**
     * Writes a short atomically; every earlier access of the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeShortRelease(long off, short value);

    /**
     * Writes a short atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeShortVolatile(long off, short value);

    /**
     * Reads an int atomically; every later access of the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     */
    int readIntAcquire(long off);

    /**
     * Reads an int atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     */
    int readIntVolatile(long off);

    /**
     * Writes an int atomically; every earlier access of the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeIntRelease(long off, int value);

    /**
     * Writes an int atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeIntVolatile(long off, int value);

    /**
     * Reads a long atomically; every later access of the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only and {@code off} is not a multiple of 8
     */
    long readLongAcquire(long off);

    /**
     * Reads a long atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only and {@code off} is not a multiple of 8
     */
    long readLongVolatile(long off);

    /**
     * Writes a long atomically; every earlier access of the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeLongRelease(long off, long value);

    /**
     * Writes a long atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writeLongVolatile(long off, long value);

    /**
     * Whether {@code getAndAdd}, {@code getAndSet}, {@code compareAndSet}, {@code spin} and {@code spinAndSet} work.
     *
     * @return true
     */
    boolean supportsAtomicOperations();

    /**
     * Whether {@link #compareAndSet(long, byte[])} works on this processor.
     *
     * @return true on x86-64 with the instruction {@code cmpxchg16b}; false on 32-bit x86
     */
    boolean supports16ByteCompareAndSet();

    /**
     * Whether ordered accesses to a {@code long} need an offset that is a multiple of 8.
     *
     * @return false on x86-64; true in a 32-bit JVM
     */
    boolean atomic8ByteOperationsRequireAlignment();

    /**
     * Adds to a byte atomically, wrapping around. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta the number to add
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    byte getAndAdd(long off, byte delta);

    /**
     * Adds to a short atomically, wrapping around. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta the number to add
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    short getAndAdd(long off, short delta);

    /**
     * Adds to an int atomically, wrapping around. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta the number to add
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    int getAndAdd(long off, int delta);

    /**
     * Adds to a long atomically, wrapping around. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta the number to add
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    long getAndAdd(long off, long delta);

    /**
     * Writes a byte and returns the previous one, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    byte getAndSet(long off, byte value);

    /**
     * Writes a short and returns the previous one, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    short getAndSet(long off, short value);

    /**
     * Writes an int and returns the previous one, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    int getAndSet(long off, int value);

    /**
     * Writes a long and returns the previous one, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the previous value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    long getAndSet(long off, long value);

    /**
     * Writes a byte if it has the expected value, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the expected value
     * @param update the new value
     * @return true if the new value was written
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean compareAndSet(long off, byte expect, byte update);

    /**
     * Writes a short if it has the expected value, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the expected value
     * @param update the new value
     * @return true if the new value was written
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean compareAndSet(long off, short expect, short update);

    /**
     * Writes an int if it has the expected value, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the expected value
     * @param update the new value
     * @return true if the new value was written
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean compareAndSet(long off, int expect, int update);

    /**
     * Writes a long if it has the expected value, atomically. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the expected value
     * @param update the new value
     * @return true if the new value was written
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean compareAndSet(long off, long expect, long update);

    /**
     * Writes 16 bytes if they have the expected value, atomically. Ordered: volatile.
     *
     * @param off offset in bytes, a multiple of 16
     * @param data 32 bytes: the 16 expected bytes, then the 16 new bytes; the array is not changed
     * @return true if the new bytes were written
     * @throws IllegalArgumentException if the bytes are not inside the memory, {@code off} is not a multiple of 16, or
     *     {@code data} does not have 32 bytes; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only, or {@link #supports16ByteCompareAndSet()} returns
     *     false
     */
    boolean compareAndSet(long off, byte[] data);
}
