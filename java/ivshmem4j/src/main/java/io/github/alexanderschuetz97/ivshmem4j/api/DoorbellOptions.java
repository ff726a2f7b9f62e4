package io.github.alexanderschuetz97.ivshmem4j.api;

import io.github.alexanderschuetz97.ivshmem4j.internal.device.Devices;
import java.lang.Thread.UncaughtExceptionHandler;
import java.util.Arrays;
import java.util.concurrent.Executor;

/**
 * How {@link Ivshmem#doorbell(String, DoorbellOptions)} connects to a server. Objects are immutable: each method returns new
 * options.
 *
 * <pre>{@code
 * DoorbellOptions options = DoorbellOptions.defaults().reconnect();
 * try (IvshmemMemory device = Ivshmem.doorbell("/run/ivshmem.sock", options)) {
 *     Semaphore look = new Semaphore(0);
 *     device.registerInterruptServiceRoutine(0, vector -> look.release());
 *     device.registerPeerConnectionListener(new PeerConnectionListener() {
 *         @Override
 *         public void onConnect(int peer, int vectors) {
 *             device.sendInterrupt(peer, 0); // also those who came back
 *         }
 *
 *         @Override
 *         public void onDisconnect(int peer) {}
 *
 *         @Override
 *         public void onReconnect(int ownPeerID) {
 *             look.release(); // interrupts of the meantime may be lost
 *         }
 *     });
 *     look.acquire();
 * }
 * }</pre>
 */
public final class DoorbellOptions {

    private static final int MAX_VECTORS = 256;
    private static final long DEFAULT_GRACE = 5000;
    /** The shortest timeout of the handshake in milliseconds. A smaller grace is raised to it, as version 1.2 accepted 0. */
    private static final long MIN_GRACE = 1000;

    // Indexes into the values, in the order that the native library expects.
    private static final int GRACE = 0;
    private static final int VECTORS = 1;
    private static final int RECONNECT = 2;
    private static final int READ_ONLY = 3;
    private static final int COUNT = 4;

    /** The value of an option that is not set. */
    private static final long NONE = -1;
    private static final long YES = 1;

    private static final DoorbellOptions DEFAULTS = new DoorbellOptions();

    private final long[] values;

    private DoorbellOptions() {
        values = new long[COUNT];
        Arrays.fill(values, NONE);
        values[GRACE] = DEFAULT_GRACE;
    }

    private DoorbellOptions(final DoorbellOptions others, final int place, final long value) {
        values = others.values.clone();
        values[place] = value;
    }

    /**
     * Options with a handshake timeout of 5 seconds, as many vectors as the server gives, and no reconnection.
     *
     * @return options with nothing set
     */
    public static DoorbellOptions defaults() {
        return DEFAULTS;
    }

    /**
     * Sets the timeout of the handshake with the server; 5000 milliseconds unless set. Connecting ends as soon as the
     * handshake is complete.
     *
     * @param millis timeout in milliseconds, 0 or more; less than 1000 counts as 1000
     * @return new options
     * @throws IllegalArgumentException if the time is negative
     */
    public DoorbellOptions grace(final long millis) {
        if (millis < 0) {
            throw new IllegalArgumentException("a grace of " + millis + " milliseconds; a time is 0 or more");
        }
        return new DoorbellOptions(this, GRACE, Math.max(millis, MIN_GRACE));
    }

    /**
     * Sets the number of vectors that this device needs. Opening waits until the server has announced that many, and fails
     * with the code {@link IvshmemException.Code#TIMED_OUT} if it does not within the grace. With 0, opening does not wait
     * for vectors. Unless set, a device with no vectors, or with fewer than a peer, waits until the server has sent nothing
     * for one second, as a slow server may still announce more.
     *
     * @param count 0 to 256
     * @return new options
     * @throws IllegalArgumentException if the number is outside this range
     */
    public DoorbellOptions vectors(final int count) {
        if (count < 0 || count > MAX_VECTORS) {
            throw new IllegalArgumentException(count + " vectors; there are 0 to " + MAX_VECTORS);
        }
        return new DoorbellOptions(this, VECTORS, count);
    }

    /**
     * Reconnects after the server has gone, once a server with the same memory listens at the same path. The memory must
     * have a name for this, such as a file set with {@link IvshmemServer.Builder#memoryFile}. After reconnecting, the id of
     * this device and the peers are new; {@link PeerConnectionListener#onReconnect} reports it. The device does not connect
     * to a server with other memory; {@link PeerConnectionListener#onMemoryReplaced} reports such a server.
     *
     * <p>The loss of the server ends no wait and no future, and removes no routine: the previous peers can ring this device
     * until it has reconnected. From then on, waits, futures and routines belong to the vectors of the new id. If the new
     * server gives fewer vectors, a wait for a missing vector throws an {@link IvshmemException} with the code
     * {@link IvshmemException.Code#UNKNOWN_VECTOR}, futures complete with this exception, and the exception handler receives
     * it once for each vector with routines or futures. The routines stay registered, and are called again as soon as the
     * device has the vector: when the server adds it, or after the device has reconnected to a server that has it. Interrupts
     * sent between the loss and the reconnection may be lost: read the memory afterwards. Without this option, waits, futures
     * and routines also stay until a previous peer rings or the device is closed.
     *
     * <p>The time between two attempts grows from 1 to 100 milliseconds. If the server gives fewer vectors than before, the
     * device waits up to one second for more before it has reconnected. If {@link #vectors} is set, it has reconnected
     * once it has that many, and not before.
     *
     * @return new options
     */
    public DoorbellOptions reconnect() {
        return new DoorbellOptions(this, RECONNECT, YES);
    }

    /**
     * Opens the memory read-only: every write throws {@link UnsupportedOperationException}. Interrupts work as usual.
     *
     * @return new options
     */
    public DoorbellOptions readOnly() {
        return new DoorbellOptions(this, READ_ONLY, YES);
    }

    /** Connects with these options. */
    IvshmemMemory connect(final String path, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.doorbell(path, values, executor, handler);
    }
}
