package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * Is called when peers come and go, and when the server does.
 *
 * <p>Calls for one listener come one after another, in a thread of the library or of the executor that the device was
 * opened with. What it throws goes to the exception handler that the device was opened with.
 */
public interface PeerConnectionListener {

    /**
     * A peer has connected, or more of its vectors have become known.
     *
     * @param peer id of the peer, 0 to 65535
     * @param vectors number of vectors it is known to have so far; -1 if that is not known
     */
    void onConnect(int peer, int vectors);

    /**
     * A peer has disconnected. Its id may be given to another one.
     *
     * @param peer id of the peer, 0 to 65535
     */
    void onDisconnect(int peer);

    /**
     * The server has gone. Memory and the peers known so far go on working, and nothing is heard of new ones; a listener that
     * is registered at this moment may hear of those known so far afterwards. The exception handler that the device was opened
     * with gets the reason.
     */
    default void onServerGone() {}

    /**
     * The server is back and has the same memory: {@link DoorbellOptions#reconnect()} was asked for. This device has a new id,
     * and routines, waits and futures are for interrupts to that one now. Interrupts of the meantime may be lost: look at the
     * memory. The peers of before are told as disconnected and those who are there as connected, as they come back one by one.
     *
     * @param ownPeerID the id that this device has now, 0 to 65535; perhaps the one of before
     */
    default void onReconnect(final int ownPeerID) {}

    /**
     * A server is there again and has other memory, so this device does not go back to it. Its memory stays usable; close it and
     * open a new one to use the other. Only where {@link DoorbellOptions#reconnect()} was asked for.
     */
    default void onMemoryReplaced() {}
}
