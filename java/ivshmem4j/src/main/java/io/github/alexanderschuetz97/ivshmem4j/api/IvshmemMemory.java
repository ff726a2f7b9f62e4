package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.Collection;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A device: shared memory and, where the device has them, interrupts and peers.
 *
 * <p>What a device lacks it says: the matching {@code hasX}, {@code knowsX} or {@code supportsX} is false, and the
 * methods behind it throw {@link UnsupportedOperationException}. Memory without a doorbell
 * ({@link Ivshmem#plain(String)}) lacks all of them; there, registering and removing routines and listeners does
 * nothing. A device in a virtual machine does not know its peers, and may be able to send interrupts without being able
 * to receive them; the exception tells what is in the way.
 *
 * <p>Three ways to be interrupted, which go together on one vector: a thread waits ({@link #waitInterrupt(int)}), a routine is
 * called ({@link #registerInterruptServiceRoutine}), a future is completed ({@link #nextInterrupt}). An interrupt is a hint
 * to look at the memory:
 *
 * <pre>{@code
 * while (memory.readIntAcquire(0) == 0) {
 *     device.waitInterrupt(0);
 * }
 * }</pre>
 *
 * <p>All methods may be called from any thread, callbacks included. After {@link #close()} those that need the device throw
 * {@link IllegalStateException}. {@link #close()}, {@link #isClosed()}, {@link #getMemory()}, {@link #hasOwnPeerID()},
 * {@link #getOwnPeerID()}, {@link #getPeers()} and {@link #isOtherPeerConnected(int)} do not, nor does the removing of
 * routines and listeners; and memory without a doorbell answers all that can be asked of it.
 */
public interface IvshmemMemory extends AutoCloseable {

    /**
     * The memory of the device. Closing it closes the device.
     *
     * @return always the same object, also after closing
     */
    NativeMemory getMemory();

    /**
     * Whether this device has an id that others can send interrupts to.
     *
     * @return true if {@link #getOwnPeerID()} works, also after closing
     */
    boolean hasOwnPeerID();

    /**
     * The id that others send interrupts to.
     *
     * @return 0 to 65535; after closing as it was before
     * @throws UnsupportedOperationException if there is none
     */
    int getOwnPeerID();

    /**
     * Whether this device is told who else is connected. Devices inside virtual machines are not.
     *
     * @return true if {@link #getPeers()} and {@link #isOtherPeerConnected(int)} tell; false for a client of a server that
     *     gives no vectors ({@code -n 0}), which cannot tell of anybody
     * @throws IllegalStateException if the device is closed and was told of peers
     */
    boolean knowsOtherPeers();

    /**
     * Whether a peer is connected now, as far as the server has told.
     *
     * @param peer id of the peer, any value
     * @return true if it is; false for the own id, and after closing
     * @throws UnsupportedOperationException if that is not known
     */
    boolean isOtherPeerConnected(int peer);

    /**
     * The peers that are connected now, without this one.
     *
     * @return a copy: their ids in ascending order; none after closing
     * @throws UnsupportedOperationException if that is not known
     */
    Collection<Integer> getPeers();

    /**
     * Whether this device is told how many vectors its peers have.
     *
     * @return true if {@link #getVectors(int)} works, also after closing
     */
    boolean knowsOtherPeerVectors();

    /**
     * The number of vectors that a peer is known to have so far.
     *
     * @param peer id of the peer; the own one is allowed
     * @return number of vectors: valid ones are 0 to that number minus 1
     * @throws IvshmemException with the code {@code UNKNOWN_PEER} if no such peer is connected
     * @throws UnsupportedOperationException if that is not known
     * @throws IllegalStateException if the device is closed
     */
    int getVectors(int peer);

    /**
     * The number of vectors on which this device can be called.
     *
     * @return number of vectors: valid ones are 0 to that number minus 1; 0 if this device has no interrupts
     * @throws IllegalStateException if the device is closed
     */
    int getOwnVectors();

    /**
     * Whether this device has a vector.
     *
     * @param vector any number
     * @return true from 0 to {@link #getOwnVectors()} minus 1
     * @throws IllegalStateException if the device is closed
     */
    boolean isVectorValid(int vector);

    /**
     * Closes the memory, stops all calls and leaves the server. Returns at once: it waits neither for accesses nor for
     * callbacks that run at that moment. A second call does nothing.
     */
    @Override
    void close();

    /**
     * Whether the device was closed.
     *
     * @return true after {@link #close()}, here or of {@link #getMemory()}
     */
    boolean isClosed();

    /**
     * Whether the device can receive interrupts. A device in a virtual machine that cannot can send them all the same.
     *
     * @return true if {@link #registerInterruptServiceRoutine(int, InterruptServiceRoutine)} works, so false as long as
     *     {@link #getOwnVectors()} is 0
     * @throws IllegalStateException if the device is closed
     */
    boolean supportsInterrupts();

    /**
     * Sends an interrupt. Returns at once; interrupts that the peer has not noticed yet are merged into one. What this
     * thread has written to the memory before is seen by whoever is called. In a virtual machine an interrupt to an id
     * or a vector that nobody has, or that its QEMU has not heard of yet, is lost without an exception: ring again until
     * somebody new answers.
     *
     * @param peer id of the peer; the own one is allowed
     * @param vector number of the vector, from 0
     * @throws IvshmemException with the code {@code UNKNOWN_PEER} or {@code UNKNOWN_VECTOR} if the peer is not connected
     *     or has no such vector: it may have left just now
     * @throws UnsupportedOperationException if this device cannot send interrupts
     * @throws IllegalStateException if the device is closed
     * @throws IvshmemException if the operating system fails to send it
     */
    void sendInterrupt(int peer, int vector);

    /**
     * Has a routine called for the interrupts of a vector. A routine is registered once for a vector, however often
     * this is called; several routines may share a vector, and one routine several vectors.
     *
     * @param vector number of an own vector, from 0
     * @param isr the routine; not null
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this device of a virtual machine cannot receive interrupts
     * @throws NullPointerException if the routine is null
     * @throws IllegalStateException if the device is closed
     */
    void registerInterruptServiceRoutine(int vector, InterruptServiceRoutine isr);

    /**
     * Has a routine not called any more for a vector. A call that runs at that moment comes to its end. Does nothing if
     * it is not registered, or after closing.
     *
     * @param vector number of the vector
     * @param isr the routine
     */
    void removeInterruptServiceRoutine(int vector, InterruptServiceRoutine isr);

    /**
     * Waits until a vector is rung; as {@link #waitInterrupt(int, long, TimeUnit)} without an end.
     *
     * @param vector number of an own vector, from 0
     * @throws InterruptedException if the thread is interrupted
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this is memory without a doorbell
     * @throws IllegalStateException if the device is closed, also while this waits
     */
    void waitInterrupt(int vector) throws InterruptedException;

    /**
     * Waits until a vector is rung, or was since this thread last waited for it: at first, since the device was opened.
     *
     * <p>All threads that wait are woken, virtual ones too, and routines and futures are served as well. An interrupt is a
     * hint: several may be told as one, and one may come early or without a reason, as when another thread that waits is
     * interrupted; so look at the memory after each. None is lost: each thread that goes on waiting returns at least once
     * after the last interrupt.
     *
     * <p>A device in a virtual machine that cannot be interrupted returns true after a pause, which grows from 20
     * microseconds to 2 milliseconds while nothing but waiting is done: look at the memory, as after an interrupt.
     *
     * <p>A platform thread that is the only one is woken by the operating system itself, without another thread in between.
     *
     * @param vector number of an own vector, from 0
     * @param timeout how long to wait; 0 does not wait, a negative time is for ever
     * @param unit unit of the timeout
     * @return false if the time was over before
     * @throws InterruptedException if the thread is interrupted before or while it waits
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this is memory without a doorbell
     * @throws NullPointerException if the unit is null
     * @throws IllegalStateException if the device is closed, also while this waits
     */
    boolean waitInterrupt(int vector, long timeout, TimeUnit unit) throws InterruptedException;

    /**
     * What the next interrupt of a vector completes, with the number of the vector. An interrupt from before that reached no
     * thread, routine or future completes it at once. To miss nothing ask for the future first, look at the memory then,
     * and wait last.
     *
     * <p>It is completed in the executor, or in the thread that also runs the routines of this vector; so is what the
     * program has attached to it. Closing the device completes it with an {@link IllegalStateException}. One that is
     * cancelled, or has timed out, is forgotten at once.
     *
     * @param vector number of an own vector, from 0
     * @return a new future
     * @throws IvshmemException with the code {@code UNKNOWN_VECTOR} if this device has no such vector
     * @throws UnsupportedOperationException if this device cannot receive interrupts
     * @throws IllegalStateException if the device is closed
     */
    CompletableFuture<Integer> nextInterrupt(int vector);

    /**
     * Has a listener called when peers come and go, and at once for each peer that is connected.
     *
     * @param listener the listener; null does nothing
     * @throws UnsupportedOperationException if this device of a virtual machine does not know its peers
     * @throws IllegalStateException if the device is closed
     */
    void registerPeerConnectionListener(PeerConnectionListener listener);

    /**
     * Has a listener not called any more. A call that runs at that moment comes to its end. Does nothing if it is not
     * registered, or after closing.
     *
     * @param listener the listener
     */
    void removePeerConnectionListener(PeerConnectionListener listener);
}
