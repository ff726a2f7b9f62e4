package io.github.alexanderschuetz97.ivshmem4j.products;

import java.io.File;
import java.io.IOException;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/** The products, and the actions of a user with them. */
final class Products {

    /** The output folder of scripts/dist. */
    static final Path DIST = Path.of(System.getProperty("dist")).toAbsolutePath().normalize();

    private static final long HANG_LIMIT_SECONDS = 120;

    private Products() {}

    static Path jar() {
        return file("ivshmem4j-[0-9.]+(-SNAPSHOT)?\\.jar");
    }

    static Path sources() {
        return file("ivshmem4j-.*-sources\\.jar");
    }

    static Path javadoc() {
        return file("ivshmem4j-.*-javadoc\\.jar");
    }

    /** The source folder of this project. */
    static Path project() {
        return DIST.getParent();
    }

    /** The homes of the JDK that runs the tests and of the newest one. */
    static List<String> jdks() {
        return List.of(System.getProperty("java.home"), newJdk());
    }

    /** A JDK of version 22 or newer. */
    static String newJdk() {
        final String home = System.getProperty("jdk22.home");
        if (home == null || home.isEmpty()) {
            throw new IllegalStateException("products are made and tested with a JDK 22 or newer: name it with -Djdk22.home=FOLDER");
        }
        return home;
    }

    /** Runs a command; returns its output on both streams and, as the last line, its exit value. */
    static String run(final List<String> command) throws Exception {
        final Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        // A program that hangs keeps its output open: it is killed, and its exit value shows that.
        process.onExit().orTimeout(HANG_LIMIT_SECONDS, TimeUnit.SECONDS).exceptionally(late -> process.destroyForcibly());
        final String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return said + "exit " + process.waitFor();
    }

    /** Like the method above; the first word is a program of a JDK. */
    static String run(final String jdk, final List<String> command) throws Exception {
        final List<String> line = new ArrayList<>(command);
        line.set(0, jdk + "/bin/" + command.get(0));
        return run(line);
    }

    /**
     * Compiles a class for Java 8 against the jar; returns the messages of the compiler, thus an empty string on success.
     */
    static String compile(final Path to, final List<String> classPath, final String name, final String source) {
        final JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        final JavaFileObject file = new SimpleJavaFileObject(
            URI.create("string:///" + name.replace('.', '/') + ".java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(final boolean ignoreEncodingErrors) {
                return source;
            }
        };
        final StringWriter said = new StringWriter();
        compiler.getTask(said, null, null, List.of("--release", "8", "-Xlint:-options", "-d", to.toString(),
            "-cp", String.join(File.pathSeparator, classPath)), null, List.of(file)).call();
        return said.toString();
    }

    private static Path file(final String pattern) {
        try (Stream<Path> files = Files.list(DIST)) {
            return files.filter(file -> file.getFileName().toString().matches(pattern)).findFirst()
                .orElseThrow(() -> new IllegalStateException("no " + pattern + " in " + DIST + ": scripts/dist makes it"));
        } catch (final IOException e) {
            throw new IllegalStateException("scripts/dist makes the products", e);
        }
    }
}
