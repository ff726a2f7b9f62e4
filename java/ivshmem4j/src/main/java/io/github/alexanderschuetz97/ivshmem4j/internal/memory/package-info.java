/**
 * Access to mapped memory in Java, so that the JIT compiler compiles it.
 *
 * <p>Each class is a subclass of the previous one: {@code MappedMemory} has the lifetime, the checks and slices;
 * {@code CommonMemory} has the accesses that consist of others; {@code UnsafeMemory}, before Java 22, or
 * {@code ForeignMemory}, from Java 22 on, turns a checked offset into an access. {@code Memories} selects the class.
 *
 * <p>Maven generates the last three from templates ({@code *.java.template}), which have each method once for all primitive
 * types; {@code src/main/templates.bsh} describes the format.
 */
package io.github.alexanderschuetz97.ivshmem4j.internal.memory;
