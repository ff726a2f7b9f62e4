package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.invoke.VarHandle;

/** What {@link Memories} needs of the version of Java. This class is for Java 22 and newer. */
final class Layer {

    private Layer() {}

    /** Memory that uses {@code java.lang.foreign}. The fence may be null. */
    static NativeMemory foreign(final Mapping mapping, final Runnable fence, final Runnable onClose) {
        if (fence != null) {
            return new ForeignMemory.Fenced(mapping, fence, onClose);
        }
        return new ForeignMemory(mapping, null, onClose);
    }

    /** Orders all earlier accesses before all later ones, and flushes write-combined stores. */
    static void fullFence() {
        VarHandle.fullFence();
    }
}
