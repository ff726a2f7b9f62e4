package io.github.alexanderschuetz97.ivshmem4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The thread that runs all cleanups. */
@Timeout(60)
class CleanupTest {

    /** Reachable until the end, so that the thread keeps waiting and does not end. */
    private final Object object = new Object();

    @Test
    void theThreadDoesNotKeepTheClassLoaderOfTheFirstCaller() throws Exception {
        final ClassLoader top = ClassLoader.getSystemClassLoader().getParent();
        // With a separate class loader of the library, whose thread no other test has started.
        try (URLClassLoader library = new URLClassLoader(new URL[] {place(Cleanup.class)}, top)) {
            final WeakReference<ClassLoader> caller = call(library, object);
            final long limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (caller.get() != null && System.nanoTime() < limit) {
                System.gc();
                Thread.sleep(20);
            }
            assertTrue(caller.get() == null, "the class loader of the first caller is still reachable");
            assertEquals("[system]", Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("ivshmem4j-cleanup"))
                .map(Thread::getThreadGroup).filter(Objects::nonNull)
                .map(ThreadGroup::getName).collect(Collectors.toSet()).toString());
        }
    }

    private static WeakReference<ClassLoader> call(final ClassLoader library, final Object object) throws Exception {
        try (URLClassLoader loader = new URLClassLoader(new URL[] {place(Caller.class)}, library)) {
            loader.loadClass(Caller.class.getName()).getMethod("call", Object.class, Runnable.class)
                .invoke(null, object, (Runnable) Thread::yield);
            return new WeakReference<>(loader);
        }
    }

    private static URL place(final Class<?> type) {
        return type.getProtectionDomain().getCodeSource().getLocation();
    }

    /** An application. */
    public static final class Caller {

        private Caller() {}

        /** The first user of the thread. */
        public static void call(final Object object, final Runnable action) {
            final ThreadLocal<Caller> inheritable = new InheritableThreadLocal<>();
            if (!"1.8".equals(System.getProperty("java.specification.version"))) {
                inheritable.set(new Caller());
            }
            Cleanup.register(object, action);
            inheritable.remove();
        }
    }
}
