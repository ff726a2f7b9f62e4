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
    /** The least time that a server is given to greet, in milliseconds: 1.2 took a grace of 0 as well. */
    private static final long MIN_GRACE = 1000;

    // Places in the values, in the order in which the native library takes them.
    private static final int GRACE = 0;
    private static final int VECTORS = 1;
    private static final int RECONNECT = 2;
    private static final int READ_ONLY = 3;
    private static final int COUNT = 4;

    /** Stands for what was not set. */
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
     * Waits up to 5 seconds for the server, takes as many vectors as it gives, and stays alone when it goes.
     *
     * @return options with nothing set
     */
    public static DoorbellOptions defaults() {
        return DEFAULTS;
    }

    /**
     * Sets how long a server may take to introduce itself; 5000 unless set. Connecting takes no longer than the server does.
     *
     * @param millis milliseconds, from 0 on; less than 1000 counts as 1000
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
     * Demands so many own vectors: opening returns when they are there, and fails with the code
     * {@link IvshmemException.Code#TIMED_OUT} if they are not within the grace. With 0 it does not wait for any, as it else does
     * for a second in case the server is slow.
     *
     * @param count 0 to 256
     * @return new options
     * @throws IllegalArgumentException if there cannot be so many
     */
    public DoorbellOptions vectors(final int count) {
        if (count < 0 || count > MAX_VECTORS) {
            throw new IllegalArgumentException(count + " vectors; there are 0 to " + MAX_VECTORS);
        }
        return new DoorbellOptions(this, VECTORS, count);
    }

    /**
     * Comes back when the server has gone and one with the same memory listens at the same path again: the memory has a name
     * then, as {@link IvshmemServer.Builder#memoryFile} gives it one. Then the id of this device and the peers are new.
     * {@link PeerConnectionListener#onReconnect} tells it, and {@link PeerConnectionListener#onMemoryReplaced} that a server with
     * other memory is there, to which this device does not go.
     *
     * <p>The loss of the server ends no wait and no future, and removes no routine: the peers of before can ring this device
     * until it has come back. From then on they are for the vectors of the new id. Where the new server gives fewer vectors,
     * those who wait for one that is missing get an {@link IvshmemException} with the code
     * {@link IvshmemException.Code#UNKNOWN_VECTOR}, futures are completed with it, and the exception handler gets it once for each
     * vector with routines or futures; the routines stay, and are called again after coming back to a server that has the vector.
     * Interrupts from the loss to the return may be lost: look at the memory. Without this option waits, futures and routines
     * stay as well, until a peer of before rings or the device is closed.
     *
     * <p>The time between two tries grows from a millisecond to a tenth of a second.
     *
     * @return new options
     */
    public DoorbellOptions reconnect() {
        return new DoorbellOptions(this, RECONNECT, YES);
    }

    /**
     * Opens the memory for reading only: every write is an {@link UnsupportedOperationException}. Interrupts work as ever.
     *
     * @return new options
     */
    public DoorbellOptions readOnly() {
        return new DoorbellOptions(this, READ_ONLY, YES);
    }

    /** Connects so. */
    IvshmemMemory connect(final String path, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.doorbell(path, values, executor, handler);
    }
}
