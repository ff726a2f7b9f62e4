package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** The routines and futures of one vector, which run code of the program after an interrupt. */
final class Callbacks {

    private final Vector vector;
    private final Dispatch dispatch;
    private final CopyOnWriteArrayList<Registered> routines = new CopyOnWriteArrayList<>();
    private final Set<CompletableFuture<Integer>> futures = ConcurrentHashMap.newKeySet();

    Callbacks(final Vector vector, final Dispatch dispatch) {
        this.vector = vector;
        this.dispatch = dispatch;
    }

    boolean isEmpty() {
        return routines.isEmpty() && futures.isEmpty();
    }

    boolean has(final InterruptServiceRoutine routine) {
        return routines.stream().anyMatch(registered -> registered.routine.equals(routine));
    }

    void add(final InterruptServiceRoutine routine) {
        routines.add(new Registered(routine));
    }

    void add(final CompletableFuture<Integer> future) {
        futures.add(future);
    }

    void remove(final InterruptServiceRoutine routine) {
        for (final Registered registered : routines) {
            if (registered.routine.equals(routine)) {
                registered.coalescer.stop();
                routines.remove(registered);
            }
        }
    }

    void remove(final CompletableFuture<Integer> future) {
        futures.remove(future);
    }

    /** Reports an interrupt: completes the futures, and calls each routine. */
    void tell() {
        for (final CompletableFuture<Integer> future : futures) {
            if (futures.remove(future)) {
                dispatch.execute(() -> complete(future));
            }
        }
        for (final Registered registered : routines) {
            registered.coalescer.signal();
        }
    }

    private void complete(final CompletableFuture<Integer> future) {
        final long before = vector.receive();
        if (!future.complete(vector.number())) {
            // The future was cancelled or has timed out just now, so the interrupt has reached nothing.
            vector.giveBack(before);
        }
    }

    /**
     * Completes the futures exceptionally, in a separate thread, as that runs code of the program; in this thread if the
     * system cannot start another one.
     */
    void close() {
        if (!futures.isEmpty()) {
            final Runnable ending = () -> end(takeFutures(), Dispatch.closed());
            try {
                Dispatch.start("ivshmem4j-closing", ending);
            } catch (final OutOfMemoryError noThread) {
                ending.run();
            }
        }
    }

    /** Removes and returns all futures. The caller must complete them. */
    List<CompletableFuture<Integer>> takeFutures() {
        final List<CompletableFuture<Integer>> taken = new ArrayList<>(futures);
        taken.removeIf(future -> !futures.remove(future));
        return taken;
    }

    /** Fails the futures that waited for a vector that could not be read. */
    void fail(final Throwable thrown, final List<CompletableFuture<Integer>> waiting) {
        try {
            dispatch.failed(thrown);
        } finally {
            end(waiting, thrown);
        }
    }

    private void end(final List<CompletableFuture<Integer>> waiting, final Throwable why) {
        try (Steps steps = new Steps(dispatch::failed)) {
            for (final CompletableFuture<Integer> future : waiting) {
                steps.take(() -> dispatch.execute(() -> future.completeExceptionally(why)));
            }
        }
    }

    private final class Registered {

        private final InterruptServiceRoutine routine;
        private final Coalescer coalescer;

        Registered(final InterruptServiceRoutine routine) {
            this.routine = routine;
            coalescer = dispatch.coalescer(() -> {
                vector.receive();
                routine.onInterrupt(vector.number());
            });
        }
    }
}
