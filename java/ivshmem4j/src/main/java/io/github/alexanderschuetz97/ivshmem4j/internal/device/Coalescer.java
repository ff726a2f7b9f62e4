package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;

/**
 * Runs a callback in an executor: at least once after the last signal, never concurrently with itself, and with at most one
 * job in the executor's queue.
 *
 * <p>Exceptions of the callback go to the handler and do not stop the coalescer. An executor must run every job that it
 * accepts: if it drops a job silently, the callback never runs again.
 */
final class Coalescer implements Runnable {

    private enum State { IDLE, QUEUED, RUNNING, SIGNALLED_AGAIN }

    private final Executor executor;
    private final Runnable callback;
    private final Handler handler;
    private final AtomicReference<State> state = new AtomicReference<>(State.IDLE);
    private final BooleanSupplier closed;
    private volatile boolean stopped;

    /** The coalescer is also stopped once {@code closed} returns true. */
    Coalescer(final Executor executor, final Runnable callback, final Handler handler, final BooleanSupplier closed) {
        this.executor = executor;
        this.callback = callback;
        this.handler = handler;
        this.closed = closed;
    }

    /** Requests one more run of the callback. */
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

    /** Starts no further run; a running callback continues to its end. */
    void stop() {
        stopped = true;
    }

    boolean isStopped() {
        return stopped || closed.getAsBoolean();
    }

    /** Called by the executor. */
    @Override
    public void run() {
        if (!state.compareAndSet(State.QUEUED, State.RUNNING)) {
            return;
        }
        if (!isStopped()) {
            handler.run(callback);
        }
        if (!state.compareAndSet(State.RUNNING, State.IDLE)) {
            // Submits the job again after the other jobs of the executor, so that a peer that rings continuously does not
            // occupy its thread.
            state.set(State.QUEUED);
            submit();
        }
    }

    private void submit() {
        try {
            executor.execute(this);
        } catch (final Throwable e) {
            // The executor has rejected the job, so the next signal must try again.
            state.compareAndSet(State.QUEUED, State.IDLE);
            if (!isStopped()) {
                handler.accept(e);
            }
        }
    }
}
