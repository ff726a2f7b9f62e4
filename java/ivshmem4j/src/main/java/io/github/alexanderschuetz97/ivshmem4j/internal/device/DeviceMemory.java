package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.lang.Thread.UncaughtExceptionHandler;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A device of any kind: a file, a client of a server, a device of a guest.
 *
 * <p>The native library knows the features of each kind and reports those that are missing; this class does not distinguish
 * kinds, except files: as in version 1.2, a program may register callbacks for a file, which are never called.
 */
public final class DeviceMemory implements IvshmemMemory {

    private static final long FOREVER = -1;

    private final String target;
    private final NativeDevice device;
    private final Dispatch dispatch;
    private final boolean knowsPeers;
    /** Why the device cannot receive interrupts; null if it can, and for files. */
    private final String finding;
    /** Whether the device has no doorbell, as a file: closing ends only the memory. */
    private final boolean isPlain;
    /** The last id that the server gave, or -1; kept for queries after closing. */
    private volatile int ownId;

    /**
     * Takes over a device.
     *
     * @param handle of the device
     * @param target the target string, as {@link io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem#open(String)} takes it
     * @param executor for callbacks, or null for threads of this library
     * @param handler for exceptions of callbacks, or null to print them
     */
    public DeviceMemory(
        final long handle, final String target, final Executor executor, final UncaughtExceptionHandler handler) {
        this.target = target;
        device = new NativeDevice(handle, target, this::close);
        try {
            knowsPeers = NativeLibrary.deviceKnowsPeers(handle);
            finding = NativeLibrary.deviceInterruptFinding(handle);
            ownId = NativeLibrary.deviceOwnId(handle);
            isPlain = ownId < 0 && finding == null;
            dispatch = new Dispatch(handle, knowsPeers, finding == null, executor, new Handler(handler, target));
        } catch (final RuntimeException | Error e) {
            device.close();
            throw e;
        }
    }

    @Override
    public NativeMemory getMemory() {
        return device.memory();
    }

    @Override
    public void close() {
        ownId();
        device.beginClosing();
        try {
            // Null if the constructor has failed.
            if (dispatch != null) {
                dispatch.close();
            }
        } finally {
            device.close();
        }
    }

    @Override
    public boolean isClosed() {
        return device.isClosed();
    }

    @Override
    public boolean hasOwnPeerID() {
        return ownId >= 0;
    }

    @Override
    public int getOwnPeerID() {
        final int id = ownId();
        if (id < 0) {
            throw new UnsupportedOperationException("this memory has no peer id: "
                + (finding == null ? "connect to a server for one, by Ivshmem.doorbell(path) on the host" : finding));
        }
        return id;
    }

    /** The present id; the last id if the device is closed. */
    private int ownId() {
        ownId = unlessClosed(() -> NativeLibrary.deviceOwnId(device.handle()), ownId);
        return ownId;
    }

    /** The device's result, or a default for a closed device. */
    private <T> T unlessClosed(final Supplier<T> question, final T afterwards) {
        if (!isClosed()) {
            try {
                return question.get();
            } catch (final IllegalStateException e) {
                if (!isClosed()) {
                    throw e;
                }
            }
        }
        return afterwards;
    }

    @Override
    public boolean knowsOtherPeers() {
        // A server without vectors announces no peers.
        return knowsPeers && getOwnVectors() > 0;
    }

    @Override
    public boolean isOtherPeerConnected(final int peer) {
        checkKnowsPeers();
        return unlessClosed(() -> NativeLibrary.devicePeerVectors(device.handle(), peer), -1) >= 0;
    }

    @Override
    public Collection<Integer> getPeers() {
        checkKnowsPeers();
        final int[] ids = unlessClosed(() -> NativeLibrary.devicePeers(device.handle()), new int[0]);
        final List<Integer> peers = new ArrayList<>(ids.length);
        for (final int id : ids) {
            peers.add(id);
        }
        return peers;
    }

    @Override
    public boolean knowsOtherPeerVectors() {
        return knowsPeers;
    }

    @Override
    public int getVectors(final int peer) {
        if (peer >= 0 && peer == ownId()) {
            return getOwnVectors();
        }
        if (isPlain) {
            throw notRung();
        }
        final int vectors = NativeLibrary.devicePeerVectors(device.handle(), peer);
        if (vectors < 0) {
            throw unknown(peer);
        }
        return vectors;
    }

    private static IvshmemException unknown(final int peer) {
        return new IvshmemException(
            Code.UNKNOWN_PEER, "no peer " + peer + " is connected; getPeers() lists those who are");
    }

    @Override
    public int getOwnVectors() {
        checkOpen();
        return isPlain || finding != null ? 0 : NativeLibrary.deviceVectors(device.handle());
    }

    @Override
    public boolean isVectorValid(final int vector) {
        return vector >= 0 && vector < getOwnVectors();
    }

    @Override
    public boolean supportsInterrupts() {
        return getOwnVectors() > 0;
    }

    @Override
    public void sendInterrupt(final int peer, final int vector) {
        if (isPlain) {
            throw notRung();
        }
        try {
            NativeLibrary.deviceRing(device.handle(), peer, vector);
        } catch (final IvshmemException e) {
            // The message of the native library names the remedy of the Rust library and of the command line.
            throw knowsPeers && e.getCode() == Code.UNKNOWN_PEER ? unknown(peer) : e;
        }
    }

    @Override
    public void waitInterrupt(final int vector) throws InterruptedException {
        await(vector, FOREVER);
    }

    @Override
    public boolean waitInterrupt(final int vector, final long timeout, final TimeUnit unit)
        throws InterruptedException {
        return await(vector, timeout < 0 ? FOREVER : unit.toNanos(timeout));
    }

    @Override
    public CompletableFuture<Integer> nextInterrupt(final int vector) {
        device.checkOpen();
        checkReceives();
        if (isPlain) {
            throw notRung();
        }
        checkVector(vector);
        return dispatch.next(vector, this);
    }

    private boolean await(final int vector, final long nanos) throws InterruptedException {
        device.checkOpen();
        Vector known = dispatch.known(vector);
        if (known == null) {
            if (isPlain) {
                throw notRung();
            }
            if (finding == null) {
                checkVector(vector);
            } else {
                checkPossible(vector);
            }
            known = dispatch.vector(vector);
        }
        final boolean rung = known.await(nanos);
        // Also keeps the device reachable during the wait.
        device.checkOpen();
        return rung;
    }

    /** A device that cannot be interrupted accepts any possible vector, as a wait is a short pause. */
    private static void checkPossible(final int vector) {
        if (vector < 0 || vector >= Dispatch.MAX_VECTORS) {
            throw new IvshmemException(Code.UNKNOWN_VECTOR,
                "no device has a vector " + vector + ": vectors are 0 to " + (Dispatch.MAX_VECTORS - 1));
        }
    }

    @Override
    public void registerInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        if (isPlain) {
            return;
        }
        Objects.requireNonNull(isr, "isr");
        device.checkOpen();
        checkReceives();
        checkVector(vector);
        dispatch.add(vector, isr, this);
    }

    @Override
    public void removeInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        dispatch.remove(vector, isr);
    }

    @Override
    public void registerPeerConnectionListener(final PeerConnectionListener listener) {
        if (isPlain) {
            return;
        }
        device.checkOpen();
        checkKnowsPeers();
        if (listener != null) {
            dispatch.add(listener, this);
        }
    }

    @Override
    public void removePeerConnectionListener(final PeerConnectionListener listener) {
        dispatch.remove(listener);
    }

    @Override
    public String toString() {
        final long size = device.memory().size();
        final String state = isClosed() ? "closed" : dispatch.isServerGone() ? "server gone" : "open";
        return "IvshmemMemory[target=" + target + ", size=" + size + (ownId < 0 ? "" : ", peer=" + ownId()) + ", " + state + "]";
    }

    /** Accepts closed memory without a doorbell, as its queries need no device. */
    private void checkOpen() {
        if (!isPlain) {
            device.checkOpen();
        }
    }

    private void checkKnowsPeers() {
        if (isPlain) {
            throw notRung();
        }
        if (!knowsPeers) {
            // Throws with the reason; for a closed device, that it is closed.
            NativeLibrary.devicePeers(device.handle());
        }
    }

    /** Also accepts files. */
    private void checkReceives() {
        if (finding != null) {
            throw new UnsupportedOperationException("this device cannot be interrupted: " + finding);
        }
    }

    private void checkVector(final int vector) {
        if (!isVectorValid(vector)) {
            throw new IvshmemException(Code.UNKNOWN_VECTOR,
                "this device has no vector " + vector + ": it has " + getOwnVectors() + ", counted from 0");
        }
    }

    private static UnsupportedOperationException notRung() {
        return new UnsupportedOperationException(
            "memory without a doorbell has no interrupts and no peers: look at the memory, or connect to a server by"
                + " Ivshmem.doorbell(path) on the host");
    }
}
