package io.github.alexanderschuetz97.ivshmem4j.api;

import java.io.InterruptedIOException;
import java.util.concurrent.locks.LockSupport;

/** The pauses of one wait: none, then short ones, then longer ones. */
final class RingPause {

    private static final int LOOKS = 1000;
    private static final int YIELDS = 20;
    private static final long SHORTEST_NANOS = 20_000;
    private static final long LONGEST_NANOS = 1_000_000;

    private int looks;
    private long nanos = SHORTEST_NANOS;

    /** Lets some time pass. */
    void pause(final int transferred) throws InterruptedIOException {
        looks++;
        if (looks <= LOOKS) {
            return;
        }
        if (Thread.interrupted()) {
            Thread.currentThread().interrupt();
            final InterruptedIOException interrupted = new InterruptedIOException("interrupted while waiting");
            interrupted.bytesTransferred = transferred;
            throw interrupted;
        }
        if (looks <= LOOKS + YIELDS) {
            Thread.yield();
        } else {
            LockSupport.parkNanos(this, nanos);
            nanos = Math.min(nanos * 2, LONGEST_NANOS);
        }
    }
}
