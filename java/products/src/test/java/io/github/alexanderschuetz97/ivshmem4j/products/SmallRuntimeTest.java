package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A jlink runtime of this library and only the modules that it requires, without java.util.logging. */
@Timeout(300)
class SmallRuntimeTest {

    private static final String MODULE = "io.github.alexanderschuetz97.ivshmem4j";
    private static final String PROGRAM = """
        import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
        import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
        import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
        import java.io.ByteArrayOutputStream;
        import java.io.PrintStream;

        public final class Program {
            public static void main(final String[] arguments) throws Exception {
                try {
                    Class.forName("java.util.logging.Logger");
                    System.out.println("there is java.util.logging");
                } catch (final ClassNotFoundException e) {
                    System.out.println("no java.util.logging");
                }
                final ByteArrayOutputStream errors = new ByteArrayOutputStream();
                System.setErr(new PrintStream(errors, true));
                final IvshmemServer server = IvshmemServer.builder(arguments[0]).size(4096).start();
                try (IvshmemMemory device = Ivshmem.doorbell(server.getPath())) {
                    device.sendInterrupt(device.getOwnPeerID(), 0);
                    device.waitInterrupt(0);
                    server.close();
                    while (!errors.toString().contains("gone")) {
                        Thread.sleep(1);
                    }
                    device.getMemory().write(0, 4711);
                    System.out.println(device.getMemory().readInt(0));
                }
                System.out.println(errors);
            }
        }
        """;

    @TempDir
    private Path folder;

    @Test
    void withoutTheModuleOfLoggingTheLossOfTheServerIsALineOnStandardError() throws Exception {
        final Path classes = Files.createDirectories(folder.resolve("classes"));
        assertEquals("", Products.compile(classes, List.of(Products.jar().toString()), "Program", PROGRAM));
        for (final String jdk : Products.jdks()) {
            final Path image = folder.resolve(Path.of(jdk).getFileName());
            assertEquals("exit 0", Products.run(jdk, List.of("jlink", "--module-path", Products.jar().toString(),
                "--add-modules", MODULE, "--output", image.toString())));
            final List<String> command = new ArrayList<>(List.of(image + "/bin/java", "-Duser.home=" + folder));
            if (jdk.equals(Products.newJdk())) {
                command.add("--enable-native-access=" + MODULE);
            }
            command.addAll(List.of("--add-modules", MODULE, "-cp", classes.toString(), "Program", folder.resolve("s").toString()));
            final String said = Products.run(command);
            assertTrue(said.startsWith("no java.util.logging\n4711\n"), said);
            assertTrue(said.contains("WARNING: doorbell:" + folder.resolve("s") + ": the server is gone"), said);
            assertTrue(said.endsWith("exit 0") && !said.contains("\tat "), said);
        }
    }
}
