package io.github.alexanderschuetz97.ivshmem4j.internal;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.security.AccessController;
import java.security.PrivilegedAction;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Runs an action when an object can no longer be reached: a net under objects that nobody has closed.
 *
 * <p>What {@code java.lang.ref.Cleaner} is since Java 9, for Java 8, and without a thread that never ends: that would keep
 * the class loader of this library for as long as the JVM runs. The thread ends when no action is left.
 */
public final class Cleanup {

    /** How long the thread waits for the next object when there is none: opening and closing in turn needs no new one. */
    private static final long LINGER_MILLIS = 1000;

    private static final ReferenceQueue<Object> UNREACHABLE = new ReferenceQueue<>();
    /** Keeps the references themselves reachable. */
    private static final Set<Action> PENDING = ConcurrentHashMap.newKeySet();
    private static final Object LOCK = new Object();
    /** Whether there is a thread, which looks at PENDING once more before it ends. Guarded by LOCK. */
    private static boolean running;

    private Cleanup() {}

    /**
     * Registers an action. Where the system gives no thread now, the next call asks again: the object can still be closed
     * explicitly.
     *
     * @param object what becomes unreachable
     * @param action what to do then; it must not refer to the object
     * @return runs the action now, unless it has run; it never runs twice
     */
    public static Runnable register(final Object object, final Runnable action) {
        final Action registered = new Action(object, action);
        PENDING.add(registered);
        synchronized (LOCK) {
            if (!running) {
                running = start();
            }
        }
        return registered;
    }

    /**
     * Starts the thread, which serves all and must not keep the class loader of the first caller: not as the loader of its
     * context, not by a thread group of the caller's, not by the values of inheritable thread locals, and, before Java 24, not by
     * the classes on the caller's stack, which a new thread remembers. On Java 8 every new thread inherits the values.
     *
     * @return whether there is one now
     */
    // Deprecated since Java 17; later versions just call the action, which is right there.
    @SuppressWarnings({"deprecation", "removal"})
    private static boolean start() {
        try {
            AccessController.doPrivileged((PrivilegedAction<Void>) Cleanup::startThread);
            return true;
        } catch (final OutOfMemoryError noThread) {
            return false;
        }
    }

    private static Void startThread() {
        ThreadGroup group = Thread.currentThread().getThreadGroup();
        while (group.getParent() != null) {
            group = group.getParent();
        }
        final Thread thread = newThread(group, Cleanup::runAll, "ivshmem4j-cleanup");
        thread.setDaemon(true);
        thread.setContextClassLoader(null);
        thread.start();
        return null;
    }

    private static Thread newThread(final ThreadGroup group, final Runnable loop, final String name) {
        try {
            return Thread.class.getConstructor(ThreadGroup.class, Runnable.class, String.class, long.class, boolean.class)
                .newInstance(group, loop, name, 0, false);
        } catch (final ReflectiveOperationException java8) {
            return new Thread(group, loop, name);
        }
    }

    private static void runAll() {
        while (true) {
            try {
                // 0 is no limit.
                final Action action = (Action) UNREACHABLE.remove(PENDING.isEmpty() ? LINGER_MILLIS : 0);
                if (action != null) {
                    action.run();
                } else if (isOver()) {
                    return;
                }
            } catch (final Throwable e) {
                // Nobody has called this, so there is nobody to be told; the next object must have its turn.
                Thread.yield();
            }
        }
    }

    private static boolean isOver() {
        synchronized (LOCK) {
            running = !PENDING.isEmpty();
            return !running;
        }
    }

    private static final class Action extends PhantomReference<Object> implements Runnable {

        private final Runnable action;

        Action(final Object object, final Runnable action) {
            super(object, UNREACHABLE);
            this.action = action;
        }

        @Override
        public void run() {
            if (PENDING.remove(this)) {
                // Wakes the thread, as this may have been the last one.
                clear();
                enqueue();
                action.run();
            }
        }
    }
}
