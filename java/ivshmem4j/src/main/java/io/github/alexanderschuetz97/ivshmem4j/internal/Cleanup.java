package io.github.alexanderschuetz97.ivshmem4j.internal;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.security.AccessController;
import java.security.PrivilegedAction;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Runs an action when an object becomes unreachable: a safety net for objects that the program has not closed.
 *
 * <p>Does for Java 8 what {@code java.lang.ref.Cleaner} does since Java 9, but ends its thread when no action is left: a
 * permanent thread would keep the class loader of this library alive as long as the JVM runs.
 */
public final class Cleanup {

    /**
     * How long the thread waits for the next object when no action is left, so that opening and closing in turn starts no
     * new thread each time.
     */
    private static final long LINGER_MILLIS = 1000;

    private static final ReferenceQueue<Object> UNREACHABLE = new ReferenceQueue<>();
    /** Keeps the phantom references reachable. */
    private static final Set<Action> PENDING = ConcurrentHashMap.newKeySet();
    private static final Object LOCK = new Object();
    /** Whether the thread runs. It checks PENDING once more before it ends. Guarded by LOCK. */
    private static boolean running;

    private Cleanup() {}

    /**
     * Registers an action. If the system cannot start the thread now, the next call tries again; the object can still be
     * closed explicitly.
     *
     * @param object the object to watch
     * @param action the action to run when it is unreachable; it must not refer to the object
     * @return a job that runs the action at once, unless it has run already; the action never runs twice
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
     * Starts the thread. It serves all callers and must not keep the class loader of the first caller alive: neither as its
     * context class loader, nor through the caller's thread group, nor through inheritable thread locals, nor, before Java
     * 24, through the classes on the caller's stack, which a new thread stores. On Java 8, every new thread inherits the
     * thread locals.
     *
     * @return whether the thread runs
     */
    // Deprecated since Java 17; later versions call the action directly, which is correct there.
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
                // 0 means no limit.
                final Action action = (Action) UNREACHABLE.remove(PENDING.isEmpty() ? LINGER_MILLIS : 0);
                if (action != null) {
                    action.run();
                } else if (isOver()) {
                    return;
                }
            } catch (final Throwable e) {
                // There is no caller to report to, and the actions of the other objects must run.
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
                // Wakes the thread, as this may have been the last action.
                clear();
                enqueue();
                action.run();
            }
        }
    }
}
