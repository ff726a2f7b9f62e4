package io.github.alexanderschuetz97.ivshmem4j;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A second Java virtual machine like this one, for tests that need two or that may crash one. */
public final class Jvm implements AutoCloseable {

    private static final long HANG_LIMIT_SECONDS = 120;

    private final Process process;
    private final BufferedReader out;

    /** Starts a JVM with the class path, the settings and the standard error of this one. */
    public Jvm(final Class<?> main, final String... arguments) throws IOException {
        this(new ProcessBuilder(command(settings(), System.getProperty("java.class.path"), main, arguments))
            .redirectError(ProcessBuilder.Redirect.INHERIT));
    }

    /** Starts a JVM with a command line, which may run another program first. */
    public Jvm(final ProcessBuilder builder) throws IOException {
        process = builder.start();
        out = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /** The command line; options come before the class path. */
    public static List<String> command(
        final List<String> options, final String classPath, final Class<?> main, final String... arguments) {
        final List<String> command = new ArrayList<>();
        command.add(System.getProperty("java.home") + "/bin/java");
        if (!System.getProperty("java.specification.version").matches("1\\.8|[0-9]|1[0-9]|2[01]")) {
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        command.addAll(options);
        command.addAll(Arrays.asList("-cp", classPath, main.getName()));
        command.addAll(Arrays.asList(arguments));
        return command;
    }

    /** The system properties of the library in this JVM, as options for another one. */
    public static List<String> settings() {
        final List<String> settings = new ArrayList<>();
        for (final String name : Arrays.asList("ivshmem4j.native.path", "ivshmem4j.memory")) {
            if (System.getProperty(name) != null) {
                settings.add("-D" + name + "=" + System.getProperty(name));
            }
        }
        return settings;
    }

    /** The next line of its output, or null at the end. */
    public String readLine() throws IOException {
        return out.readLine();
    }

    /** The rest of its output, and its exit value as the last line. */
    public String readAll() throws IOException, InterruptedException {
        final List<String> lines = new ArrayList<>();
        for (String line = out.readLine(); line != null; line = out.readLine()) {
            lines.add(line);
        }
        if (!process.waitFor(HANG_LIMIT_SECONDS, TimeUnit.SECONDS)) {
            lines.add("it hangs");
        } else {
            lines.add("exit " + process.exitValue());
        }
        return String.join("\n", lines);
    }

    /** Ends the JVM at once, like a crash. */
    public void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    @Override
    public void close() throws InterruptedException {
        kill();
    }
}
