package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import java.lang.foreign.Arena;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/**
 * Has threads leave compiled code that accesses segments, as closing any shared arena does: what they read from fields then they
 * read anew, so a loop sees that its memory was closed.
 */
final class Loops {

    /** How long a loop may go on in a slice that was closed. */
    private static final long SOON_NANOS = 100_000_000;
    /** Whether a thread is about to have the others leave their loops. */
    private static final AtomicBoolean LEAVING = new AtomicBoolean();

    private Loops() {}

    /** All threads, at the latest when this returns; it stops each for a moment. */
    static void leave() {
        Arena.ofShared().close();
    }

    /** The same a little later, once for all who ask until then: for slices, which may be many. */
    static void leaveSoon() {
        if (!LEAVING.compareAndSet(false, true)) {
            return;
        }
        final Thread thread = new Thread(null, () -> {
            LockSupport.parkNanos(SOON_NANOS);
            LEAVING.set(false);
            leave();
        }, "ivshmem4j-closing", 0, false);
        thread.setDaemon(true);
        // As this thread keeps no class loader longer than it lives.
        thread.setContextClassLoader(null);
        try {
            thread.start();
        } catch (final OutOfMemoryError noThread) {
            LEAVING.set(false);
            leave();
        }
    }
}
