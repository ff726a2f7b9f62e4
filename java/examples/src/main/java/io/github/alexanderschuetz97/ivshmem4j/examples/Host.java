package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * A server inside a program: QEMU and other programs connect to it as to {@code ivshmem-server}. This program writes a
 * greeting into the memory and serves until Enter is pressed.
 *
 * <pre>
 * java -cp ivshmem4j.jar Host.java /tmp/s
 * java -cp ivshmem4j.jar Guest.java doorbell:/tmp/s
 * qemu-system-x86_64 -chardev socket,path=/tmp/s,id=s -device ivshmem-doorbell,vectors=2,chardev=s ...
 * </pre>
 */
public final class Host {

    private Host() {}

    /**
     * Runs the program.
     *
     * @param arguments the path of the socket
     * @throws IOException if the input cannot be read
     */
    public static void main(final String[] arguments) throws IOException {
        try (IvshmemServer server = IvshmemServer.builder(arguments[0]).size(1 << 20).vectors(2).start();
            // A program on the host is a client like any other.
            IvshmemMemory device = Ivshmem.doorbell(server.getPath())) {
            device.getMemory().write(0, "served by Java".getBytes(StandardCharsets.UTF_8));
            System.out.println(server.getSize() + " bytes and " + server.getVectors() + " vectors at " + server.getPath());
            System.in.read();
            System.out.println(server.getClients() + " clients at the end");
        }
    }
}
