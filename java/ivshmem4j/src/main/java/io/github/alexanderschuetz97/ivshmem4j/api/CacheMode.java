package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * How the processor caches a memory. The mode decides when other programs see a write. {@link NativeMemory#cacheMode()}
 * returns it. A program that publishes with ordered accesses works in every mode.
 */
public enum CacheMode {

    /**
     * Ordinary memory: files, all memory on the host, and by default the memory of a device in a Windows guest. Reads and
     * writes are fast.
     */
    CACHED,

    /**
     * The processor gathers writes before it sends them to the bus. A Linux guest gets this mode for the memory of its
     * device unless the program selects another one.
     *
     * <p>Plain writes are fast. Other programs see them late and in any order, but see all of them before the next ordered
     * access, which is a full fence in this mode. Reads are not cached and are slow: copy the bytes that are needed in one
     * piece. A hypervisor may cache the memory nevertheless, as QEMU without hardware virtualisation does; the memory then
     * behaves like {@link #CACHED} memory.
     */
    WRITE_COMBINED,

    /**
     * Every access goes to the bus separately and in order. Reads and writes are slow. Only needed where the order of plain
     * writes matters.
     */
    UNCACHED
}
