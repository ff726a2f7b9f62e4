package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Waits on a device that cannot receive interrupts: after a pause the caller reads the memory, as after an interrupt. The
 * pause doubles while the caller waits again immediately, and restarts at its minimum after the caller has done work.
 *
 * <p>The native library does the same; this class is in Java so that a virtual thread does not pin its carrier.
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
     * @param nanos the maximum time; 0 does not wait, a negative time means no limit
     * @return false if the time was shorter than the pause
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
