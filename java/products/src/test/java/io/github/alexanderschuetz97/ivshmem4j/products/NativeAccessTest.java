package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** JDK 24 and newer can forbid native code except for modules that the command line or a manifest allows. */
class NativeAccessTest {

    private static final String MODULE = "io.github.alexanderschuetz97.ivshmem4j";
    private static final String PROGRAM = """
        import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
        import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
        import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;

        public final class Program {
            public static void main(final String[] arguments) {
                try (IvshmemMemory device = Ivshmem.plain(arguments[0], 4096)) {
                    System.out.println("works " + device.getMemory().getAndAdd(0, (byte) 1));
                } catch (final IvshmemException e) {
                    System.out.println(e.getCode() + ": " + e.getMessage());
                }
            }
        }
        """;

    @TempDir
    private Path folder;
    private String classes;

    @BeforeEach
    void compileTheProgram() throws Exception {
        classes = Files.createDirectories(folder.resolve("classes")).toString();
        assertEquals("", Products.compile(Path.of(classes), List.of(Products.jar().toString()), "Program", PROGRAM));
    }

    @Test
    void allowedItWorksWithoutAWordFromTheJvm() throws Exception {
        assertEquals("works 0\nexit 0", onClassPath("--illegal-native-access=deny", "--enable-native-access=ALL-UNNAMED"));
        assertEquals("works 0\nexit 0", onModulePath("--illegal-native-access=deny", "--enable-native-access=" + MODULE));
    }

    @Test
    void forbiddenOneMessageSaysWhatToDo() throws Exception {
        for (final String said : List.of(onClassPath("--illegal-native-access=deny"), onModulePath("--illegal-native-access=deny"))) {
            assertEquals(2, said.lines().count(), said);
            assertTrue(said.startsWith("PERMISSION_DENIED: this JVM forbids "), said);
            assertTrue(said.contains("--enable-native-access=ALL-UNNAMED"), said);
            assertTrue(said.contains("--enable-native-access=" + MODULE), said);
            assertTrue(said.contains("Enable-Native-Access: ALL-UNNAMED"), said);
        }
    }

    @Test
    void allowingSomebodyElseDoesNotDo() throws Exception {
        // An option that names a module forbids native code to all others. Without that option and without deny, the JVM
        // only prints a warning.
        final String said = onClassPath("--illegal-native-access=deny", "--enable-native-access=java.logging");
        assertTrue(said.startsWith("PERMISSION_DENIED: "), said);
    }

    @Test
    void theManifestOfTheProgramAllowsItToo() throws Exception {
        final Path jar = folder.resolve("program.jar");
        final Manifest manifest = new Manifest();
        manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        manifest.getMainAttributes().put(Attributes.Name.MAIN_CLASS, "Program");
        manifest.getMainAttributes().put(Attributes.Name.CLASS_PATH, Products.jar().toUri().toString());
        manifest.getMainAttributes().putValue("Enable-Native-Access", "ALL-UNNAMED");
        try (OutputStream out = Files.newOutputStream(jar); JarOutputStream content = new JarOutputStream(out, manifest)) {
            content.putNextEntry(new JarEntry("Program.class"));
            content.write(Files.readAllBytes(Path.of(classes, "Program.class")));
        }
        assertEquals("works 0\nexit 0", run(List.of("--illegal-native-access=deny"), List.of("-jar", jar.toString())));
    }

    private String onClassPath(final String... options) throws Exception {
        return run(List.of(options), List.of("-cp", Products.jar() + File.pathSeparator + classes, "Program"));
    }

    private String onModulePath(final String... options) throws Exception {
        return run(List.of(options),
            List.of("--module-path", Products.jar().toString(), "--add-modules", MODULE, "-cp", classes, "Program"));
    }

    private String run(final List<String> options, final List<String> program) throws Exception {
        final Path file = folder.resolve("memory");
        final List<String> command = new ArrayList<>(List.of("java", "-Duser.home=" + folder));
        command.addAll(options);
        command.addAll(program);
        command.add(file.toString());
        final String said = Products.run(Products.newJdk(), command);
        Files.deleteIfExists(file);
        return said;
    }
}
