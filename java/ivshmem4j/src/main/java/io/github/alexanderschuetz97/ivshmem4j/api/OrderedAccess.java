package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.concurrent.TimeUnit;

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

    /**
     * Waits until a byte has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the value was found; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or during the wait
     */
    boolean spin(long off, byte expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until a byte has a value. Ordered: volatile. An interrupt of the thread does not end the
     * wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, byte expect, long sleep, TimeUnit unit);

    /**
     * Waits until a short has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the value was found; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     */
    boolean spin(long off, short expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until a short has a value. Ordered: volatile. An interrupt of the thread does not end the
     * wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, short expect, long sleep, TimeUnit unit);

    /**
     * Waits until an int has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the value was found; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     */
    boolean spin(long off, int expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until an int has a value. Ordered: volatile. An interrupt of the thread does not end the
     * wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only and the number crosses a multiple of 8, or is
     *     unaligned and in the last bytes of a mapping whose size is not a multiple of 8
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, int expect, long sleep, TimeUnit unit);

    /**
     * Waits until a long has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the value was found; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only and {@code off} is not a multiple of 8
     */
    boolean spin(long off, long expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until a long has a value. Ordered: volatile. An interrupt of the thread does not end the
     * wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only and {@code off} is not a multiple of 8
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, long expect, long sleep, TimeUnit unit);

    /**
     * Waits until a byte has a value and then writes another value, atomically. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the new value was written; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean spinAndSet(long off, byte expect, byte update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until a byte has a value, and then writes another value, atomically. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, byte expect, byte update, long sleep, TimeUnit unit);

    /**
     * Waits until a short has a value and then writes another value, atomically. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the new value was written; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean spinAndSet(long off, short expect, short update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until a short has a value, and then writes another value, atomically. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, short expect, short update, long sleep, TimeUnit unit);

    /**
     * Waits until an int has a value and then writes another value, atomically. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the new value was written; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean spinAndSet(long off, int expect, int update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until an int has a value, and then writes another value, atomically. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, int expect, int update, long sleep, TimeUnit unit);

    /**
     * Waits until a long has a value and then writes another value, atomically. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param timeout the maximum time to wait; 0 reads once, a negative time waits without a limit
     * @param unit the unit of both times
     * @return true if the new value was written; false if the timeout passed or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     */
    boolean spinAndSet(long off, long expect, long update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits without a time limit until a long has a value, and then writes another value, atomically. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep the time to sleep between two reads; 0 yields to other threads, a negative time neither sleeps nor yields
     * @param unit the unit of the time
     * @throws IllegalArgumentException if its bytes are not inside the memory, or if
     *     {@link #atomic8ByteOperationsRequireAlignment()} and {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed, before or during the wait
     * @throws UnsupportedOperationException if the memory is read-only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, long expect, long update, long sleep, TimeUnit unit);

    /**
     * Ends all running waits in {@code spin} and {@code spinAndSet} of this object, as if their timeout had passed. Later
     * waits are not affected.
     *
     * @throws IllegalStateException if the memory is closed
     */
    void stopSpin();
}
