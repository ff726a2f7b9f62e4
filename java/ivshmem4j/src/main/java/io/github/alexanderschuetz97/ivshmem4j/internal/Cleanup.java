package io.github.alexanderschuetz97.ivshmem4j.internal;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Runs an action when an object can no longer be reached: a net under objects that nobody has closed.
 *
 * <p>What {@code java.lang.ref.Cleaner} is since Java 9, for Java 8.
 */
public final class Cleanup {

    private static final ReferenceQueue<Object> UNREACHABLE = new ReferenceQueue<>();
    /** Keeps the references themselves reachable. */
    private static final Set<Action> PENDING = ConcurrentHashMap.newKeySet();

    static {
        final Thread thread = new Thread(Cleanup::runAll, "ivshmem4j-cleanup");
        thread.setDaemon(true);
        // It lives as long as this class and must not keep the class loader of whoever came first.
        thread.setContextClassLoader(null);
        thread.start();
    }

    private Cleanup() {}

    /**
     * Registers an action.
     *
     * @param object what becomes unreachable
     * @param action what to do then; it must not refer to the object
     * @return runs the action now, unless it has run; it never runs twice
     */
    public static Runnable register(final Object object, final Runnable action) {
        final Action registered = new Action(object, action);
        PENDING.add(registered);
        return registered;
    }

    private static void runAll() {
        while (true) {
            try {
                ((Action) UNREACHABLE.remove()).run();
            } catch (final Throwable e) {
                // Nobody has called this, so there is nobody to be told; the next object must have its turn.
                Thread.yield();
            }
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
                clear();
                action.run();
            }
        }
    }
}
