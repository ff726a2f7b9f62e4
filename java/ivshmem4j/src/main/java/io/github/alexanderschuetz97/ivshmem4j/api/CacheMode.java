package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * How the processor caches a memory, which decides when others see what is written. {@link NativeMemory#cacheMode()}
 * tells it; whoever publishes with ordered accesses need not care.
 */
public enum CacheMode {

    /** Ordinary memory: files, and all memory on the host. Fast both ways. */
    CACHED,

    /**
     * Writes are gathered on their way: what a Linux guest gets for the memory of its device unless it asks for another
     * mode.
     *
     * <p>Plain writes are fast, and reach others late and in any order, but all before the next ordered access: each of
     * those is a full fence here. Reads are not cached and so are slow: copy what is needed in one piece. Where the
     * hypervisor caches the memory all the same, as QEMU without hardware virtualisation does, nothing of this shows.
     */
    WRITE_COMBINED,

    /**
     * Every access goes to the bus by itself and in order: slow both ways. Only needed where the order of plain
     * writes counts.
     */
    UNCACHED
}
