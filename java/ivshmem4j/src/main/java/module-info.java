/** Shared memory and interrupts between QEMU virtual machines and their host (ivshmem). */
module io.github.alexanderschuetz97.ivshmem4j {
    // sun.misc.Unsafe: memory access before Java 22.
    requires jdk.unsupported;

    exports io.github.alexanderschuetz97.ivshmem4j.api;
}
