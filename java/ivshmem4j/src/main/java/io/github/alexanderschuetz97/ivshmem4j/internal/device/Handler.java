package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import java.lang.Thread.UncaughtExceptionHandler;

/** Takes what callbacks, and dispatching itself, throw. Nothing gets past it. */
final class Handler {

    private final UncaughtExceptionHandler handler;

    /** A null handler prints to the standard error stream. */
    Handler(final UncaughtExceptionHandler handler) {
        this.handler = handler == null ? Handler::print : handler;
    }

    void run(final Runnable callback) {
        try {
            callback.run();
        } catch (final Throwable e) {
            accept(e);
        }
    }

    void accept(final Throwable thrown) {
        final Thread thread = Thread.currentThread();
        try {
            handler.uncaughtException(thread, thrown);
        } catch (final Throwable e) {
            e.addSuppressed(thrown);
            print(thread, e);
        }
    }

    private static void print(final Thread thread, final Throwable e) {
        System.err.println("exception in thread \"" + thread.getName() + "\" of Ivshmem4j");
        e.printStackTrace();
    }
}
