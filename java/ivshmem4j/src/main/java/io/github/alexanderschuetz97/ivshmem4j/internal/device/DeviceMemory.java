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

/**
 * A device of any kind: a file, a client of a server, a device of a guest.
 *
 * <p>The native library knows what the kinds can do, and says so of what one cannot do; there are no kinds here, but
 * for files: there, as in 1.2, one may register what will never be called.
 */
public final class DeviceMemory implements IvshmemMemory {

    private static final long FOREVER = -1;

    private final NativeDevice device;
    private final Dispatch dispatch;
    private final Pauses pauses = new Pauses();
    private final boolean receives;
    private final boolean knowsPeers;
    /** Why it cannot be interrupted; null when it can, and for files. */
    private final String finding;

    /**
     * Takes over a device.
     *
     * @param handle of the device
     * @param executor for callbacks, or null for threads of this library
     * @param handler for what callbacks throw, or null to print it
     */
    public DeviceMemory(final long handle, final Executor executor, final UncaughtExceptionHandler handler) {
        device = new NativeDevice(handle, this::close);
        try {
            receives = NativeLibrary.deviceSupportsInterrupts(handle);
            knowsPeers = NativeLibrary.deviceKnowsPeers(handle);
            finding = NativeLibrary.deviceInterruptFinding(handle);
            dispatch = new Dispatch(handle, knowsPeers, executor, new Handler(handler));
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
        try {
            // Null while the constructor fails.
            if (dispatch != null) {
                dispatch.close();
            }
            pauses.close();
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
        return NativeLibrary.deviceOwnId(device.handle()) >= 0;
    }

    @Override
    public int getOwnPeerID() {
        final int id = NativeLibrary.deviceOwnId(device.handle());
        if (id < 0) {
            throw new UnsupportedOperationException("this memory has no peer id: "
                + (finding == null ? "connect to a server for one" : finding));
        }
        return id;
    }

    @Override
    public boolean knowsOtherPeers() {
        device.checkOpen();
        return knowsPeers;
    }

    @Override
    public boolean isOtherPeerConnected(final int peer) {
        return NativeLibrary.devicePeerVectors(device.handle(), peer) >= 0;
    }

    @Override
    public Collection<Integer> getPeers() {
        final int[] ids = NativeLibrary.devicePeers(device.handle());
        final List<Integer> peers = new ArrayList<>(ids.length);
        for (final int id : ids) {
            peers.add(id);
        }
        return peers;
    }

    @Override
    public boolean knowsOtherPeerVectors() {
        return knowsOtherPeers();
    }

    @Override
    public int getVectors(final int peer) {
        if (peer >= 0 && peer == NativeLibrary.deviceOwnId(device.handle())) {
            return getOwnVectors();
        }
        final int vectors = NativeLibrary.devicePeerVectors(device.handle(), peer);
        if (vectors < 0) {
            throw new IvshmemException(Code.UNKNOWN_PEER,
                "no peer " + peer + " is connected; getPeers() lists those who are");
        }
        return vectors;
    }

    @Override
    public int getOwnVectors() {
        device.checkOpen();
        return receives ? NativeLibrary.deviceVectors(device.handle()) : 0;
    }

    @Override
    public boolean isVectorValid(final int vector) {
        return vector >= 0 && vector < getOwnVectors();
    }

    @Override
    public boolean supportsInterrupts() {
        device.checkOpen();
        return receives;
    }

    @Override
    public void sendInterrupt(final int peer, final int vector) {
        NativeLibrary.deviceRing(device.handle(), peer, vector);
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
        checkReceives();
        if (!receives) {
            throw notRung();
        }
        checkVector(vector);
        return dispatch.next(vector, this);
    }

    private boolean await(final int vector, final long nanos) throws InterruptedException {
        device.checkOpen();
        Vector known = dispatch.known(vector);
        if (known == null) {
            if (finding != null) {
                return pause(vector, nanos);
            }
            if (!receives) {
                throw notRung();
            }
            checkVector(vector);
            known = dispatch.vector(vector);
        }
        final boolean rung = known.await(nanos);
        // Also keeps the device reachable while this waits.
        device.checkOpen();
        return rung;
    }

    private boolean pause(final int vector, final long nanos) throws InterruptedException {
        if (vector < 0 || vector >= Dispatch.MAX_VECTORS) {
            throw new IvshmemException(Code.UNKNOWN_VECTOR,
                "no device has a vector " + vector + ": vectors are 0 to " + (Dispatch.MAX_VECTORS - 1));
        }
        return pauses.await(nanos);
    }

    @Override
    public void registerInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        Objects.requireNonNull(isr, "isr");
        checkReceives();
        if (receives) {
            checkVector(vector);
            dispatch.add(vector, isr, this);
        }
    }

    @Override
    public void removeInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        dispatch.remove(vector, isr);
    }

    @Override
    public void registerPeerConnectionListener(final PeerConnectionListener listener) {
        Objects.requireNonNull(listener, "listener");
        device.checkOpen();
        if (knowsPeers) {
            dispatch.add(listener, this);
        } else if (receives || finding != null) {
            // Says why.
            getPeers();
        }
    }

    @Override
    public void removePeerConnectionListener(final PeerConnectionListener listener) {
        dispatch.remove(listener);
    }

    /** Passes for files, too. */
    private void checkReceives() {
        device.checkOpen();
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
            "memory without a doorbell has no interrupts: connect to a server, or look at the memory");
    }
}
