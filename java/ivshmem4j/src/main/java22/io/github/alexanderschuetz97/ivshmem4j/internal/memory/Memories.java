package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.invoke.VarHandle;

/** Makes memory of mappings. This is the form for Java 22 and newer. */
public final class Memories {

    /**
     * The system property that tests force an implementation with: {@code unsafe}, {@code foreign}, or {@code guarded}
     * for the one that Windows needs where there is no {@code foreign}.
     */
    static final String PROPERTY = "ivshmem4j.memory";

    private Memories() {}

    /**
     * Takes over a mapping, which nobody else may free from now on.
     *
     * @param target what was opened, for messages
     * @param handle what the native library calls it
     * @param address address of the first byte
     * @param size bytes
     * @param writeable whether it may be written
     * @param sealed whether no other process can take pages away
     * @param cacheMode how the processor caches it
     * @param onClose runs once, in the thread that closes the memory, when it is closed
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

    /** As above, with what runs where the ordered accesses need a fence; null where they need none. */
    static NativeMemory of(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        final String forced = System.getProperty(PROPERTY);
        if ("unsafe".equals(forced) || "guarded".equals(forced)) {
            return UnsafeMemory.of(mapping, fence, onClose);
        }
        return fence == null ? new ForeignMemory(mapping, onClose) : new ForeignMemory.Fenced(mapping, fence, onClose);
    }
}
