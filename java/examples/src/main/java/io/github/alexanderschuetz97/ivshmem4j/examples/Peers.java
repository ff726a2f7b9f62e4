package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.io.IOException;

/**
 * Peers: prints the peers of a server, and those that connect and disconnect, until Enter is pressed. Only clients of a
 * server receive this information, not virtual machines.
 *
 * <pre>
 * ivshmem-server -F -S /tmp/s -l 1M -n 2 &amp;
 * java -cp ivshmem4j.jar Peers.java doorbell:/tmp/s
 * </pre>
 */
public final class Peers {

    private Peers() {}

    /**
     * Runs the program.
     *
     * @param arguments the target string
     * @throws IOException when the input cannot be read
     */
    public static void main(final String[] arguments) throws IOException {
        try (IvshmemMemory device = Ivshmem.open(arguments[0])) {
            System.out.println("I am peer " + device.getOwnPeerID());
            // A new listener is called at once for each connected peer.
            device.registerPeerConnectionListener(new PeerConnectionListener() {
                @Override
                public void onConnect(final int peer, final int vectors) {
                    // Called again for each vector that the server announces.
                    System.out.println("peer " + peer + " has " + vectors + " vectors");
                }

                @Override
                public void onDisconnect(final int peer) {
                    System.out.println("peer " + peer + " has left");
                }
            });
            System.in.read();
        }
    }
}
