package io.github.alexanderschuetz97.ivshmem4j.internal;

import java.lang.reflect.Method;

/**
 * Logs events that no call can report: through {@code System.Logger}, which a program can redirect to its own log, or
 * through {@code java.util.logging} on Java 8, which has no {@code System.Logger}. Uses reflection, as neither is in all
 * Java versions and modules.
 */
public final class Log {

    private static final String NAME = "io.github.alexanderschuetz97.ivshmem4j";

    private Log() {}

    /** Logs the loss of a function. */
    public static void warn(final String text) {
        log("WARNING", text);
    }

    /** Logs the return of a function. */
    public static void info(final String text) {
        log("INFO", text);
    }

    private static void log(final String level, final String text) {
        try {
            final Class<?> levels = type("System$Logger$Level");
            if (levels != null) {
                final Object logger = System.class.getMethod("getLogger", String.class).invoke(null, NAME);
                final Method log = type("System$Logger").getMethod("log", levels, String.class);
                log.invoke(logger, levels.getField(level).get(null), text);
            } else {
                final Class<?> loggers = Class.forName("java.util.logging.Logger");
                final Object logger = loggers.getMethod("getLogger", String.class).invoke(null, NAME);
                loggers.getMethod(level.toLowerCase(java.util.Locale.ROOT), String.class).invoke(logger, text);
            }
        } catch (final ReflectiveOperationException e) {
            // No logger exists, as in a native image, or the program's own logger has failed.
            System.err.println(NAME + ": " + text);
        }
    }

    /** A nested type of a class in java.lang, or null. */
    private static Class<?> type(final String name) {
        try {
            return Class.forName("java.lang." + name);
        } catch (final ClassNotFoundException e) {
            return null;
        }
    }
}
