package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * Who is to be called, and the daemon threads that find out when.
 *
 * <p>Each vector has threads of its own while they are needed ({@link Vector}), and one more waits for news about peers, where
 * the device has them; so what one vector's routines do never delays another vector. Without an executor the callbacks run
 * in these threads. All threads end with the device.
 *
 * <p>The threads refer to this and not to the device, so that a device that everyone has forgotten can be collected. As
 * long as a routine or a listener is registered or a future is waiting, this refers to the device and keeps it.
 */
final class Dispatch {

    /** No device has more. */
    static final int MAX_VECTORS = 256;

    private final long device;
    private final Executor executor;
    private final Handler handler;
    private final AtomicReferenceArray<Vector> vectors = new AtomicReferenceArray<>(MAX_VECTORS);
    /** Null where nobody tells of peers. */
    private final PeerLoop peers;
    private Object owner;
    private volatile boolean closed;

    /** A null executor stands for the threads made here. */
    Dispatch(final long device, final boolean knowsPeers, final Executor executor, final Handler handler) {
        this.device = device;
        this.executor = executor == null ? Runnable::run : executor;
        this.handler = handler;
        peers = knowsPeers ? new PeerLoop(device, this) : null;
        if (knowsPeers) {
            start("ivshmem4j-peers", peers);
        }
    }

    /** A vector that somebody has waited for or registered for, or null. */
    Vector known(final int vector) {
        return vector >= 0 && vector < MAX_VECTORS ? vectors.get(vector) : null;
    }

    /** A vector that the device is known to have. */
    Vector vector(final int vector) {
        final Vector known = vectors.get(vector);
        if (known != null) {
            return known;
        }
        final Vector made = new Vector(
            vector,
            nanos -> NativeLibrary.deviceWait(device, vector, nanos),
            () -> NativeLibrary.deviceRing(device, NativeLibrary.deviceOwnId(device), vector),
            this);
        final Vector kept = vectors.compareAndSet(vector, null, made) ? made : vectors.get(vector);
        if (closed) {
            kept.close();
        }
        return kept;
    }

    void add(final int vector, final InterruptServiceRoutine routine, final Object device) {
        synchronized (this) {
            checkOpen();
            vector(vector).add(routine);
            owner = device;
        }
        vector(vector).wakeReader();
    }

    synchronized void remove(final int vector, final InterruptServiceRoutine routine) {
        final Vector known = known(vector);
        if (known != null) {
            known.callbacks().remove(routine);
        }
        forgetOwner();
    }

    /** What is completed, with the vector's number, by an interrupt. */
    CompletableFuture<Integer> next(final int vector, final Object device) {
        final CompletableFuture<Integer> future = new CompletableFuture<>();
        synchronized (this) {
            checkOpen();
            vector(vector).add(future);
            owner = device;
        }
        future.whenComplete((number, e) -> remove(vector, future));
        vector(vector).wakeReader();
        return future;
    }

    private synchronized void remove(final int vector, final CompletableFuture<Integer> future) {
        vector(vector).callbacks().remove(future);
        forgetOwner();
    }

    synchronized void add(final PeerConnectionListener listener, final Object device) {
        checkOpen();
        peers.add(listener);
        owner = device;
    }

    synchronized void remove(final PeerConnectionListener listener) {
        if (peers != null) {
            peers.remove(listener);
        }
        forgetOwner();
    }

    /** No callback begins any more. Waits for none, as a callback itself may be the caller. */
    void close() {
        synchronized (this) {
            closed = true;
            owner = null;
        }
        for (int vector = 0; vector < MAX_VECTORS; vector++) {
            final Vector known = vectors.get(vector);
            if (known != null) {
                // Each of them, whatever another one throws.
                handler.run(known::close);
            }
        }
    }

    boolean isClosed() {
        return closed;
    }

    /** Whether there was a server, and there is none now. */
    boolean isServerGone() {
        return peers != null && peers.isServerGone();
    }

    /** The vectors of the new server are read, also those that could not be, as the one before did not have them. */
    void reconnected(final Steps steps) {
        final int count = NativeLibrary.deviceVectors(device);
        for (int vector = 0; vector < count; vector++) {
            final Vector known = vectors.get(vector);
            if (known != null) {
                steps.take(known::reconnected);
            }
        }
    }

    Handler handler() {
        return handler;
    }

    /** Something of this device has failed: for the handler, unless that is because of closing. */
    void failed(final Throwable thrown) {
        if (!closed) {
            handler.accept(thrown);
        }
    }

    /** Runs something that must not be lost: when the executor refuses it, here. */
    void execute(final Runnable job) {
        try {
            executor.execute(job);
        } catch (final Throwable e) {
            job.run();
        }
    }

    /** Something that runs a callback of this device when it is signalled. */
    Repeater repeater(final Runnable callback) {
        return new Repeater(executor, callback, handler, this::isClosed);
    }

    static IllegalStateException closed() {
        return new IllegalStateException("the device is closed");
    }

    static void start(final String name, final Runnable loop) {
        final Thread thread = new Thread(loop, name);
        thread.setDaemon(true);
        thread.start();
    }

    private void checkOpen() {
        if (closed) {
            throw closed();
        }
    }

    private void forgetOwner() {
        if (peers != null && !peers.isEmpty()) {
            return;
        }
        for (int vector = 0; vector < MAX_VECTORS; vector++) {
            final Vector known = vectors.get(vector);
            if (known != null && !known.callbacks().isEmpty()) {
                return;
            }
        }
        owner = null;
    }
}
