package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.invoke.VarHandle;

/** Creates memory for mappings. This version is for Java 22 and newer. */
public final class Memories {

    /**
     * The system property with which tests select an implementation: {@code unsafe}, {@code foreign}, or {@code guarded} for
     * the implementation that Windows needs without {@code foreign}.
     */
    static final String PROPERTY = "ivshmem4j.memory";

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
        return of(mapping, cacheMode == CacheMode.WRITE_COMBINED ? VarHandle::fullFence : null, onClose);
    }

    /** Like the method above. The fence runs where an ordered access needs one; null if none is needed. */
    static NativeMemory of(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        final String forced = System.getProperty(PROPERTY);
        if ("unsafe".equals(forced) || "guarded".equals(forced)) {
            return UnsafeMemory.of(mapping, fence, onClose);
        }
        return fence == null ? new ForeignMemory(mapping, onClose) : new ForeignMemory.Fenced(mapping, fence, onClose);
    }
}
