package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;

/**
 * Runs a callback in an executor: at least once after the last signal, never twice at once, and with at most one job in
 * the executor's queue.
 *
 * <p>What the callback throws goes to the handler and ends nothing. An executor must run every job that it accepts: one
 * that drops jobs in silence leaves this waiting for the job for ever.
 */
final class Repeater implements Runnable {

    private enum State { IDLE, QUEUED, RUNNING, SIGNALLED_AGAIN }

    private final Executor executor;
    private final Runnable callback;
    private final Handler handler;
    private final AtomicReference<State> state = new AtomicReference<>(State.IDLE);
    private final BooleanSupplier closed;
    private volatile boolean stopped;

    /** Once {@code closed} gives true, this is stopped as well. */
    Repeater(final Executor executor, final Runnable callback, final Handler handler, final BooleanSupplier closed) {
        this.executor = executor;
        this.callback = callback;
        this.handler = handler;
        this.closed = closed;
    }

    /** Makes the callback run once more. */
    void signal() {
        while (!isStopped()) {
            final State now = state.get();
            if (now == State.QUEUED || now == State.SIGNALLED_AGAIN) {
                return;
            }
            if (now == State.IDLE && state.compareAndSet(State.IDLE, State.QUEUED)) {
                submit();
                return;
            }
            if (now == State.RUNNING && state.compareAndSet(State.RUNNING, State.SIGNALLED_AGAIN)) {
                return;
            }
        }
    }

    /** No run begins any more; one that has begun comes to its end. */
    void stop() {
        stopped = true;
    }

    boolean isStopped() {
        return stopped || closed.getAsBoolean();
    }

    /** For the executor. */
    @Override
    public void run() {
        if (!state.compareAndSet(State.QUEUED, State.RUNNING)) {
            return;
        }
        if (!isStopped()) {
            handler.run(callback);
        }
        if (!state.compareAndSet(State.RUNNING, State.IDLE)) {
            // Behind the other jobs of the executor, so that a peer that rings without end does not hold its thread.
            state.set(State.QUEUED);
            submit();
        }
    }

    private void submit() {
        try {
            executor.execute(this);
        } catch (final Throwable e) {
            // Refused, so the next signal must try again.
            state.compareAndSet(State.QUEUED, State.IDLE);
            if (!isStopped()) {
                handler.accept(e);
            }
        }
    }
}
