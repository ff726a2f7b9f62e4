package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.Cleanup;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import io.github.alexanderschuetz97.ivshmem4j.internal.memory.Memories;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A device's handle and memory. They are closed together: by the owner, through the memory, or when they are unreachable.
 */
final class NativeDevice {

    private final long handle;
    private final NativeMemory memory;
    private volatile boolean closing;
    private final AtomicBoolean closed = new AtomicBoolean();
    private final Runnable release;

    /**
     * Takes ownership of a device, even if the constructor fails.
     *
     * @param target the target string, for messages
     * @param onMemoryClosed closes the owner; through it the memory keeps the owner reachable
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

    /** True from the first refused access or call on: closing the memory calls this object last, and takes some time. */
    boolean isClosed() {
        return closing || !memory.isValid();
    }

    /** From now on, refused calls report the device as closed. */
    void beginClosing() {
        closing = true;
    }

    void checkOpen() {
        if (isClosed()) {
            throw new IllegalStateException("the device is closed");
        }
    }

    /** Wakes all threads that wait in the device or in its memory. */
    void close() {
        if (closed.compareAndSet(false, true)) {
            try {
                memory.close();
            } finally {
                release.run();
            }
        }
    }

    /** Refers only to the handle, as an object to which a cleanup refers never becomes unreachable. */
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
