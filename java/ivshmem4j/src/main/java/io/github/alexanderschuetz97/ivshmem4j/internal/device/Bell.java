package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/**
 * Wakes the thread that waits in the native library, by ringing this device.
 *
 * <p>A peer that fills the vector's counter blocks the ringing thread, and may fill the counter again after each read. The
 * requesting thread may hold locks of the JVM for an interrupted thread, which the reading thread needs, so another thread
 * rings, one at a time. If the system cannot start a thread, the requesting thread rings itself: it may block, but otherwise
 * no thread would ring.
 */
final class Bell implements Runnable {

    private final Runnable ringing;
    private final Consumer<Runnable> starter;
    /** Requested rings that the reader may not have received yet; a thread rings while there are any. */
    private final AtomicInteger asked = new AtomicInteger();

    /**
     * Creates a bell.
     *
     * @param ringing rings once
     * @param starter starts a thread; throws {@link OutOfMemoryError} if the system cannot start one
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
                    // Other threads have requested a ring meanwhile, and rely on this thread.
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
                // Either the device is closed, which also ends the wait, or this ring failed and the next one may succeed.
                continue;
            }
        } while (!asked.compareAndSet(answered, 0));
    }
}
