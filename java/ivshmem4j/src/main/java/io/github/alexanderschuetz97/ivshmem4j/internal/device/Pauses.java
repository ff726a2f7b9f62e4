package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Waiting on a device that cannot be interrupted: after a pause the caller is told to look at the memory, as an interrupt
 * would. The pause doubles while callers come straight back, and begins anew when they were away: then there was something
 * to do.
 *
 * <p>As the native library does it, but in Java, so that a virtual thread does not hold its carrier.
 */
final class Pauses {

    private static final long SHORTEST = TimeUnit.MICROSECONDS.toNanos(20);
    private static final long LONGEST = TimeUnit.MILLISECONDS.toNanos(2);

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition over = lock.newCondition();
    private long pause = SHORTEST;
    private long lastReturn = System.nanoTime() - LONGEST;
    private boolean closed;

    /**
     * Pauses.
     *
     * @param nanos at most so long, and not at all for 0; a negative time is for ever
     * @return false if that was less than the pause
     */
    boolean await(final long nanos) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            final long begin = System.nanoTime();
            pause = begin - lastReturn <= pause ? Math.min(pause * 2, LONGEST) : SHORTEST;
            final boolean whole = nanos < 0 || nanos >= pause;
            final long wanted = whole ? pause : nanos;
            for (long left = wanted; left > 0 && !closed; left = wanted - (System.nanoTime() - begin)) {
                over.awaitNanos(left);
            }
            if (closed) {
                throw Dispatch.closed();
            }
            lastReturn = System.nanoTime();
            return whole;
        } finally {
            lock.unlock();
        }
    }

    /** Ends all pauses. */
    void close() {
        lock.lock();
        try {
            closed = true;
            over.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
