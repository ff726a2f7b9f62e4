package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.util.Collection;
import java.util.Objects;

/** Memory without a server: nobody has an id, and there are no interrupts. */
public final class PlainMemory implements IvshmemMemory {

    private final NativeDevice device;

    /**
     * Takes over a device.
     *
     * @param handle of the device
     */
    public PlainMemory(final long handle) {
        device = new NativeDevice(handle, this::close);
    }

    @Override
    public NativeMemory getMemory() {
        return device.memory();
    }

    @Override
    public void close() {
        device.close();
    }

    @Override
    public boolean isClosed() {
        return device.isClosed();
    }

    @Override
    public boolean hasOwnPeerID() {
        device.checkOpen();
        return false;
    }

    @Override
    public int getOwnPeerID() {
        throw without("no peer id");
    }

    @Override
    public boolean knowsOtherPeers() {
        device.checkOpen();
        return false;
    }

    @Override
    public boolean isOtherPeerConnected(final int peer) {
        throw without("no peers");
    }

    @Override
    public Collection<Integer> getPeers() {
        throw without("no peers");
    }

    @Override
    public boolean knowsOtherPeerVectors() {
        device.checkOpen();
        return false;
    }

    @Override
    public int getVectors(final int peer) {
        throw without("no peers");
    }

    @Override
    public int getOwnVectors() {
        device.checkOpen();
        return 0;
    }

    @Override
    public boolean isVectorValid(final int vector) {
        device.checkOpen();
        return false;
    }

    @Override
    public boolean supportsInterrupts() {
        device.checkOpen();
        return false;
    }

    @Override
    public void sendInterrupt(final int peer, final int vector) {
        throw without("no interrupts");
    }

    @Override
    public void registerInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        // It would never be called, as no interrupt ever comes.
        Objects.requireNonNull(isr, "isr");
        device.checkOpen();
    }

    @Override
    public void removeInterruptServiceRoutine(final int vector, final InterruptServiceRoutine isr) {
        // None is registered.
    }

    @Override
    public void registerPeerConnectionListener(final PeerConnectionListener listener) {
        // It would never be called, as no peer ever comes.
        Objects.requireNonNull(listener, "listener");
        device.checkOpen();
    }

    @Override
    public void removePeerConnectionListener(final PeerConnectionListener listener) {
        // None is registered.
    }

    private UnsupportedOperationException without(final String what) {
        device.checkOpen();
        return new UnsupportedOperationException("plain memory has " + what + "; connect to a server for that");
    }
}
