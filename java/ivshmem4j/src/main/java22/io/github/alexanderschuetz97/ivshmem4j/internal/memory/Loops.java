package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import java.lang.foreign.Arena;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/**
 * Makes threads leave compiled code that accesses segments, as the closing of any shared arena does. Afterwards they read
 * fields again, so a loop sees that its memory is closed.
 */
final class Loops {

    /** How long a loop may continue in a closed slice. */
    private static final long SOON_NANOS = 100_000_000;
    /** Whether a thread is waiting to make the others leave their loops. */
    private static final AtomicBoolean LEAVING = new AtomicBoolean();

    private Loops() {}

    /** Makes all threads leave their loops before it returns. Stops each thread for a moment. */
    static void leave() {
        Arena.ofShared().close();
    }

    /** Does the same after a delay, once for all calls until then. For slices, as there may be many. */
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
        // So that this thread keeps no class loader alive.
        thread.setContextClassLoader(null);
        try {
            thread.start();
        } catch (final OutOfMemoryError noThread) {
            LEAVING.set(false);
            leave();
        }
    }
}
