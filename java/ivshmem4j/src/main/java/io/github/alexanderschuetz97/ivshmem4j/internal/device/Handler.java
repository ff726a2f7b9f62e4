package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.internal.Log;
import java.lang.Thread.UncaughtExceptionHandler;

/** Handles all exceptions of callbacks and of the dispatcher. Throws none itself. */
final class Handler {

    /** Null prints the exceptions. */
    private final UncaughtExceptionHandler handler;
    /** The target string, for the log. */
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

    /** Reports a loss outside the program. This is not a defect, so a stack trace has no value. */
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
