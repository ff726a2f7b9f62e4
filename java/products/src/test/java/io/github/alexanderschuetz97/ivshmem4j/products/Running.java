package io.github.alexanderschuetz97.ivshmem4j.products;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A running program, which ends when this object is closed. */
final class Running implements AutoCloseable {

    private static final long HANG_LIMIT_SECONDS = 120;

    private final Process process;
    private final BufferedReader out;

    Running(final List<String> command, final Consumer<ProcessBuilder> settings) throws IOException {
        final ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        // So that non-ASCII text works in every environment.
        builder.environment().put("LC_ALL", "C.UTF-8");
        settings.accept(builder);
        process = builder.start();
        out = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /** The next line of the output, or null at the end. */
    String line() throws IOException {
        return out.readLine();
    }

    /** Presses Enter. */
    void enter() throws IOException {
        process.getOutputStream().write('\n');
        process.getOutputStream().flush();
    }

    /** The rest of the output, and the exit value as the last line. */
    String rest() throws Exception {
        final StringBuilder said = new StringBuilder();
        for (String line = out.readLine(); line != null; line = out.readLine()) {
            said.append(line).append('\n');
        }
        if (!process.waitFor(HANG_LIMIT_SECONDS, TimeUnit.SECONDS)) {
            return said + "it hangs";
        }
        return said + "exit " + process.exitValue();
    }

    @Override
    public void close() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }
}
