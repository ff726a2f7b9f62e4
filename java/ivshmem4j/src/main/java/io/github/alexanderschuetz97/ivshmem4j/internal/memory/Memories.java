package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;

/** Creates memory for mappings. */
public final class Memories {

    /**
     * The system property with which tests select an implementation: {@code unsafe}, {@code foreign}, or {@code guarded} for
     * the implementation that Windows needs without {@code foreign}.
     */
    private static final String PROPERTY = "ivshmem4j.memory";

    private Memories() {}

    /**
     * Takes ownership of a mapping. The caller must not free it afterwards.
     *
     * @param target the target string, for messages
     * @param handle its handle in the native library
     * @param address address of the first byte
     * @param size size in bytes
     * @param writeable whether it is writable
     * @param sealed whether no other process can remove pages
     * @param cacheMode how the processor caches it
     * @param onClose runs once when the memory is closed, in the closing thread
     */
    public static NativeMemory of(
        final String target,
        final long handle,
        final long address,
        final long size,
        final boolean writeable,
        final boolean sealed,
        final CacheMode cacheMode,
        final Runnable onClose) {
        final Mapping mapping = new Mapping(target, handle, address, size, writeable, sealed, cacheMode);
        return of(mapping, cacheMode == CacheMode.WRITE_COMBINED ? Layer::fullFence : null, onClose);
    }

    /** Like the method above. The fence runs where an ordered access needs one; null if none is needed. */
    static NativeMemory of(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        final String forced = System.getProperty(PROPERTY, "");
        if (!forced.equals("unsafe") && !forced.equals("guarded")) {
            final NativeMemory foreign = Layer.foreign(mapping, fence, onClose);
            if (foreign != null) {
                return foreign;
            }
        }
        if (forced.equals("foreign")) {
            throw new UnsupportedOperationException(
                PROPERTY + " is foreign, and this JVM is older than 22 or the jar was built without JDK 22");
        }
        if (MappedMemory.WINDOWS || forced.equals("guarded")) {
            return new GuardedMemory(mapping, fence, onClose);
        }
        if (fence != null) {
            return new UnsafeMemory.Fenced(mapping, fence, onClose);
        }
        return new UnsafeMemory(mapping, null, onClose);
    }
}
