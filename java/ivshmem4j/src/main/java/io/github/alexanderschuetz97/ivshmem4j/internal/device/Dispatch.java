package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * The registered callbacks, and the daemon threads that wait for their events.
 *
 * <p>Each vector has its own threads while they are needed ({@link Vector}), so the routines of one vector never delay
 * another vector. One more thread waits for changes of peers if the device has a list of them. Without an executor, the
 * callbacks run in these threads. All threads end with the device.
 *
 * <p>The threads refer to this object and not to the device, so that the garbage collector can collect an unreachable
 * device. As long as a routine or a listener is registered or a future waits, this object refers to the device and keeps it
 * reachable.
 */
final class Dispatch {

    /** The maximum number of vectors of a device. */
    static final int MAX_VECTORS = 256;

    private final long device;
    /** Whether the device can be interrupted; otherwise a wait is a short pause. */
    private final boolean receives;
    private final Executor executor;
    private final Handler handler;
    private final AtomicReferenceArray<Vector> vectors = new AtomicReferenceArray<>(MAX_VECTORS);
    /** Null if the device has no list of peers. */
    private final PeerLoop peers;
    private Object owner;
    private volatile boolean closed;

    /** With a null executor, the threads of this object run the callbacks. */
    Dispatch(
        final long device, final boolean knowsPeers, final boolean receives, final Executor executor, final Handler handler) {
        this.device = device;
        this.receives = receives;
        this.executor = executor == null ? Runnable::run : executor;
        this.handler = handler;
        peers = knowsPeers ? new PeerLoop(device, this) : null;
        if (knowsPeers) {
            start("ivshmem4j-peers", peers);
        }
    }

    /** A vector with a wait or a registration so far, or null. */
    Vector known(final int vector) {
        return vector >= 0 && vector < MAX_VECTORS ? vectors.get(vector) : null;
    }

    /** A vector that the device has; the caller has checked its number. */
    Vector vector(final int vector) {
        final Vector known = vectors.get(vector);
        if (known != null) {
            return known;
        }
        final Vector made = new Vector(vector, new NativeSource(device, vector, receives), this);
        final Vector kept = vectors.compareAndSet(vector, null, made) ? made : vectors.get(vector);
        if (closed) {
            kept.close();
        }
        return kept;
    }

    synchronized void add(final int vector, final InterruptServiceRoutine routine, final Object device) {
        checkOpen();
        vector(vector).add(routine);
        owner = device;
    }

    synchronized void remove(final int vector, final InterruptServiceRoutine routine) {
        final Vector known = known(vector);
        if (known != null) {
            known.callbacks().remove(routine);
        }
        forgetOwner();
    }

    /** A future that the next interrupt completes with the vector's number. */
    CompletableFuture<Integer> next(final int vector, final Object device) {
        final CompletableFuture<Integer> future = new CompletableFuture<>();
        synchronized (this) {
            checkOpen();
            vector(vector).add(future);
            owner = device;
        }
        future.whenComplete((number, e) -> remove(vector, future));
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

    /** Starts no further callback. Does not wait for running callbacks, as the caller may be one. */
    void close() {
        synchronized (this) {
            closed = true;
            owner = null;
        }
        for (int vector = 0; vector < MAX_VECTORS; vector++) {
            final Vector known = vectors.get(vector);
            if (known != null) {
                // Closes each of them, even if another one throws.
                handler.run(known::close);
            }
        }
    }

    boolean isClosed() {
        return closed;
    }

    /** Whether the server has gone. */
    boolean isServerGone() {
        return peers != null && peers.isServerGone();
    }

    /** Resumes reading of the vectors that the server has, including those that it or the previous server did not have. */
    void vectorsAdded(final Steps steps) {
        final int count = NativeLibrary.deviceVectors(device);
        for (int vector = 0; vector < count; vector++) {
            final Vector known = vectors.get(vector);
            if (known != null) {
                steps.take(known::added);
            }
        }
    }

    Handler handler() {
        return handler;
    }

    /** Reports a failure of this device to the handler, unless closing has caused it. */
    void failed(final Throwable thrown) {
        if (!closed) {
            handler.accept(thrown);
        }
    }

    /** Runs a job that must not be lost: in the executor or, if that rejects it, in this thread. */
    void execute(final Runnable job) {
        try {
            executor.execute(job);
        } catch (final Throwable e) {
            job.run();
        }
    }

    /** A coalescer that runs a callback of this device after each signal. */
    Coalescer coalescer(final Runnable callback) {
        return new Coalescer(executor, callback, handler, this::isClosed);
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

    /** The native library. */
    private static final class NativeSource implements Vector.Source {

        private final long device;
        private final int vector;
        private final boolean receives;

        NativeSource(final long device, final int vector, final boolean receives) {
            this.device = device;
            this.vector = vector;
            this.receives = receives;
        }

        @Override
        public long begin(final long seen) {
            return receives ? seen : received();
        }

        @Override
        public long await(final long seen, final long cancels, final boolean receives, final long nanos) {
            return NativeLibrary.deviceWait(device, vector, seen, cancels, receives, nanos);
        }

        @Override
        public void cancel() {
            NativeLibrary.deviceCancel(device, vector);
        }

        @Override
        public long received() {
            return NativeLibrary.deviceReceived(device, vector);
        }

        @Override
        public long receive() {
            return NativeLibrary.deviceReceive(device, vector);
        }

        @Override
        public void giveBack(final long position) {
            NativeLibrary.deviceGiveBack(device, vector, position);
        }
    }
}
