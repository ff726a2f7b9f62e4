package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * A callback for peers that connect and disconnect, and for the loss and return of the server.
 *
 * <p>Calls for one listener come one after another, in a thread of the library or of the executor that the device was
 * opened with. An exception that the listener throws goes to the exception handler that the device was opened with.
 */
public interface PeerConnectionListener {

    /**
     * A peer has connected, or the server has announced more of its vectors.
     *
     * @param peer id of the peer, 0 to 65535
     * @param vectors number of vectors of the peer announced so far; -1 if it is unknown
     */
    void onConnect(int peer, int vectors);

    /**
     * A peer has disconnected. The server may give its id to another peer.
     *
     * @param peer id of the peer, 0 to 65535
     */
    void onDisconnect(int peer);

    /**
     * The server has gone. The memory and interrupts to and from the peers known so far continue to work; new peers are not
     * reported. A listener that is registered at this moment may receive the calls for the known peers after this one. The
     * exception handler that the device was opened with receives the reason.
     */
    default void onServerGone() {}

    /**
     * The device has reconnected to a server with the same memory. Only called with {@link DoorbellOptions#reconnect()}.
     * This device has a new id, and routines, waits and futures now receive the interrupts to that id. Interrupts sent in
     * the meantime may be lost: read the memory. The previous peers are reported as disconnected, and the present peers as
     * connected, one by one as they reconnect.
     *
     * @param ownPeerID the new id of this device, 0 to 65535; it may equal the previous one
     */
    default void onReconnect(final int ownPeerID) {}

    /**
     * A server with other memory listens at the path, so this device does not reconnect to it. The memory of this device
     * stays usable; to use the other memory, close this device and open a new one. Only called with
     * {@link DoorbellOptions#reconnect()}.
     */
    default void onMemoryReplaced() {}
}
