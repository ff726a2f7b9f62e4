/** Shared memory and interrupts between QEMU virtual machines and their host (ivshmem). */
module io.github.alexanderschuetz97.ivshmem4j {
    // For sun.misc.Unsafe, the memory access before Java 22.
    requires jdk.unsupported;

    exports io.github.alexanderschuetz97.ivshmem4j.api;
}
