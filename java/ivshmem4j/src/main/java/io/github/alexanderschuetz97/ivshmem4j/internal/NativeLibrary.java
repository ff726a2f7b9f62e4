package io.github.alexanderschuetz97.ivshmem4j.internal;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.internal.load.Loader;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * The functions of the native library.
 *
 * <p>Objects are handles: numbers that the native library looks up, so a handle that was freed, or never was one, is an
 * {@link IllegalStateException} and nothing worse. All methods may be called from any thread.
 */
public final class NativeLibrary {

    /** Raised with every change of a native method; crates/ivshmem-jni/src/lib.rs has the same number. */
    private static final int ABI = 5;

    private static volatile boolean loaded;

    private NativeLibrary() {}

    /**
     * Loads the library unless it is loaded. Whoever gets the first handle calls this before.
     *
     * @throws IvshmemException when it cannot be loaded or does not fit to this class; a later call tries again
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

    /** All kinds of errors that the native library knows, as {@link NativeFailure} gets them. */
    static native String[] errorKinds();

    /** Panics with a text: what a defect of the native library would do. For tests. */
    static native void panic(String text);

    // Devices.

    /**
     * Opens a file.
     *
     * @param options size, offset and length of a window, mode, user, group; and whether to create a new file, fault all
     *     pages in, use huge pages, read only. A negative number stands for what is not asked for
     */
    public static native long openPlain(String path, long[] options);

    /**
     * Connects to a server.
     *
     * @param options milliseconds, vectors; and whether to come back to a server that went, read only. A negative number stands
     *     for what is not asked for
     */
    public static native long connect(String path, long[] options);

    /** Opens what a string names. */
    public static native long open(String target);

    /**
     * The devices of a Linux guest, nine strings for each: address, size, revision, vectors or -1, driver, IOMMU group,
     * and why it cannot be mapped, ring, and be rung. Null stands for none.
     */
    public static native String[] pciDevices();

    /** The devices of a Windows guest, two strings for each: the path of the interface, and the size. */
    public static native String[] windowsDevices();

    /** A handle for the device's memory, to be freed for itself. */
    public static native long deviceMemory(long device);

    /** Why a device of a guest cannot be rung, or null. */
    public static native String deviceInterruptFinding(long device);

    /** Whether the device is told who else is there. */
    public static native boolean deviceKnowsPeers(long device);

    /** The device's own id, or -1. */
    public static native int deviceOwnId(long device);

    /** How many vectors the device has. */
    public static native int deviceVectors(long device);

    /** The ids of all others. */
    public static native int[] devicePeers(long device);

    /** How many vectors a peer has, or -1 when nobody has the id. */
    public static native int devicePeerVectors(long device, int peer);

    /** Raises an interrupt. */
    public static native void deviceRing(long device, int peer, int vector);

    /** What {@link #deviceWait} gives when the vector was rung. */
    public static final int RUNG = 1;

    /** What {@link #deviceWait} gives when the time was over. */
    public static final int TIMED_OUT = 0;

    /** What {@link #deviceWait} gives once the device is closed. */
    public static final int CLOSED = -1;

    /** Waits until the device's vector is rung; 0 nanoseconds look only, a negative time is for ever. */
    public static native int deviceWait(long device, int vector, long nanos);

    /**
     * Waits for news. Of one peer: its id, 1 if it has left (before it came back, perhaps), and its vectors or -1. Of the
     * server: -1, and the device's new id after it has come back, or -1 when it has come back with other memory. Empty once
     * the device is closed.
     *
     * @throws IvshmemException once each time the server has gone
     */
    public static native int[] devicePeerNews(long device);

    /** Makes everyone who is connected news once more. */
    public static native void devicePeersAgain(long device);

    /** Ends the device and wakes all who wait. */
    public static native void deviceClose(long device);

    /** Ends the handle. */
    public static native void deviceFree(long device);

    // Memory.

    /** Where the memory begins in this process. */
    public static native long memoryAddress(long memory);

    /** Bytes of the memory. */
    public static native long memorySize(long memory);

    /** Whether the memory may be written to. */
    public static native boolean memoryIsWriteable(long memory);

    /** Whether no other process can take pages of the memory away. */
    public static native boolean memoryIsSealed(long memory);

    /** The ordinal of the memory's {@code CacheMode}. */
    public static native int memoryCacheMode(long memory);

    /** Puts private zeroes in the place of the shared pages: addresses stay valid until the handle is freed. */
    public static native void memoryClose(long memory);

    /** Ends the handle, after which the address means nothing. */
    public static native void memoryFree(long memory);

    /**
     * A direct buffer over a part of the memory, good until the handle is freed: whoever asks sees to it that nobody
     * has the buffer by then.
     */
    public static native ByteBuffer memoryBuffer(long memory, long offset, long length);

    /** Writes bytes to the storage behind the memory and waits for that. */
    public static native void memorySync(long memory, long offset, long length);

    /** Adds at any alignment and gives the value before. */
    public static native byte getAndAdd(long memory, long offset, byte delta);

    /** Adds at any alignment and gives the value before. */
    public static native short getAndAdd(long memory, long offset, short delta);

    /** Adds at any alignment and gives the value before. */
    public static native int getAndAdd(long memory, long offset, int delta);

    /** Adds at any alignment and gives the value before. */
    public static native long getAndAdd(long memory, long offset, long delta);

    /** Exchanges at any alignment and gives the value before. */
    public static native byte getAndSet(long memory, long offset, byte value);

    /** Exchanges at any alignment and gives the value before. */
    public static native short getAndSet(long memory, long offset, short value);

    /** Exchanges at any alignment and gives the value before. */
    public static native int getAndSet(long memory, long offset, int value);

    /** Exchanges at any alignment and gives the value before. */
    public static native long getAndSet(long memory, long offset, long value);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, byte expect, byte update);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, short expect, short update);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, int expect, int update);

    /** Compares and exchanges at any alignment. */
    public static native boolean compareAndSet(long memory, long offset, long expect, long update);

    // By address, which whoever calls has checked: inside memory that can be written and stays mapped meanwhile. For numbers that
    // are not aligned, on processors that take any address.

    /** Adds and gives the value before. */
    public static native int getAndAddAt(long address, int delta);

    /** Adds and gives the value before. */
    public static native long getAndAddAt(long address, long delta);

    /** Exchanges and gives the value before. */
    public static native int getAndSetAt(long address, int value);

    /** Exchanges and gives the value before. */
    public static native long getAndSetAt(long address, long value);

    /** Compares and exchanges. */
    public static native boolean compareAndSetAt(long address, int expect, int update);

    /** Compares and exchanges. */
    public static native boolean compareAndSetAt(long address, long expect, long update);

    /** Compares and exchanges 16 bytes, 16-aligned: 16 expected ones, then 16 new ones. */
    public static native boolean compareAndSet16(long memory, long offset, byte[] data);

    /** Whether the processor can do that. */
    public static native boolean supports16ByteCompareAndSet();

    // Servers.

    /** Starts a server; a null memory stands for memory without a name. */
    public static native long serverStart(
        String path, long size, int vectors, int clients, int mode, String memory);

    /** Bytes of the server's memory. */
    public static native long serverSize(long server);

    /** How many clients are connected. */
    public static native int serverClients(long server);

    /** Stops the server, waits for its end, and ends the handle. */
    public static native void serverStop(long server);
}
