package io.github.alexanderschuetz97.ivshmem4j.internal;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.internal.load.Loader;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * The functions of the native library.
 *
 * <p>Objects are handles: numbers that the native library looks up. A freed or invalid handle therefore causes only an
 * {@link IllegalStateException}. All methods may be called from any thread.
 */
public final class NativeLibrary {

    /** Incremented with every change of a native method; crates/ivshmem-jni/src/lib.rs has the same number. */
    private static final int ABI = 7;

    private static volatile boolean loaded;

    private NativeLibrary() {}

    /**
     * Loads the library unless it is loaded. Must be called before the first handle is created.
     *
     * @throws IvshmemException if it cannot be loaded or does not match this class; a later call tries again
     */
    public static void load() {
        if (!loaded) {
            loadOnce();
        }
    }

    private static synchronized void loadOnce() {
        if (loaded) {
            return;
        }
        final Path file = Loader.load();
        final int abi;
        try {
            abi = abi();
        } catch (final UnsatisfiedLinkError e) {
            throw new IvshmemException(Code.UNSUPPORTED, file + " is not the native library of Ivshmem4j", e);
        }
        if (abi != ABI) {
            throw new IvshmemException(Code.UNSUPPORTED, "the native library " + file + " has version " + abi
                + " of the native interface and this jar needs version " + ABI + "; use both from the same release");
        }
        register();
        loaded = true;
    }

    private static native int abi();

    private static native void register();

    /** All kinds of errors of the native library, in the spelling that {@link NativeFailure} takes. */
    static native String[] errorKinds();

    /** Panics with a text, as a defect of the native library would. For tests. */
    static native void panic(String text);

    // Devices.

    /**
     * Opens a file.
     *
     * @param options size, offset and length of a window, mode, user, group; and whether to create a new file, to prefault
     *     all pages, to use huge pages, to open read-only. A negative number means that an option is not set
     */
    public static native long openPlain(String path, long[] options);

    /**
     * Connects to a server.
     *
     * @param options timeout in milliseconds, vectors; and whether to reconnect, to open read-only. A negative number means
     *     that an option is not set
     */
    public static native long connect(String path, long[] options);

    /** Opens the target that a string names. */
    public static native long open(String target);

    /**
     * The devices of a Linux guest, nine strings for each: address, size, revision, vectors or -1, driver, IOMMU group, and
     * the findings that prevent mapping, sending and receiving. Null means none.
     */
    public static native String[] pciDevices();

    /** The devices of a Windows guest, two strings for each: the path of the interface, and the size. */
    public static native String[] windowsDevices();

    /** A handle for the device's memory, which must be freed separately. */
    public static native long deviceMemory(long device);

    /** The finding that prevents a guest's device from receiving interrupts, or null. */
    public static native String deviceInterruptFinding(long device);

    /** Whether the device receives a list of peers. */
    public static native boolean deviceKnowsPeers(long device);

    /** The device's own id, or -1. */
    public static native int deviceOwnId(long device);

    /** The number of vectors of the device. */
    public static native int deviceVectors(long device);

    /** The ids of all peers. */
    public static native int[] devicePeers(long device);

    /** The number of vectors of a peer, or -1 if no peer has the id. */
    public static native int devicePeerVectors(long device, int peer);

    /** Sends an interrupt. */
    public static native void deviceRing(long device, int peer, int vector);

    /** The result of {@link #deviceWait} after the timeout. */
    public static final long TIMED_OUT = 0;

    /** The result of {@link #deviceWait} once the device is closed. */
    public static final long CLOSED = -1;

    /** The result of {@link #deviceWait} after a cancellation. */
    public static final long CANCELLED = -2;

    /**
     * Waits for an interrupt of a vector after the first {@code seen} ones; with 0 nanoseconds only checks for one, with a
     * negative time waits without a limit.
     *
     * @param cancels the wait ends after more than so many calls of {@link #deviceCancel}
     * @param receives whether the interrupt counts as received
     * @return the number of interrupts so far, or one of the results above
     */
    public static native long deviceWait(
        long device, int vector, long seen, long cancels, boolean receives, long nanos);

    /** Has all waits for a vector count this cancellation. It never blocks. */
    public static native void deviceCancel(long device, int vector);

    /** The number of interrupts of a vector that count as received; no receiver has got later ones. */
    public static native long deviceReceived(long device, int vector);

    /** Marks all interrupts of a vector so far as received; returns how many were before. */
    public static native long deviceReceive(long device, int vector);

    /** Marks only the first interrupts of a vector as received. */
    public static native void deviceGiveBack(long device, int vector, long position);

    /** The first number of an event: a peer is connected. Its id and its vectors follow. */
    public static final int PEER_CONNECTED = 0;

    /** The first number of an event: a peer has disconnected. Its id follows. */
    public static final int PEER_DISCONNECTED = 1;

    /** The first number of a listener's event: the connection to the server is lost. */
    public static final int SERVER_GONE = 2;

    /** The first number of an event: the device is connected to a server again. Its new id follows. */
    public static final int RECONNECTED = 3;

    /** The first number of an event: the server has other memory. */
    public static final int MEMORY_REPLACED = 4;

    /** The first number of an event: the server has added vectors of this device. */
    public static final int VECTORS_ADDED = 5;

    /** The first number of an event: {@link #deviceListen} has added a listener. */
    public static final int LISTENER_ADDED = 6;

    /**
     * Waits for an event of the peers or of the server, for the one thread that passes events on to the listeners.
     *
     * @return the event, as above; empty once the device is closed
     * @throws IvshmemException in place of {@link #SERVER_GONE}, with the reason
     */
    public static native int[] devicePeerNews(long device);

    /** Adds the event that {@link #devicePeerNews} has returned or thrown last to the queues of the listeners. */
    public static native void devicePassOn(long device);

    /** Adds a listener with a number of the caller's choice. Its queue begins with the connected peers. */
    public static native void deviceListen(long device, int listener);

    /** Removes a listener; does nothing once the device is closed. */
    public static native void deviceUnlisten(long device, int listener);

    /**
     * The next event in the queue of a listener, as above; empty if there is none. The queue merges changes of one peer, and
     * restarts of the server.
     */
    public static native int[] deviceListenerNews(long device, int listener);

    /** Closes the device and wakes all waiting threads. */
    public static native void deviceClose(long device);

    /** Frees the handle. */
    public static native void deviceFree(long device);

    // Memory.

    /** The address of the memory in this process. */
    public static native long memoryAddress(long memory);

    /** The size of the memory in bytes. */
    public static native long memorySize(long memory);

    /** Whether the memory is writable. */
    public static native boolean memoryIsWriteable(long memory);

    /** Whether the memory is sealed: no other process can remove pages from it. */
    public static native boolean memoryIsSealed(long memory);

    /** The ordinal of the memory's {@code CacheMode}. */
    public static native int memoryCacheMode(long memory);

    /** Replaces the shared pages by private pages of zeroes; addresses stay valid until the handle is freed. */
    public static native void memoryClose(long memory);

    /** Frees the handle. The address is invalid afterwards. */
    public static native void memoryFree(long memory);

    /**
     * A direct buffer over a part of the memory, valid until the handle is freed. The caller ensures that the buffer is
     * unreachable by then.
     */
    public static native ByteBuffer memoryBuffer(long memory, long offset, long length);

    /** Writes bytes to the storage behind the memory and waits until that is done. */
    public static native void memorySync(long memory, long offset, long length);

    /** Adds at any alignment and returns the previous value. */
    public static native byte getAndAdd(long memory, long offset, byte delta);

    /** Adds at any alignment and returns the previous value. */
    public static native short getAndAdd(long memory, long offset, short delta);

    /** Adds at any alignment and returns the previous value. */
    public static native int getAndAdd(long memory, long offset, int delta);

    /** Adds at any alignment and returns the previous value. */
    public static native long getAndAdd(long memory, long offset, long delta);

    /** Exchanges at any alignment and returns the previous value. */
    public static native byte getAndSet(long memory, long offset, byte value);

    /** Exchanges at any alignment and returns the previous value. */
    public static native short getAndSet(long memory, long offset, short value);

    /** Exchanges at any alignment and returns the previous value. */
    public static native int getAndSet(long memory, long offset, int value);

    /** Exchanges at any alignment and returns the previous value. */
    public static native long getAndSet(long memory, long offset, long value);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, byte expect, byte update);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, short expect, short update);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, int expect, int update);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, long expect, long update);

    // The caller has checked that the address is inside writable memory that stays mapped during the call. For unaligned
    // numbers, on processors that support atomic operations at any address.

    /** Adds and returns the previous value. */
    public static native int getAndAddAt(long address, int delta);

    /** Adds and returns the previous value. */
    public static native long getAndAddAt(long address, long delta);

    /** Exchanges and returns the previous value. */
    public static native int getAndSetAt(long address, int value);

    /** Exchanges and returns the previous value. */
    public static native long getAndSetAt(long address, long value);

    /** Compares and exchanges. */
    public static native boolean compareAndSetAt(long address, int expect, int update);

    /** Compares and exchanges. */
    public static native boolean compareAndSetAt(long address, long expect, long update);

    /** Compares and exchanges 16 bytes, 16-aligned: the 16 expected bytes, then the 16 new bytes. */
    public static native boolean compareAndSet16(long memory, long offset, byte[] data);

    /** Whether the processor supports {@link #compareAndSet16}. */
    public static native boolean supports16ByteCompareAndSet();

    // Servers.

    /** Starts a server. With null as the memory, the memory has no name. */
    public static native long serverStart(
        String path, long size, int vectors, int clients, int mode, String memory);

    /** The size of the server's memory in bytes. */
    public static native long serverSize(long server);

    /** The number of connected clients. */
    public static native int serverClients(long server);

    /** Stops the server, waits for its end, and frees the handle. */
    public static native void serverStop(long server);
}
