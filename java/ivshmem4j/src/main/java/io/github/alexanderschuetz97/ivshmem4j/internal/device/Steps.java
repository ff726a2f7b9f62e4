package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.util.function.Consumer;

/** Steps that are all taken, whatever one of them throws. The first failure is reported at the end. */
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
            // What follows often fails for the same reason.
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
