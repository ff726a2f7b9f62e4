package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * Runs an action when it is closed and nobody is inside.
 *
 * <p>Counting in is a full fence and comes before the look at a bound that closing sets; closing sets the bound, then a
 * fence, then looks at the counts. So whoever saw the old bound is seen here, and finds on leaving that it was closed. One
 * who comes later may be counted for a moment and then turns back, which only means that he is the last one to leave.
 */
final class Guard {

    /** Counters, each on cache lines of its own, so that threads do not meet. */
    private static final int STRIPES = 64;
    private static final int DISTANCE = 16;

    private static final AtomicInteger THREADS = new AtomicInteger();
    /** Not made of {@link Thread#getId}, which subclasses override and may change between two calls. */
    private static final ThreadLocal<Integer> OWN_STRIPE = ThreadLocal.withInitial(
        () -> (THREADS.getAndIncrement() & STRIPES - 1) * DISTANCE + DISTANCE);

    private final AtomicLongArray inside = new AtomicLongArray((STRIPES + 1) * DISTANCE);
    private final Runnable action;
    private volatile boolean closed;

    /** Of an action that does nothing the second time. */
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

    /** The same at the begin and at the end of an access: both are in one thread. */
    private static int stripe() {
        return OWN_STRIPE.get();
    }
}
