/**
 * Shared memory and interrupts between QEMU virtual machines and their host.
 *
 * <p>Begin with {@link io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem}, which opens devices. An
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory} is a device: its memory, its interrupts and its
 * peers. A {@link io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory} is the memory.
 *
 * <p>On the memory stand, for programs that do not want to lay out bytes themselves: numbers that are changed in one
 * step ({@link io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryInt} and its kin), a
 * {@linkplain io.github.alexanderschuetz97.ivshmem4j.api.SharedMemoryLock lock}, and a stream of bytes
 * ({@link io.github.alexanderschuetz97.ivshmem4j.api.RingBuffer}).
 */
package io.github.alexanderschuetz97.ivshmem4j.api;
