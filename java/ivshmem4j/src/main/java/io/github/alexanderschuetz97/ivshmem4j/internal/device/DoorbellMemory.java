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
import java.util.concurrent.Executor;

/** Memory and interrupts of a client of a server. */
public final class DoorbellMemory implements IvshmemMemory {

    private final NativeDevice device;
    private final Dispatch dispatch;

    /**
     * Takes over a device.
     *
     * @param handle of the device
     * @param executor for callbacks, or null for threads of this library
     * @param handler for what callbacks throw, or null to print it
     */
    public DoorbellMemory(final long handle, final Executor executor, final UncaughtExceptionHandler handler) {
        device = new NativeDevice(handle, this::close);
        try {
            dispatch = new Dispatch(handle, executor, new Handler(handler));
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
        // Null while the constructor fails.
        if (dispatch != null) {
            dispatch.close();
        }
        device.close();
    }

    @Override
    public boolean isClosed() {
        return device.isClosed();
    }

    @Override
    public boolean hasOwnPeerID() {
        device.checkOpen();
        return true;
    }

    @Override
    public int getOwnPeerID() {
        return NativeLibrary.deviceOwnId(device.handle());
    }

    @Override
    public boolean knowsOtherPeers() {
        device.checkOpen();
        return true;
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
        device.checkOpen();
        return true;
    }

    @Override
    public int getVectors(final int peer) {
        if (peer == getOwnPeerID()) {
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
        return NativeLibrary.deviceVectors(device.handle());
    }

    @Override
    public boolean isVectorValid(final int vector) {
        return vector >= 0 && vector < getOwnVectors();
    }

    @Override
    public boolean supportsInterrupts() {
        device.checkOpen();
        return true;
    }

    @Override
    public void sendInterrupt(final int peer, final int vector) {
        NativeLibrary.deviceRing(device.handle(), peer, vector);
    }

    @Override
    public void registerInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        Objects.requireNonNull(isr, "isr");
        if (!isVectorValid(vector)) {
            throw new IvshmemException(Code.UNKNOWN_VECTOR,
                "this device has no vector " + vector + ": it has " + getOwnVectors() + ", counted from 0");
        }
        dispatch.add(vector, isr, this);
    }

    @Override
    public void removeInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        dispatch.remove(vector, isr);
    }

    @Override
    public void registerPeerConnectionListener(final PeerConnectionListener listener) {
        dispatch.add(Objects.requireNonNull(listener, "listener"), this);
    }

    @Override
    public void removePeerConnectionListener(final PeerConnectionListener listener) {
        dispatch.remove(listener);
    }
}
