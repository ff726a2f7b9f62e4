package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.concurrent.TimeUnit;

/**
 * Numbers in memory, read and written so that other writers are seen: the part of {@link NativeMemory}, with its rules,
 * for talking to other programs.
 *
 * <p>Offsets are in bytes; any alignment will do, and what does not cross a multiple of 8 is
 * faster. All methods may be called from any thread.
 */
public interface OrderedAccess {

    /**
     * Reads a byte, whole; every access behind it in the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    byte readByteAcquire(long off);

    /**
     * Reads a byte, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    byte readByteVolatile(long off);

    /**
     * Writes a byte, whole; every access before it in the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeByteRelease(long off, byte value);

    /**
     * Writes a byte, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeByteVolatile(long off, byte value);

    /**
     * Reads a short, whole; every access behind it in the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     */
    short readShortAcquire(long off);

    /**
     * Reads a short, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     */
    short readShortVolatile(long off);

    /**
     * Writes a short, whole; every access before it in the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeShortRelease(long off, short value);

    /**
     * Writes a short, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeShortVolatile(long off, short value);

    /**
     * Reads an int, whole; every access behind it in the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     */
    int readIntAcquire(long off);

    /**
     * Reads an int, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     */
    int readIntVolatile(long off);

    /**
     * Writes an int, whole; every access before it in the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeIntRelease(long off, int value);

    /**
     * Writes an int, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeIntVolatile(long off, int value);

    /**
     * Reads a long, whole; every access behind it in the program happens after it. Ordered: acquire.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only and {@code off} is not a multiple of 8
     */
    long readLongAcquire(long off);

    /**
     * Reads a long, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only and {@code off} is not a multiple of 8
     */
    long readLongVolatile(long off);

    /**
     * Writes a long, whole; every access before it in the program happens before it. Ordered: release.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    void writeLongRelease(long off, long value);

    /**
     * Writes a long, whole. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
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
     * Adds to a byte, wrapping around, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta what to add
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    byte getAndAdd(long off, byte delta);

    /**
     * Adds to a short, wrapping around, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta what to add
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    short getAndAdd(long off, short delta);

    /**
     * Adds to an int, wrapping around, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta what to add
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    int getAndAdd(long off, int delta);

    /**
     * Adds to a long, wrapping around, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param delta what to add
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    long getAndAdd(long off, long delta);

    /**
     * Writes a byte and gives the one before, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    byte getAndSet(long off, byte value);

    /**
     * Writes a short and gives the one before, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    short getAndSet(long off, short value);

    /**
     * Writes an int and gives the one before, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    int getAndSet(long off, int value);

    /**
     * Writes a long and gives the one before, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param value the new value
     * @return the value before
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    long getAndSet(long off, long value);

    /**
     * Writes a byte if it has the value expected, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean compareAndSet(long off, byte expect, byte update);

    /**
     * Writes a short if it has the value expected, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean compareAndSet(long off, short expect, short update);

    /**
     * Writes an int if it has the value expected, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean compareAndSet(long off, int expect, int update);

    /**
     * Writes a long if it has the value expected, in one step. Ordered: volatile.
     *
     * @param off offset in bytes
     * @param expect the value expected
     * @param update the new value
     * @return true if it was written
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean compareAndSet(long off, long expect, long update);

    /**
     * Writes 16 bytes if they have the value expected, in one step. Ordered: volatile.
     *
     * @param off offset in bytes, a multiple of 16
     * @param data 32 bytes: the 16 expected, then the 16 new ones; it is not changed
     * @return true if they were written
     * @throws IllegalArgumentException if the bytes are not inside the memory, {@code off} is not a multiple of 16, or
     *     {@code data} has not 32 bytes; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only, or not
     *     {@link #supports16ByteCompareAndSet()}
     */
    boolean compareAndSet(long off, byte[] data);

    /**
     * Waits until a byte has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it had the value; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     */
    boolean spin(long off, byte expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until a byte has a value, for ever. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, byte expect, long sleep, TimeUnit unit);

    /**
     * Waits until a short has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it had the value; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     */
    boolean spin(long off, short expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until a short has a value, for ever. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, short expect, long sleep, TimeUnit unit);

    /**
     * Waits until an int has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it had the value; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     */
    boolean spin(long off, int expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until an int has a value, for ever. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only and the number crosses a multiple of 8,
     *     or lies in the last bytes that {@link NativeMemory} speaks of and is not aligned
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, int expect, long sleep, TimeUnit unit);

    /**
     * Waits until a long has a value. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it had the value; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only and {@code off} is not a multiple of 8
     */
    boolean spin(long off, long expect, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until a long has a value, for ever. Ordered: volatile. An interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only and {@code off} is not a multiple of 8
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spin(long off, long expect, long sleep, TimeUnit unit);

    /**
     * Waits until a byte has a value and then writes another, in one step. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it was written; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean spinAndSet(long off, byte expect, byte update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until a byte has a value, for ever, and then writes another, in one step. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, byte expect, byte update, long sleep, TimeUnit unit);

    /**
     * Waits until a short has a value and then writes another, in one step. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it was written; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean spinAndSet(long off, short expect, short update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until a short has a value, for ever, and then writes another, in one step. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, short expect, short update, long sleep, TimeUnit unit);

    /**
     * Waits until an int has a value and then writes another, in one step. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it was written; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean spinAndSet(long off, int expect, int update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until an int has a value, for ever, and then writes another, in one step. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, int expect, int update, long sleep, TimeUnit unit);

    /**
     * Waits until a long has a value and then writes another, in one step. Ordered: volatile. An interrupt of the
     * thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param timeout how long to wait at most; 0 looks once, a negative one waits for ever
     * @param unit of both times
     * @return true if it was written; false if the time was over or {@link #stopSpin()} was called
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    boolean spinAndSet(long off, long expect, long update, long sleep, long timeout, TimeUnit unit);

    /**
     * Waits until a long has a value, for ever, and then writes another, in one step. Ordered: volatile. An
     * interrupt of the thread does not end the wait.
     *
     * @param off offset in bytes
     * @param expect the value to wait for
     * @param update the new value
     * @param sleep how long to sleep between two looks; 0 gives way to other threads, a negative one does neither
     * @param unit of that time
     * @throws IllegalArgumentException if its bytes are not inside the memory, or, where
     *     {@link #atomic8ByteOperationsRequireAlignment()}, {@code off} is not a multiple of 8; nothing is written
     * @throws IllegalStateException if the memory is closed, before or meanwhile
     * @throws UnsupportedOperationException if the memory is for reading only
     * @throws java.util.concurrent.CancellationException if {@link #stopSpin()} was called
     */
    void spinAndSet(long off, long expect, long update, long sleep, TimeUnit unit);

    /**
     * Ends all waits in {@code spin} and {@code spinAndSet} of this object that run now, as if their time was over.
     * Waits that begin later are not concerned.
     *
     * @throws IllegalStateException if the memory is closed
     */
    void stopSpin();
}
