package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/** Detects virtual threads, which exist from Java 21 on and not in Java 8. */
final class VirtualThreads {

    /** {@code Thread.isVirtual()}, or null. A constant for the JIT compiler, so a call costs the same as a direct one. */
    private static final MethodHandle IS_VIRTUAL = find();

    private VirtualThreads() {}

    /** Whether the calling thread is a virtual thread. */
    static boolean isCurrent() {
        try {
            return IS_VIRTUAL != null && (boolean) IS_VIRTUAL.invokeExact(Thread.currentThread());
        } catch (final Throwable e) {
            throw new AssertionError("Thread.isVirtual() throws nothing", e);
        }
    }

    private static MethodHandle find() {
        try {
            return MethodHandles.publicLookup()
                .findVirtual(Thread.class, "isVirtual", MethodType.methodType(boolean.class));
        } catch (final ReflectiveOperationException e) {
            return null;
        }
    }
}
