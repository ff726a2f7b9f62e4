/**
 * Access to mapped memory in Java, so that the JIT compiler sees it.
 *
 * <p>{@code MappedMemory} has what is the same everywhere: the checks, waiting, closing, and what only the native
 * library can do. Two classes under it turn a checked offset into an access: {@code UnsafeMemory} before Java 22 and
 * {@code ForeignMemory} from there on. {@code Memories} chooses.
 */
package io.github.alexanderschuetz97.ivshmem4j.internal.memory;
