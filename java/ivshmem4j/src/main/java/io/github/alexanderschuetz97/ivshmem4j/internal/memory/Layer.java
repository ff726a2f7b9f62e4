package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;

/** What {@link Memories} needs of the version of Java. This class is for Java 8 to 21; the jar has another for newer Java. */
final class Layer {

    private Layer() {}

    /** Memory that uses {@code java.lang.foreign}; null, as this Java has no such package. */
    static NativeMemory foreign(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        return null;
    }

    /** Orders all earlier accesses before all later ones, and flushes write-combined stores. */
    static void fullFence() {
        UnsafeMemory.fullFence();
    }
}
