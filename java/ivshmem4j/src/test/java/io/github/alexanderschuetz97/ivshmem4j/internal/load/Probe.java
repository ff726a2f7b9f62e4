package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/** A program that uses the library on its class path, or in each jar of its arguments, and prints the result. */
public final class Probe {

    private Probe() {}

    /** Prints the result of {@link Use#use} for each jar. */
    public static void main(final String[] jars) throws Exception {
        if (jars.length == 0) {
            System.out.println(Use.use());
        }
        final Path self = Paths.get(Probe.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        for (final String jar : jars) {
            final URL[] path = {Paths.get(jar).toUri().toURL(), self.toUri().toURL()};
            // Never closed, as the classes that it has loaded stay in use.
            final URLClassLoader loader = new URLClassLoader(path, ClassLoader.getSystemClassLoader().getParent());
            System.out.println(loader.loadClass(Probe.class.getName() + "$Use").getMethod("use").invoke(null));
        }
    }

    /** A separate class, as the program may have no library on its class path. */
    public static final class Use {

        private Use() {}

        /**
         * Opens memory with a view, and a client with its server, and does not close the memory. Returns a result like
         * {@link #use}.
         */
        public static String forget() throws Exception {
            final Path file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-probe", null);
            final Path socket = Paths.get(file + ".sock");
            try (IvshmemServer server = IvshmemServer.builder(socket.toString()).start();
                IvshmemMemory client = Ivshmem.doorbell(server.getPath())) {
                // This client receives the loss of the server.
                Ivshmem.doorbell(server.getPath(), (thread, e) -> { });
                client.registerInterruptServiceRoutine(0, vector -> { });
                client.sendInterrupt(client.getOwnPeerID(), 0);
                client.waitInterrupt(0);
                final IvshmemMemory memory = Ivshmem.plain(file.toString(), 64);
                memory.getMemory().slice(0, 8).asByteBuffer(0, 8).putInt(0, 5);
                return "works with " + memory.getMemory().size() + " bytes";
            } finally {
                Files.delete(file);
            }
        }

        /** Opens memory and closes it. Returns "works", or the code and the message. */
        public static String use() throws Exception {
            final Path file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-probe", null);
            try (IvshmemMemory memory = Ivshmem.plain(file.toString(), 64)) {
                return "works with " + memory.getMemory().size() + " bytes";
            } catch (final IvshmemException e) {
                return e.getCode() + ": " + e.getMessage();
            } finally {
                Files.delete(file);
            }
        }
    }
}
