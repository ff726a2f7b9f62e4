package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executor;

/**
 * Who is to be called, and the daemon threads that find out when.
 *
 * <p>Each vector that ever had a routine has a thread that waits for its interrupts in the native library, and one more
 * waits for news about peers, where the device has them; so what one vector's routines do never delays another vector. Without an executor the
 * callbacks run in these threads. All threads end with the device.
 *
 * <p>The threads refer to this and not to the device, so that a device that everyone has forgotten can be collected. As
 * long as a routine or a listener is registered, this refers to the device and keeps it.
 */
final class Dispatch {

    private final long device;
    private final Executor executor;
    private final Handler handler;
    private final Map<Integer, VectorLoop> vectors = new HashMap<>();
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

    synchronized void add(final int vector, final InterruptServiceRoutine routine, final Object device) {
        checkOpen();
        final VectorLoop running = vectors.get(vector);
        if (running != null) {
            running.add(routine);
        } else {
            // The routine first: the thread may find an interrupt from before.
            final VectorLoop loop = new VectorLoop(this.device, vector, this);
            loop.add(routine);
            start("ivshmem4j-vector-" + vector, loop);
            vectors.put(vector, loop);
        }
        owner = device;
    }

    synchronized void remove(final int vector, final InterruptServiceRoutine routine) {
        final VectorLoop loop = vectors.get(vector);
        if (loop != null) {
            loop.remove(routine);
        }
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
    synchronized void close() {
        closed = true;
        owner = null;
    }

    boolean isClosed() {
        return closed;
    }

    Handler handler() {
        return handler;
    }

    /** Something that runs a callback of this device when it is signalled. */
    Repeater repeater(final Runnable callback) {
        return new Repeater(executor, () -> {
            if (!closed) {
                callback.run();
            }
        }, handler);
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("the device is closed");
        }
    }

    private void forgetOwner() {
        if ((peers == null || peers.isEmpty()) && vectors.values().stream().allMatch(VectorLoop::isEmpty)) {
            owner = null;
        }
    }

    private static void start(final String name, final Runnable loop) {
        final Thread thread = new Thread(loop, name);
        thread.setDaemon(true);
        thread.start();
    }
}
