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
 * <p>One native thread serves all clients and waits for none of them. It goes on until {@link #close()}, or until nobody
 * refers to the server any more. All methods may be called from any thread.
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
     * What a server is to be like.
     *
     * @param path of the socket to listen on; not null
     * @return options, all with defaults
     */
    public static Builder builder(final String path) {
        return new Builder(path);
    }

    /**
     * The socket's path.
     *
     * @return as it was given
     */
    public String getPath() {
        return path;
    }

    /**
     * Bytes of the shared memory.
     *
     * @return a power of two
     */
    public long getSize() {
        return size;
    }

    /**
     * Vectors of each client.
     *
     * @return 0 to 256
     */
    public int getVectors() {
        return vectors;
    }

    /**
     * Clients that are connected now.
     *
     * @return 0 to 65536
     * @throws IllegalStateException when the server was closed
     */
    public int getClients() {
        return NativeLibrary.serverClients(handle);
    }

    /**
     * Stops the server, removes its socket, and waits until that is done. Memory and clients that are connected go on
     * without it. Closing twice is closing once.
     *
     * @throws IvshmemException when the server had gone down before
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
         * @param bytes 4 KiB to 1 TiB; QEMU demands a power of two, so another size is rounded up to one
         * @return this
         */
        public Builder size(final long bytes) {
            this.size = bytes;
            return this;
        }

        /**
         * Sets how many vectors each client has; 1 unless set.
         *
         * @param count 0 to 256; without any, clients share the memory and hear of nobody
         * @return this
         */
        public Builder vectors(final int count) {
            this.vectors = count;
            return this;
        }

        /**
         * Sets how many clients there may be at the same time; 65536 unless set.
         *
         * @param count 1 to 65536; the limit of open files usually is a lower one
         * @return this
         */
        public Builder maxClients(final int count) {
            this.maxClients = count;
            return this;
        }

        /**
         * Sets the permissions of the socket, and of a memory file that is created; 0600 unless set. Who may write to the
         * socket may connect.
         *
         * @param permissions bits as for chmod, 0 to 0777, for example 0660
         * @return this
         * @throws IllegalArgumentException if there are other bits, as in 660 without the 0 in front
         */
        public Builder mode(final int permissions) {
            PlainOptions.checkMode(permissions);
            this.mode = permissions;
            return this;
        }

        /**
         * Uses a file as the memory, for instance in /dev/shm, which is created when it is missing. Unless set the memory
         * has no name and no client can change its size; a file can be cut short by whoever may write to it.
         *
         * @param file path of the file; not null
         * @return this
         */
        public Builder memoryFile(final String file) {
            this.memory = Objects.requireNonNull(file, "file");
            return this;
        }

        /**
         * Creates the memory, listens, and serves.
         *
         * @return the running server
         * @throws IvshmemException when an option is outside its range, another server uses the same socket or memory, or
         *     the system has no room
         */
        public IvshmemServer start() {
            // The native library has no negative numbers.
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
