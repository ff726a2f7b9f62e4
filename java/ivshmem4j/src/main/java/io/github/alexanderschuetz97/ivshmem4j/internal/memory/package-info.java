/**
 * Access to mapped memory in Java, so that the JIT compiler sees it.
 *
 * <p>What is the same everywhere stands in three classes, one on the other: {@code MappedMemory} has the life and the
 * checks, and slices; {@code BulkMemory} many bytes and views; {@code AtomicMemory} waiting, and the ordered accesses
 * that Java has no instruction for. Two classes on top turn a checked offset into an access: {@code UnsafeMemory}
 * before Java 22 and {@code ForeignMemory} from there on. {@code Memories} chooses.
 */
package io.github.alexanderschuetz97.ivshmem4j.internal.memory;
