package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.Cleanup;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import io.github.alexanderschuetz97.ivshmem4j.internal.memory.Memories;
import java.util.concurrent.atomic.AtomicBoolean;

/** A device's handle and memory, closed together: by the owner, through the memory, or when nobody can reach them. */
final class NativeDevice {

    private final long handle;
    private final NativeMemory memory;
    private volatile boolean closing;
    private final AtomicBoolean closed = new AtomicBoolean();
    private final Runnable release;

    /**
     * Takes over a device, also when this fails.
     *
     * @param target what was opened, for messages
     * @param onMemoryClosed what closes the owner; the memory keeps the owner reachable through it
     */
    NativeDevice(final long handle, final String target, final Runnable onMemoryClosed) {
        this.handle = handle;
        release = Cleanup.register(this, new Release(handle));
        try {
            final long mapping = NativeLibrary.deviceMemory(handle);
            memory = Memories.of(
                target,
                mapping,
                NativeLibrary.memoryAddress(mapping),
                NativeLibrary.memorySize(mapping),
                NativeLibrary.memoryIsWriteable(mapping),
                NativeLibrary.memoryIsSealed(mapping),
                CacheMode.values()[NativeLibrary.memoryCacheMode(mapping)],
                onMemoryClosed);
        } catch (final RuntimeException | Error e) {
            release.run();
            throw e;
        }
    }

    long handle() {
        return handle;
    }

    NativeMemory memory() {
        return memory;
    }

    /** From the moment on in which an access or a call is refused: closing the memory comes here last, and takes its time. */
    boolean isClosed() {
        return closing || !memory.isValid();
    }

    /** What this device refuses from now on it refuses as closed. */
    void beginClosing() {
        closing = true;
    }

    void checkOpen() {
        if (isClosed()) {
            throw new IllegalStateException("the device is closed");
        }
    }

    /** Wakes whoever waits in the device or in its memory. */
    void close() {
        if (closed.compareAndSet(false, true)) {
            try {
                memory.close();
            } finally {
                release.run();
            }
        }
    }

    /** Refers to nothing but the handle: what a cleanup refers to is never unreachable. */
    private static final class Release implements Runnable {

        private final long handle;

        Release(final long handle) {
            this.handle = handle;
        }

        @Override
        public void run() {
            try {
                NativeLibrary.deviceClose(handle);
            } finally {
                NativeLibrary.deviceFree(handle);
            }
        }
    }
}
