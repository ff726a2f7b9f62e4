package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Each test starts a new JVM with a jar that has the native library inside. */
@Tag("long")
@EnabledOnOs(value = OS.LINUX, disabledReason = "the loader is tested by wintest there")
class LoaderTest {

    private static final String WORKS = "works with 64 bytes\nexit 0";

    @TempDir
    Path folder;

    private byte[] library;
    private Path jar;
    private Path cache;
    private Path temporary;

    @BeforeEach
    void makeAJarWithTheLibrary() throws Exception {
        library = Files.readAllBytes(Paths.get(System.getProperty("ivshmem4j.native.path")));
        jar = jarWith(library, "ivshmem4j.jar");
        cache = folder.resolve("cache");
        temporary = Files.createDirectory(folder.resolve("tmp"));
    }

    @Test
    void theFirstUseUnpacksTheLibraryIntoAPrivateFolderAndTheSecondUsesItAgain() throws Exception {
        assertEquals(WORKS, run());
        final Path file = cache.resolve("ivshmem4j").resolve(sha256(library) + ".so");
        assertArrayEquals(library, Files.readAllBytes(file));
        assertEquals("rwx------", mode(file.getParent()));
        final Object inode = Files.getAttribute(file, "unix:ino");
        assertEquals(WORKS, run());
        assertEquals(inode, Files.getAttribute(file, "unix:ino"));
        assertEquals(Collections.singletonList(file), list(file.getParent()));
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void aLibraryThatWasTamperedWithIsReplaced() throws Exception {
        assertEquals(WORKS, run());
        final Path file = cache.resolve("ivshmem4j").resolve(sha256(library) + ".so");
        final byte[] tampered = library.clone();
        tampered[tampered.length / 2] ^= 1;
        Files.write(file, tampered);
        assertEquals(WORKS, run());
        assertArrayEquals(library, Files.readAllBytes(file));
        Files.write(file, "garbage".getBytes(StandardCharsets.UTF_8));
        assertEquals(WORKS, run());
        assertArrayEquals(library, Files.readAllBytes(file));
    }

    @Test
    void aLibraryThatOthersCanWriteToIsReplaced() throws Exception {
        assertEquals(WORKS, run());
        final Path file = cache.resolve("ivshmem4j").resolve(sha256(library) + ".so");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw-rw-"));
        assertEquals(WORKS, run());
        assertEquals("rw-------", mode(file));
    }

    @Test
    void aFolderThatOthersCanEnterIsNotUsed() throws Exception {
        final Path open = Files.createDirectories(cache.resolve("ivshmem4j"));
        Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));
        assertEquals(WORKS, run());
        assertEquals(Collections.emptyList(), list(open));
    }

    @Test
    void aReadOnlyHomeIsDoneWithoutAndLeavesNothingInTheTemporaryFolder() throws Exception {
        cache = Paths.get("/proc/self");
        assertEquals(WORKS, run());
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void withoutAnyFolderToWriteToTheMessageNamesBothAndTheRemedies() throws Exception {
        cache = Paths.get("/proc/self");
        temporary = Paths.get("/proc/self");
        final String said = run();
        assertTrue(said.startsWith("PERMISSION_DENIED: "), said);
        assertTrue(said.contains("/proc/self/ivshmem4j") && said.contains("XDG_CACHE_HOME"), said);
        assertTrue(said.contains("-Djava.io.tmpdir") && said.contains("-Divshmem4j.native.path"), said);
    }

    @Test
    void foldersMountedNoexecAreExplained() throws Exception {
        final Path mount = Files.createDirectory(folder.resolve("noexec"));
        final Path usable = temporary;
        final String said = runMounted("noexec", mount, mount, mount);
        if (said.contains("unshare") || said.contains("mount:")) {
            System.out.println("SKIP foldersMountedNoexecAreExplained: cannot mount a file system here: " + said);
            return;
        }
        assertTrue(said.startsWith("PERMISSION_DENIED: "), said);
        assertTrue(said.contains("mounted noexec"), said);
        // One folder that is not is enough.
        assertEquals(WORKS, runMounted("noexec", mount, mount, usable));
        assertEquals(WORKS, runMounted("noexec", mount, usable, mount));
    }

    @Test
    void theNamedFileIsLoadedAndNothingElseIsTried() throws Exception {
        final Path file = Files.write(folder.resolve("mine.so"), library);
        assertEquals(WORKS, run("-Divshmem4j.native.path=" + file));
        assertEquals(false, Files.exists(cache));

        final String missing = run("-Divshmem4j.native.path=" + folder.resolve("missing.so"));
        assertTrue(missing.startsWith("NOT_FOUND: ") && missing.contains("missing.so is not a file"), missing);

        Files.write(file, "garbage".getBytes(StandardCharsets.UTF_8));
        final String garbage = run("-Divshmem4j.native.path=" + file);
        assertTrue(garbage.startsWith("UNSUPPORTED: cannot load ") && garbage.contains("mine.so"), garbage);
        assertEquals(false, Files.exists(cache));
    }

    @Test
    void aFileOnTheLibraryPathComesBeforeTheJar() throws Exception {
        Files.write(folder.resolve("libivshmem4j.so"), library);
        assertEquals(WORKS, run("-Djava.library.path=/nowhere" + File.pathSeparator + folder));
        assertEquals(false, Files.exists(cache));
        Files.write(folder.resolve("libivshmem4j.so"), new byte[1]);
        final String broken = run("-Djava.library.path=" + folder);
        assertTrue(broken.startsWith("UNSUPPORTED: cannot load ") && broken.contains("java.library.path"), broken);
    }

    @Test
    void aLibraryOfAnotherReleaseAndOneOfSomethingElseAreTurnedDown() throws Exception {
        final String name = "Java_io_github_alexanderschuetz97_ivshmem4j_internal_NativeLibrary_abi";
        final String said = run("-Divshmem4j.native.path=" + compiled("int " + name + "(void) { return 4711; }"));
        assertTrue(said.startsWith("UNSUPPORTED: ") && said.contains("has version 4711"), said);
        assertTrue(said.contains("use both from the same release"), said);

        final String other = run("-Divshmem4j.native.path=" + compiled("int other(void) { return 0; }"));
        assertTrue(other.contains("is not the native library of Ivshmem4j"), other);
    }

    @Test
    void twoVersionsInTwoClassLoadersWork() throws Exception {
        // What is behind the end of an ELF file changes its digest and not its meaning.
        final Path next = jarWith(Arrays.copyOf(library, library.length + 1), "ivshmem4j-next.jar");
        assertEquals("works with 64 bytes\n" + WORKS, runJars(jar, next));
        assertEquals(2, list(cache.resolve("ivshmem4j")).size());
    }

    @Test
    void oneVersionInThreeClassLoadersWorksWithACopyForEach() throws Exception {
        assertEquals("works with 64 bytes\nworks with 64 bytes\n" + WORKS, runJars(jar, jar, jar));
        final String digest = sha256(library);
        final List<String> names =
            list(cache.resolve("ivshmem4j")).stream().map(f -> f.getFileName().toString()).collect(Collectors.toList());
        assertEquals(Arrays.asList(digest + "-1.so", digest + "-2.so", digest + ".so"), names);
    }

    private String run(final String... options) throws Exception {
        return start(Arrays.asList(options), jar + File.pathSeparator + testClasses());
    }

    private String runJars(final Path... jars) throws Exception {
        final String[] names = Stream.of(jars).map(Path::toString).toArray(String[]::new);
        return start(Collections.emptyList(), testClasses(), names);
    }

    private String runMounted(final String how, final Path mount, final Path cache, final Path temporary)
        throws Exception {
        this.cache = cache;
        this.temporary = temporary;
        final List<String> command = new ArrayList<>(Arrays.asList("unshare", "--mount", "sh", "-c",
            "mount -t tmpfs -o " + how + " none \"$0\" && exec \"$@\"", mount.toString()));
        command.addAll(Jvm.command(options(Collections.emptyList()), jar + File.pathSeparator + testClasses(), Probe.class));
        return start(command);
    }

    private String start(final List<String> options, final String classPath, final String... arguments)
        throws Exception {
        return start(Jvm.command(options(options), classPath, Probe.class, arguments));
    }

    private String start(final List<String> command) throws Exception {
        final ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("XDG_CACHE_HOME", cache.toString());
        try (Jvm jvm = new Jvm(builder)) {
            // What the JVM itself says of a library that is no library.
            return jvm.readAll().replaceAll("(OpenJDK|It's highly recommended) .*\n", "");
        }
    }

    private List<String> options(final List<String> more) {
        final List<String> options = new ArrayList<>();
        options.add("-Djava.io.tmpdir=" + temporary);
        options.add("-XX:-UsePerfData");
        options.addAll(more);
        return options;
    }

    /** A copy of the jar under test with this native library. */
    private Path jarWith(final byte[] content, final String name) throws Exception {
        final Path from = Paths.get(Ivshmem.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        final Path to = Files.copy(from, folder.resolve(name));
        final URI uri = URI.create("jar:" + to.toUri());
        try (FileSystem zip = FileSystems.newFileSystem(uri, Collections.<String, Object>emptyMap())) {
            final Path inside = zip.getPath("/META-INF/native/linux-x86_64/libivshmem4j.so");
            Files.createDirectories(inside.getParent());
            Files.write(inside, content);
        }
        return to;
    }

    private Path compiled(final String source) throws Exception {
        final Path file = folder.resolve("compiled" + source.hashCode() + ".so");
        final Path c = Files.write(folder.resolve("source.c"), source.getBytes(StandardCharsets.UTF_8));
        final Process cc =
            new ProcessBuilder("cc", "-shared", "-o", file.toString(), c.toString()).inheritIO().start();
        assertEquals(0, cc.waitFor());
        return file;
    }

    private static String testClasses() throws Exception {
        return Paths.get(Probe.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
    }

    private static List<Path> list(final Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().collect(Collectors.toList());
        }
    }

    private static String mode(final Path path) throws IOException {
        return PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
    }

    private static String sha256(final byte[] bytes) throws Exception {
        final StringBuilder text = new StringBuilder();
        for (final byte b : MessageDigest.getInstance("SHA-256").digest(bytes)) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }
}
