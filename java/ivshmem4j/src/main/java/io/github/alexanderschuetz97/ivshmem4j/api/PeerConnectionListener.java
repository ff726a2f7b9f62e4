package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * Is called when peers come and go.
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
}
