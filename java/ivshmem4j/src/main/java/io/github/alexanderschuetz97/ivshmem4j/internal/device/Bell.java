package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/**
 * Wakes the thread in the native library, by ringing the own device.
 *
 * <p>A peer that fills the vector's counter holds up the thread that rings, and fills it again as soon as it was read. The
 * thread that asks for a ring may hold locks of the JVM for an interrupted thread, which the thread that reads needs: so another
 * thread rings, one at a time. Where the system gives no thread, the thread that asks rings itself: it may be held up, and
 * otherwise nobody would ring.
 */
final class Bell implements Runnable {

    private final Runnable ringing;
    private final Consumer<Runnable> starter;
    /** Rings asked for that may not have been heard yet; a thread rings while there are any. */
    private final AtomicInteger asked = new AtomicInteger();

    /**
     * A bell.
     *
     * @param ringing rings once
     * @param starter starts a thread, and throws an {@link OutOfMemoryError} if the system gives none
     */
    Bell(final Runnable ringing, final Consumer<Runnable> starter) {
        this.ringing = ringing;
        this.starter = starter;
    }

    void ring() {
        if (asked.getAndIncrement() == 0) {
            try {
                starter.accept(this);
            } catch (final OutOfMemoryError noThread) {
                run();
            } catch (final RuntimeException | Error e) {
                if (!asked.compareAndSet(1, 0)) {
                    // Other threads have asked meanwhile, and count on this one.
                    run();
                }
                throw e;
            }
        }
    }

    @Override
    public void run() {
        int answered;
        do {
            answered = asked.get();
            try {
                ringing.run();
            } catch (final Throwable e) {
                // The device is closed, which ends the wait as well; or this ring failed, and the next may not.
                continue;
            }
        } while (!asked.compareAndSet(answered, 0));
    }
}
