package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/** Waits for values in one memory, in Java, so that a virtual thread does not pin its carrier. */
final class Waiting {

    /** Makes the check of {@code stops} and the start of the sleep atomic. */
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition stopped = lock.newCondition();
    private volatile int stops;

    /** Ends all running waits. */
    void stop() {
        lock.lock();
        try {
            stops++;
            stopped.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until a condition holds.
     *
     * @param sleep the time to sleep between two checks; 0 yields, a negative time calls {@code relax}
     * @param timeout 0 checks once, a negative time waits without a limit
     * @return false if the time passed or the wait was stopped
     */
    boolean until(
        final BooleanSupplier condition,
        final Runnable relax,
        final long sleep,
        final long timeout,
        final TimeUnit unit) {
        final int before = stops;
        final long sleepNanos = unit.toNanos(sleep);
        final long timeoutNanos = unit.toNanos(timeout);
        final long begin = System.nanoTime();
        boolean interrupted = false;
        try {
            while (!condition.getAsBoolean()) {
                final long left = timeout < 0 ? Long.MAX_VALUE : timeoutNanos - (System.nanoTime() - begin);
                if (left <= 0 || stops != before) {
                    return false;
                }
                if (sleep > 0) {
                    interrupted |= sleep(Math.min(sleepNanos, left), before);
                } else if (sleep == 0) {
                    Thread.yield();
                } else {
                    relax.run();
                }
            }
            return true;
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /**
     * Sleeps until the time has passed, the wait is stopped or the thread is interrupted; returns whether it was
     * interrupted.
     */
    private boolean sleep(final long nanos, final int before) {
        lock.lock();
        try {
            long left = nanos;
            while (left > 0 && stops == before) {
                left = stopped.awaitNanos(left);
            }
            return false;
        } catch (final InterruptedException e) {
            return true;
        } finally {
            lock.unlock();
        }
    }
}
