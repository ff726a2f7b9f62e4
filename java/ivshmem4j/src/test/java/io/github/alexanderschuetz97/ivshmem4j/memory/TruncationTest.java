package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.URISyntaxException;
import java.nio.channels.FileChannel;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.opentest4j.TestAbortedException;

/** Another process truncates the file. The test runs in a separate JVM, as old JVMs report the error at any later point. */
@Timeout(120)
@EnabledOnOs(value = OS.LINUX, disabledReason = "files cannot be opened")
class TruncationTest {

    private static final int PAGE = 4096;

    @Test
    void theJvmLivesAndNothingElseThanTheTwoErrorsIsThrown() throws Exception {
        for (final String result : results("-Xmixed")) {
            assertTrue(result.matches(".*(IvshmemException|InternalError|later)"), result);
        }
    }

    @Test
    void interpretedCodeGetsTheExceptionFromJava22On() throws Exception {
        final List<String> results = results("-Xint");
        if ("foreign".equals(System.getProperty("ivshmem4j.memory"))) {
            results.removeIf(line -> line.endsWith(IvshmemException.class.getName()));
            // Views are objects of the JVM, which determines their exceptions.
            results.removeIf(line -> line.matches("result (asByteBuffer|view).*InternalError"));
            assertEquals(new ArrayList<String>(), results);
        }
    }

    private static List<String> results(final String mode) throws Exception {
        final List<String> command = new ArrayList<>();
        command.add(Paths.get(System.getProperty("java.home"), "bin", "java").toString());
        command.add(mode);
        for (final String property : new String[] {"ivshmem4j.memory", "ivshmem4j.native.path"}) {
            if (System.getProperty(property) != null) {
                command.add("-D" + property + "=" + System.getProperty(property));
            }
        }
        command.add("-cp");
        command.add(place(NativeMemory.class) + File.pathSeparator + place(TruncationTest.class) + File.pathSeparator
            + place(TestAbortedException.class));
        command.add(Child.class.getName());
        final Process child = new ProcessBuilder(command).redirectErrorStream(true).start();
        final List<String> lines;
        try (BufferedReader out = new BufferedReader(new InputStreamReader(child.getInputStream()))) {
            lines = out.lines().collect(Collectors.toList());
        }
        assertEquals(0, child.waitFor(), () -> String.join("\n", lines));
        lines.removeIf(line -> !line.startsWith("result"));
        assertTrue(lines.size() > 2, () -> String.join("\n", lines));
        return lines;
    }

    private static String place(final Class<?> type) throws URISyntaxException {
        return Paths.get(type.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
    }

    /** What runs in the other JVM. */
    static final class Child {

        private Child() {}

        public static void main(final String[] arguments) throws Exception {
            final List<Operation> operations = Operation.all();
            try (Region region = new Region(4 * PAGE)) {
                // A late error may occur in place of closing.
                region.file.toFile().deleteOnExit();
                // So that the last accesses run as compiled code.
                for (int i = 0; i < 300; i++) {
                    runAll(operations, region.memory, false);
                }
                try (FileChannel file = FileChannel.open(region.file, StandardOpenOption.WRITE)) {
                    file.truncate(PAGE);
                }
                for (int i = 0; i < 3; i++) {
                    try {
                        runAll(operations, region.memory, true);
                    } catch (final InternalError late) {
                        System.out.println("result: " + late.getClass().getName());
                    }
                }
                region.memory.write(0, 7);
            }
        }

        private static void runAll(
            final List<Operation> operations, final NativeMemory memory, final boolean print) {
            for (final Operation operation : operations) {
                // The operations up to Volatile may end the process, and sync and getNativePointer do not access the bytes.
                if (operation.name.matches("(getAnd|compareAnd|spin|write.*(Release|Volatile)|sync|getNative).*")) {
                    continue;
                }
                String result = "nothing, or later";
                try {
                    operation.call.on(memory, 2 * PAGE);
                } catch (final Exception | InternalError e) {
                    result = e.getClass().getName();
                }
                if (print) {
                    System.out.println("result " + operation + ": " + result);
                }
            }
        }
    }
}
