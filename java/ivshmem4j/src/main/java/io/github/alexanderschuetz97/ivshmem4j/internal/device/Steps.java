package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.function.Consumer;

/** Runs all steps, even if one of them throws. Reports the first failure at the end. */
final class Steps implements AutoCloseable {

    private final Consumer<Throwable> handler;
    private Throwable first;

    Steps(final Consumer<Throwable> handler) {
        this.handler = handler;
    }

    void take(final Runnable step) {
        try {
            step.run();
        } catch (final Throwable e) {
            // Later steps often fail for the same reason.
            first = first == null ? e : first;
        }
    }

    @Override
    public void close() {
        if (first != null) {
            handler.accept(first);
        }
    }
}
