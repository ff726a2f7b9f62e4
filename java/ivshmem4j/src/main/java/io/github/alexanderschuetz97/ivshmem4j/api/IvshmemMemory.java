package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.Collection;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A device: shared memory and, where the device has them, interrupts and peers.
 *
 * <p>If a device lacks a feature, the matching method {@code hasX}, {@code knowsX} or {@code supportsX} returns false, and
 * the methods of that feature throw {@link UnsupportedOperationException}. Memory without a doorbell
 * ({@link Ivshmem#plain(String)}) lacks all features; registering and removing routines and listeners has no effect there. A
 * device in a virtual machine has no list of its peers, and may be able to send interrupts but not to receive them; the
 * message of the exception gives the reason.
 *
 * <p>There are three ways to receive interrupts, which can be combined on one vector: a thread waits
 * ({@link #waitInterrupt(int)}), a routine is called ({@link #registerInterruptServiceRoutine}), or a future completes
 * ({@link #nextInterrupt}). An interrupt is a hint to read the memory:
 *
 * <pre>{@code
 * while (memory.readIntAcquire(0) == 0) {
 *     device.waitInterrupt(0);
 * }
 * }</pre>
 *
 * <p>All methods may be called from any thread, callbacks included. After {@link #close()}, methods that need the device
 * throw {@link IllegalStateException}. {@link #close()}, {@link #isClosed()}, {@link #getMemory()}, {@link #hasOwnPeerID()},
 * {@link #getOwnPeerID()}, {@link #getPeers()} and {@link #isOtherPeerConnected(int)} do not, nor do the methods that remove
 * routines and listeners, nor the queries of memory without a doorbell.
 */
public interface IvshmemMemory extends AutoCloseable {

    /**
     * Returns the memory of the device. Closing the memory closes the device.
     *
     * @return always the same object, also after closing
     */
    NativeMemory getMemory();

    /**
     * Whether this device has an id to which peers can send interrupts.
     *
     * @return true if {@link #getOwnPeerID()} works; the same value after closing
     */
    boolean hasOwnPeerID();

    /**
     * The id to which peers send interrupts.
     *
     * @return 0 to 65535; the same value after closing
     * @throws UnsupportedOperationException if this device has no id
     */
    int getOwnPeerID();

    /**
     * Whether this device receives the list of connected peers. Devices inside virtual machines do not.
     *
     * @return true if {@link #getPeers()} and {@link #isOtherPeerConnected(int)} work; false for a client of a server that
     *     gives no vectors ({@code -n 0}), as such a server cannot announce peers
     * @throws IllegalStateException if the device is closed and had a list of peers
     */
    boolean knowsOtherPeers();

    /**
     * Whether a peer is connected, according to the last announcement of the server.
     *
     * @param peer id of the peer, any value
     * @return true if the peer is connected; false for this device's own id and after closing
     * @throws UnsupportedOperationException if this device has no list of peers
     */
    boolean isOtherPeerConnected(int peer);

    /**
     * The peers that are connected, without this device.
     *
     * @return a copy of the list of ids, in ascending order; empty after closing
     * @throws UnsupportedOperationException if this device has no list of peers
     */
    Collection<Integer> getPeers();

    /**
     * Whether this device receives the number of vectors of its peers.
     *
     * @return true if {@link #getVectors(int)} works; the same value after closing
     */
    boolean knowsOtherPeerVectors();

    /**
     * The number of vectors of a peer that the server has announced so far.
     *
     * @param peer id of the peer, or this device's own id
     * @return number of vectors: valid ones are 0 to that number minus 1
     * @throws IvshmemException with the code {@code UNKNOWN_PEER} if no such peer is connected
     * @throws UnsupportedOperationException if this device has no list of peers
     * @throws IllegalStateException if the device is closed
     */
    int getVectors(int peer);

    /**
     * The number of vectors on which this device receives interrupts.
     *
     * @return number of vectors: valid ones are 0 to that number minus 1; 0 if this device has no interrupts
     * @throws IllegalStateException if the device is closed
     */
    int getOwnVectors();

    /**
     * Whether this device has a vector with the given number.
     *
     * @param vector any number
     * @return true from 0 to {@link #getOwnVectors()} minus 1
     * @throws IllegalStateException if the device is closed
     */
    boolean isVectorValid(int vector);

    /**
     * Closes the memory, stops all callbacks and disconnects from the server. Returns at once: it waits neither for running
     * accesses nor for running callbacks. A second call has no effect.
     */
    @Override
    void close();

    /**
     * Whether the device is closed.
     *
     * @return true after {@link #close()} of this device or of its {@link #getMemory()}
     */
    boolean isClosed();

    /**
     * Whether the device can receive interrupts. A device in a virtual machine may be able to send interrupts even if it
     * cannot receive them.
     *
     * @return true if {@link #registerInterruptServiceRoutine(int, InterruptServiceRoutine)} works; false while
     *     {@link #getOwnVectors()} is 0
     * @throws IllegalStateException if the device is closed
     */
    boolean supportsInterrupts();

    /**
     * Sends an interrupt and returns at once. Interrupts that the peer has not noticed yet are merged into one. A peer that
     * receives the interrupt sees every write to the memory that this thread made before. In a virtual machine, an interrupt
     * to an id or vector that does not exist, or that the server has not yet announced to the machine's QEMU, is lost
     * without an exception: repeat the interrupt until a new peer responds.
     *
     * @param peer id of the peer, or this device's own id
     * @param vector number of the vector, from 0
     * @throws IvshmemException with the code {@code UNKNOWN_PEER} or {@code UNKNOWN_VECTOR} if the peer is not connected
     *     (any longer) or has no such vector
     * @throws UnsupportedOperationException if this device cannot send interrupts
     * @throws IllegalStateException if the device is closed
     * @throws IvshmemException if the operating system fails to send it
     */
    void sendInterrupt(int peer, int vector);

    /**
     * Registers a routine for the interrupts of a vector. Registering a routine again for the same vector has no effect. A
     * vector may have several routines, and a routine several vectors.
     *
     * @param vector number of a vector of this device, 0 or more
     * @param isr the routine; not null
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this device of a virtual machine cannot receive interrupts
     * @throws NullPointerException if the routine is null
     * @throws IllegalStateException if the device is closed
     */
    void registerInterruptServiceRoutine(int vector, InterruptServiceRoutine isr);

    /**
     * Removes a routine from a vector. A call that is running continues to its end. Has no effect if the routine is not
     * registered, or after closing.
     *
     * @param vector number of the vector
     * @param isr the routine
     */
    void removeInterruptServiceRoutine(int vector, InterruptServiceRoutine isr);

    /**
     * Waits for an interrupt of a vector, like {@link #waitInterrupt(int, long, TimeUnit)} without a timeout.
     *
     * @param vector number of a vector of this device, 0 or more
     * @throws InterruptedException if the thread is interrupted
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this memory has no doorbell
     * @throws IllegalStateException if the device is closed, before or during the wait
     */
    void waitInterrupt(int vector) throws InterruptedException;

    /**
     * Waits for an interrupt of a vector. Returns at once if an interrupt has arrived since this thread last waited for the
     * vector or, on its first wait, since the device was opened.
     *
     * <p>An interrupt wakes all waiting threads, including virtual threads, calls the routines and completes the futures. An
     * interrupt is a hint: several may be merged into one, and a wait may return early or without an interrupt, for example
     * when another waiting thread is interrupted. Read the memory after each return. No interrupt is lost: each thread that
     * waits again returns at least once after the last interrupt.
     *
     * <p>On a device in a virtual machine that cannot receive interrupts, the wait returns true after a pause: read the
     * memory, as after an interrupt. The pause grows from 20 microseconds to 2 milliseconds while the thread does nothing
     * but wait.
     *
     * <p>The operating system wakes a platform thread directly if no other thread waits for the vector.
     *
     * @param vector number of a vector of this device, 0 or more
     * @param timeout the time to wait; 0 does not wait, a negative time waits without a limit
     * @param unit unit of the timeout
     * @return false if the time passed without an interrupt
     * @throws InterruptedException if the thread is interrupted before or during the wait
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this memory has no doorbell
     * @throws NullPointerException if the unit is null
     * @throws IllegalStateException if the device is closed, before or during the wait
     */
    boolean waitInterrupt(int vector, long timeout, TimeUnit unit) throws InterruptedException;

    /**
     * Returns a future that the next interrupt of a vector completes with the number of the vector. An earlier interrupt
     * that reached no thread, routine or future completes it at once. To miss no interrupt, first create the future, then
     * read the memory, then wait for the future.
     *
     * <p>The executor, or the thread that also runs the routines of this vector, completes the future and runs its dependent
     * stages. Closing the device completes it with an {@link IllegalStateException}. A future that is cancelled or has timed
     * out is removed at once.
     *
     * @param vector number of a vector of this device, 0 or more
     * @return a new future
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this device cannot receive interrupts
     * @throws IllegalStateException if the device is closed
     */
    CompletableFuture<Integer> nextInterrupt(int vector);

    /**
     * Registers a listener for peers that connect and disconnect. The listener is also called at once for each connected
     * peer.
     *
     * @param listener the listener; null has no effect
     * @throws UnsupportedOperationException if this device of a virtual machine has no list of peers
     * @throws IllegalStateException if the device is closed
     */
    void registerPeerConnectionListener(PeerConnectionListener listener);

    /**
     * Removes a listener. A call that is running continues to its end. Has no effect if the listener is not registered, or
     * after closing.
     *
     * @param listener the listener
     */
    void removePeerConnectionListener(PeerConnectionListener listener);
}
