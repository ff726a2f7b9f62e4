package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.concurrent.TimeUnit;

/**
 * Waits for numbers that other programs write: the part of {@link NativeMemory} that reads a number repeatedly until it has a
 * value. The rules of {@link NativeMemory} apply.
 *
 * <p>Offsets are in bytes and may have any alignment; a number that does not cross a multiple of 8 is faster. All methods may
 * be called from any thread.
 */
public interface SpinAccess extends OrderedAccess {

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
