package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.internal.Log;
import java.lang.Thread.UncaughtExceptionHandler;

/** Takes what callbacks, and dispatching itself, throw. Nothing gets past it. */
final class Handler {

    /** Null stands for printing. */
    private final UncaughtExceptionHandler handler;
    /** What was opened, for the log. */
    private final String target;

    /** A null handler prints to the standard error stream. */
    Handler(final UncaughtExceptionHandler handler, final String target) {
        this.handler = handler;
        this.target = target;
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
            if (handler == null) {
                print(thread, thrown);
            } else {
                handler.uncaughtException(thread, thrown);
            }
        } catch (final Throwable e) {
            e.addSuppressed(thrown);
            print(thread, e);
        }
    }

    /** Something outside of the program has ended, which is no defect: nobody's stack tells anything about it. */
    void lost(final IvshmemException what) {
        if (handler == null) {
            Log.warn(target + ": " + what.getMessage());
        } else {
            accept(what);
        }
    }

    void inform(final String what) {
        Log.info(target + ": " + what);
    }

    private static void print(final Thread thread, final Throwable e) {
        System.err.println("exception in thread \"" + thread.getName() + "\" of Ivshmem4j");
        e.printStackTrace();
    }
}
