package io.github.alexanderschuetz97.ivshmem4j.api;

import io.github.alexanderschuetz97.ivshmem4j.internal.Cleanup;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.Objects;

/**
 * An ivshmem server inside this program: virtual machines and programs connect to its socket, share its memory and
 * interrupt each other.
 *
 * <pre>{@code
 * try (IvshmemServer server = IvshmemServer.builder("/run/ivshmem.sock").size(1 << 20).vectors(2).start();
 *      IvshmemMemory memory = Ivshmem.doorbell(server.getPath())) {
 *     memory.sendInterrupt(memory.getOwnPeerID(), 0);
 * }
 * }</pre>
 *
 * <p>One native thread serves all clients; no client can block it. The server runs until {@link #close()}, or until this
 * object is no longer reachable. All methods may be called from any thread.
 */
public final class IvshmemServer implements AutoCloseable {

    private final String path;
    private final int vectors;
    private final long size;
    private final long handle;
    private final Runnable release;
    private volatile boolean closed;

    private IvshmemServer(final Builder builder, final long handle) {
        this.path = builder.path;
        this.vectors = builder.vectors;
        this.handle = handle;
        this.release = Cleanup.register(this, () -> NativeLibrary.serverStop(handle));
        this.size = NativeLibrary.serverSize(handle);
    }

    /**
     * Creates the options of a server.
     *
     * @param path path of the socket to listen on; not null
     * @return options with their defaults
     */
    public static Builder builder(final String path) {
        return new Builder(path);
    }

    /**
     * The path of the socket.
     *
     * @return the path as given
     */
    public String getPath() {
        return path;
    }

    /**
     * The size of the shared memory in bytes.
     *
     * @return a power of two
     */
    public long getSize() {
        return size;
    }

    /**
     * The number of vectors of each client.
     *
     * @return 0 to 256
     */
    public int getVectors() {
        return vectors;
    }

    /**
     * The number of connected clients.
     *
     * @return 0 to 65536
     * @throws IllegalStateException if the server is closed
     */
    public int getClients() {
        return NativeLibrary.serverClients(handle);
    }

    /**
     * Stops the server, removes its socket, and waits until both are done. Connected clients keep their memory and their
     * interrupts. A second call has no effect.
     *
     * @throws IvshmemException if the server had failed before
     */
    @Override
    public void close() {
        closed = true;
        release.run();
    }

    @Override
    public String toString() {
        return "IvshmemServer[path=" + path + ", size=" + size + ", vectors=" + vectors + (closed ? ", closed]" : ", running]");
    }

    /** Options of a server. */
    public static final class Builder {

        private final String path;
        private long size = 4 << 20;
        private int vectors = 1;
        private int maxClients = 65_536;
        private int mode = 0600;
        private String memory;

        private Builder(final String path) {
            this.path = Objects.requireNonNull(path, "path");
        }

        /**
         * Sets the size of the shared memory; 4 MiB unless set.
         *
         * @param bytes 4 KiB to 1 TiB; another size is rounded up to a power of two, which QEMU requires
         * @return this
         */
        public Builder size(final long bytes) {
            this.size = bytes;
            return this;
        }

        /**
         * Sets the number of vectors of each client; 1 unless set.
         *
         * @param count 0 to 256; with 0, clients share the memory but receive no list of peers
         * @return this
         */
        public Builder vectors(final int count) {
            this.vectors = count;
            return this;
        }

        /**
         * Sets the maximum number of clients at the same time; 65536 unless set.
         *
         * @param count 1 to 65536; the system's limit of open files is usually lower
         * @return this
         */
        public Builder maxClients(final int count) {
            this.maxClients = count;
            return this;
        }

        /**
         * Sets the permissions of the socket, and of the memory file if the server creates it; 0600 unless set. A user with
         * write permission on the socket may connect.
         *
         * @param permissions bits as for chmod, 0 to 0777, for example 0660
         * @return this
         * @throws IllegalArgumentException if other bits are set, as in 660 without the leading 0
         */
        public Builder mode(final int permissions) {
            PlainOptions.checkMode(permissions);
            this.mode = permissions;
            return this;
        }

        /**
         * Uses a file as the memory, for instance in /dev/shm, and creates it if it is missing. Unless set, the memory has
         * no name and no client can change its size; any user with write permission on a file can truncate it.
         *
         * @param file path of the file; not null
         * @return this
         */
        public Builder memoryFile(final String file) {
            this.memory = Objects.requireNonNull(file, "file");
            return this;
        }

        /**
         * Creates the memory and the socket, and starts the server.
         *
         * @return the running server
         * @throws IvshmemException if an option is outside its range, another server uses the same socket or memory, or the
         *     system has not enough space
         */
        public IvshmemServer start() {
            // The native library takes unsigned numbers.
            refuse(size < 0, "size " + size + ": a region has 4096 to 1099511627776 bytes");
            refuse(vectors < 0, vectors + " vectors: a client has 0 to 256; one vector is one kind of interrupt");
            refuse(maxClients < 0, "at most " + maxClients + " clients: the limit must be 1 to 65536");
            NativeLibrary.load();
            return new IvshmemServer(
                this, NativeLibrary.serverStart(path, size, vectors, maxClients, mode, memory));
        }

        private static void refuse(final boolean isWrong, final String why) {
            if (isWrong) {
                throw new IvshmemException(IvshmemException.Code.INVALID_ARGUMENT, why);
            }
        }
    }
}
