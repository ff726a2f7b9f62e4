package io.github.alexanderschuetz97.ivshmem4j.internal;

import java.lang.reflect.Method;

/**
 * Says what a program should know and no call can tell it: by {@code System.Logger}, which a program can turn to its own log;
 * on Java 8, which has none, by {@code java.util.logging}. By reflection, as neither is in all Java versions and modules.
 */
public final class Log {

    private static final String NAME = "io.github.alexanderschuetz97.ivshmem4j";

    private Log() {}

    /** Something does not go on as before. */
    public static void warn(final String text) {
        log("WARNING", text);
    }

    /** Something goes on as before again. */
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
            // There is no logger, as in an image made ahead of time, or the program's own has failed.
            System.err.println(NAME + ": " + text);
        }
    }

    /** A type inside of java.lang, or null. */
    private static Class<?> type(final String name) {
        try {
            return Class.forName("java.lang." + name);
        } catch (final ClassNotFoundException e) {
            return null;
        }
    }
}
