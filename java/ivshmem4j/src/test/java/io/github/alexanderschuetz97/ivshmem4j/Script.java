package io.github.alexanderschuetz97.ivshmem4j;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A Python program from the resources of the tests, which acts as a client or server in a way that no program of this
 * project does.
 */
public final class Script {

    private Script() {}

    /**
     * Starts a program and waits until it prints that it is ready; null if Python is missing.
     *
     * @param ready the line that it prints when it is ready
     */
    public static Process start(final String ready, final String name, final String... arguments) throws IOException {
        final List<String> command = new ArrayList<>();
        command.add("python3");
        command.add(new File(Script.class.getResource("/" + name).getPath()).getPath());
        command.addAll(Arrays.asList(arguments));
        final Process process;
        try {
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        } catch (final IOException e) {
            return null;
        }
        assertEquals(ready, new BufferedReader(new InputStreamReader(process.getInputStream())).readLine());
        return process;
    }
}
