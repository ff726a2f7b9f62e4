package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * Runs an action once the guard is closed and no thread is inside.
 *
 * <p>Entering increments a counter, which is a full fence, and then reads a bound. Closing sets the bound, executes a fence,
 * and then reads the counters. So a thread that has read the old bound is counted, and finds the guard closed on leaving. A
 * thread that enters later may be counted briefly before it is refused; it then only becomes the last one to leave.
 */
final class Guard {

    /** The number of counters. Each has its own cache lines, so that threads do not contend. */
    private static final int STRIPES = 64;
    private static final int DISTANCE = 16;

    private static final AtomicInteger THREADS = new AtomicInteger();
    /** Not derived from {@link Thread#getId}, which a subclass can override to return different values. */
    private static final ThreadLocal<Integer> OWN_STRIPE = ThreadLocal.withInitial(
        () -> (THREADS.getAndIncrement() & STRIPES - 1) * DISTANCE + DISTANCE);

    private final AtomicLongArray inside = new AtomicLongArray((STRIPES + 1) * DISTANCE);
    private final Runnable action;
    private volatile boolean closed;

    /** The action must have no effect when it runs a second time. */
    Guard(final Runnable action) {
        this.action = action;
    }

    void enter() {
        inside.getAndIncrement(stripe());
    }

    void leave() {
        inside.getAndDecrement(stripe());
        if (closed) {
            runIfNobodyIsInside();
        }
    }

    void close() {
        closed = true;
        runIfNobodyIsInside();
    }

    private void runIfNobodyIsInside() {
        for (int at = DISTANCE; at < inside.length(); at += DISTANCE) {
            if (inside.get(at) != 0) {
                return;
            }
        }
        action.run();
    }

    /** The same value at the start and the end of an access, as both occur in one thread. */
    private static int stripe() {
        return OWN_STRIPE.get();
    }
}
