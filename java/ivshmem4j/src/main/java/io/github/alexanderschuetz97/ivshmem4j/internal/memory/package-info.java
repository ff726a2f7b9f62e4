/**
 * Access to mapped memory in Java, so that the JIT compiler compiles it.
 *
 * <p>The common code is in three classes, each a subclass of the previous one: {@code MappedMemory} has the lifetime, the
 * checks and slices; {@code BulkMemory} has bulk accesses and views; {@code AtomicMemory} has waits and the ordered accesses
 * for which Java has no instruction. Two subclasses turn a checked offset into an access: {@code UnsafeMemory} before Java
 * 22 and {@code ForeignMemory} from Java 22 on. {@code Memories} selects the class.
 */
package io.github.alexanderschuetz97.ivshmem4j.internal.memory;
