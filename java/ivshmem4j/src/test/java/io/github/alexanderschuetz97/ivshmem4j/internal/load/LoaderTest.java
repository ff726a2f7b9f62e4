package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
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
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Each test starts a new JVM with a jar that contains the native library. */
@Tag("long")
@EnabledOnOs(value = OS.LINUX, disabledReason = "the loader is tested by wintest there")
class LoaderTest {

    /** A user that owns no other files. */
    private static final int NOBODY = 65_534;
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
        final Path file = own().resolve(sha256(library) + ".so");
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
        final Path file = own().resolve(sha256(library) + ".so");
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
        final Path file = own().resolve(sha256(library) + ".so");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw-rw-"));
        assertEquals(WORKS, run());
        assertEquals("rw-------", mode(file));
    }

    @Test
    void aFolderThatOthersCanWriteToIsNotUsed() throws Exception {
        for (final Path open : new Path[] {own(), own().getParent()}) {
            Files.createDirectories(open);
            Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));
            assertFallsBack(run(), "others may write to " + open);
            assertEquals(Collections.emptyList(), list(own()));
        }
    }

    @Test
    void aCacheThatOthersCanReadHasAFolderThatTheyCannotEnter() throws Exception {
        final Path readable = Files.createDirectories(cache.resolve("ivshmem4j"));
        Files.setPosixFilePermissions(readable, PosixFilePermissions.fromString("rwxr-xr-x"));
        assertEquals(WORKS, run());
        assertEquals("rwx------", mode(own()));
        assertEquals(1, list(own()).size());
    }

    @Test
    void aReadOnlyHomeIsDoneWithoutAndLeavesNothingInTheTemporaryFolder() throws Exception {
        cache = Paths.get("/proc/self");
        assertFallsBack(run(), "/proc/self/ivshmem4j/native: ");
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void withoutAnyFolderToWriteToTheMessageNamesBothAndTheRemedies() throws Exception {
        cache = Paths.get("/proc/self");
        temporary = Paths.get("/proc/self");
        final String said = run();
        assertTrue(said.startsWith("PERMISSION_DENIED: "), said);
        assertTrue(said.contains("/proc/self/ivshmem4j/native") && said.contains("XDG_CACHE_HOME"), said);
        assertTrue(said.contains("-Djava.io.tmpdir") && said.contains("-Divshmem4j.native.path"), said);
        assertEquals(2, said.split("; ").length, said);
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
        // One folder without noexec is enough.
        assertFallsBack(runMounted("noexec", mount, mount, usable), "mounted noexec");
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
        // Bytes after the end of an ELF file change its digest but not its meaning.
        final Path next = jarWith(Arrays.copyOf(library, library.length + 1), "ivshmem4j-next.jar");
        assertEquals("works with 64 bytes\n" + WORKS, runJars(jar, next));
        assertEquals(2, list(own()).size());
    }

    @Test
    void oneVersionInThreeClassLoadersWorksWithOneFile() throws Exception {
        assertEquals("works with 64 bytes\nworks with 64 bytes\n" + WORKS, runJars(jar, jar, jar));
        final String digest = sha256(library);
        final List<String> names =
            list(own()).stream().map(f -> f.getFileName().toString()).collect(Collectors.toList());
        assertEquals(Collections.singletonList(digest + ".so"), names);
    }

    @Test
    void classLoadersThatAreDroppedAreCollectedWithTheirThreadsAndAllHaveOneLibraryInMemory() throws Exception {
        final String said = start(Jvm.command(options(Collections.emptyList()), testClasses(), Reloading.class,
            "20", jar.toString()));
        assertEquals("20 worked, alive 0, libraries 1, threads []\nexit 0", said);
        assertEquals(1, list(own()).size());
    }

    @Test
    void anotherVersionIsLoadedByADescriptorThoughOneThatNobodyUsesAnyMoreHadTheSameNumber() throws Exception {
        cache = Paths.get("/proc/self");
        Files.setAttribute(temporary, "unix:mode", 0777);
        final Path next = jarWith(Arrays.copyOf(library, library.length + 1), "ivshmem4j-next.jar");
        final String said = start(Jvm.command(options(Collections.emptyList()), testClasses(), Reloading.class,
            "1", jar.toString(), next.toString(), jar.toString()));
        assertEquals("1 worked, alive 0, libraries 1, threads []\n1 worked, alive 0, libraries 2, threads []\n"
            + "1 worked, alive 0, libraries 2, threads []\nexit 0", withoutWarnings(said, 3));
    }

    @Test
    void aHomeThatIsNoneIsNotOneInTheWorkingFolder() throws Exception {
        final Path home = Files.createDirectory(folder.resolve("home"));
        final List<String> command = Jvm.command(options(Collections.singletonList("-Duser.home=?")),
            jar + File.pathSeparator + testClasses(), Probe.class);
        final ProcessBuilder builder = new ProcessBuilder(command).directory(temporary.toFile());
        builder.environment().remove("XDG_CACHE_HOME");
        builder.environment().put("HOME", home.toString());
        try (Jvm jvm = new Jvm(builder)) {
            assertEquals(WORKS, jvm.readAll());
        }
        assertEquals(1, list(home.resolve(".cache").resolve("ivshmem4j").resolve("native")).size());
        assertEquals(Collections.emptyList(), list(temporary));
        builder.environment().put("HOME", "relative");
        builder.redirectErrorStream(true);
        try (Jvm jvm = new Jvm(builder)) {
            assertFallsBack(jvm.readAll(), "this user has no home folder");
        }
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void aFolderIsUsedThatOthersCanReadAndOneBelowALink() throws Exception {
        final Path real = Files.createDirectories(folder.resolve("real").resolve("ivshmem4j"));
        Files.setPosixFilePermissions(real, PosixFilePermissions.fromString("rwxr-xr-x"));
        cache = Files.createSymbolicLink(folder.resolve("link"), real.getParent());
        assertEquals(WORKS, run());
        assertEquals(1, list(real).size());
    }

    @Test
    void aFolderBelowOneThatOthersMayWriteToIsNotUsed() throws Exception {
        final Path shared = Files.createDirectory(folder.resolve("shared"));
        for (final String mode : new String[] {"rwxrwxr-x", "rwxr-xrwx"}) {
            Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString(mode));
            cache = shared.resolve("a").resolve("b");
            assertFallsBack(run(), "others may write to " + shared);
            assertEquals(Collections.emptyList(), list(shared));
        }
    }

    @Test
    void aTemporaryFolderThatOthersMayWriteToHasNoNamedFileInIt() throws Exception {
        final Path shared = Files.createDirectory(folder.resolve("shared"));
        cache = Paths.get("/proc/self");
        temporary = shared;
        for (final int mode : new int[] {0777, 02775}) {
            Files.setAttribute(shared, "unix:mode", mode);
            assertFallsBack(run(), "/proc/self/ivshmem4j/native: ");
            // One load for each class loader.
            assertEquals("works with 64 bytes\nworks with 64 bytes\n" + WORKS, withoutWarnings(runJars(jar, jar, jar), 3));
            assertEquals(Collections.emptyList(), list(shared));
        }
        // A folder below such a folder is refused.
        temporary = Files.createDirectory(shared.resolve("below"));
        final String said = run();
        assertTrue(said.startsWith("PERMISSION_DENIED: "), said);
        assertEquals(2, said.split(Pattern.quote("others may write to " + shared + " (mode 2775)"), -1).length, said);
        assertTrue(said.contains("chmod go-w") && said.contains("chmod +t"), said);
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void anyUserLoadsFromATemporaryFolderOfRootThatAllMayWriteTo() throws Exception {
        if (!isRoot("anyUserLoadsFromATemporaryFolderOfRootThatAllMayWriteTo")) {
            return;
        }
        // It reads what is only root's, as the class path may be, and has no other right.
        checkThatItLoads("setpriv", "--reuid=" + NOBODY, "--regid=" + NOBODY, "--clear-groups",
            "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
            "--bounding-set=-all,+dac_read_search");
    }

    @Test
    void aUserNamespaceWithoutRootLoadsFromTheTemporaryFolder() throws Exception {
        final String[] unshare = {"unshare", "--user", "--map-user=1000", "--map-group=1000"};
        final List<String> nothing = new ArrayList<>(Arrays.asList(unshare));
        nothing.add("true");
        if (new ProcessBuilder(nothing).start().waitFor() != 0) {
            System.out.println("SKIP aUserNamespaceWithoutRootLoadsFromTheTemporaryFolder: cannot make a namespace here");
            return;
        }
        checkThatItLoads(unshare);
    }

    private void checkThatItLoads(final String... by) throws Exception {
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x"));
        Files.setAttribute(temporary, "unix:mode", 0777);
        cache = Paths.get("/proc/self");
        final List<String> command = new ArrayList<>(Arrays.asList(by));
        command.addAll(Jvm.command(options(Collections.emptyList()), testClasses(), Probe.class,
            jar.toString(), jar.toString()));
        assertEquals("works with 64 bytes\n" + WORKS, withoutWarnings(start(command), 2));
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void whatAnotherProcessMayBeUsingStaysInTheCacheWhenTheLibraryIsUnpacked() throws Exception {
        final Path used = Files.createDirectories(own());
        Files.setPosixFilePermissions(used, PosixFilePermissions.fromString("rwx------"));
        Files.write(used.resolve(".alias1"), new byte[1]);
        Files.write(used.resolve(".part1"), new byte[1]);
        assertEquals(WORKS, run());
        // New files may be in use.
        assertEquals(3, list(used).size());
    }

    @Test
    void aFolderOfAnotherUserIsNotUsedAndNothingIsMadeThere() throws Exception {
        if (!isRoot("aFolderOfAnotherUserIsNotUsedAndNothingIsMadeThere")) {
            return;
        }
        final Path theirs = theirs();
        cache = theirs.resolve("cache");
        assertFallsBack(run(), theirs + " belongs to user " + NOBODY);
        assertEquals(Collections.emptyList(), list(theirs));
        // The folder of the other user has the name that this user needs, in a folder in which all users may create folders.
        final Path all = Files.createDirectory(folder.resolve("all"));
        Files.setAttribute(all, "unix:mode", 01777);
        Files.move(theirs, all.resolve("ivshmem4j"));
        cache = all;
        assertFallsBack(run(), all.resolve("ivshmem4j") + " belongs to user " + NOBODY);
        assertEquals(Collections.emptyList(), list(all.resolve("ivshmem4j")));
        temporary = all.resolve("ivshmem4j");
        final String said = run();
        assertTrue(said.contains("belongs to user " + NOBODY + " and neither to this one, 0, nor to root"), said);
        assertEquals(Collections.emptyList(), list(temporary));
    }

    @Test
    void nobodySwapsTheFolderBetweenTheLookAndTheLoading() throws Exception {
        final String test = "nobodySwapsTheFolderBetweenTheLookAndTheLoading";
        if (!isRoot(test)) {
            return;
        }
        final int starts = Integer.getInteger("ivshmem4j.attack.starts", 40);
        final int startsOfOneJvm = 5;
        final Path marker = folder.resolve("marker");
        final Path foreign = compiled("#include <fcntl.h>\n__attribute__((constructor)) static void f(void) {"
            + " open(\"" + marker + "\", O_CREAT | O_WRONLY, 0600); }");
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x"));
        final Path swap = compiledFrom(Paths.get(LoaderTest.class.getResource("/swap.c").toURI()), folder.resolve("swap"));
        final Path theirs = theirs();
        for (final String name : new String[] {"other", "store"}) {
            Files.setAttribute(Files.createDirectory(theirs.resolve(name)), "unix:uid", NOBODY);
        }
        for (int copy = 0; copy < startsOfOneJvm; copy++) {
            final String name = sha256(library) + (copy == 0 ? "" : "-" + copy) + ".so";
            Files.setAttribute(Files.copy(foreign, theirs.resolve("store").resolve(name)), "unix:uid", NOBODY);
        }
        cache = theirs;
        final Process swapper = new ProcessBuilder("setpriv", "--reuid=" + NOBODY, "--regid=" + NOBODY, "--clear-groups",
            swap.toString(), "ivshmem4j", "other", "store").directory(theirs.toFile()).redirectErrorStream(true).start();
        try {
            assertEquals("swapping", new BufferedReader(new InputStreamReader(swapper.getInputStream())).readLine());
            final Path[] jars = new Path[startsOfOneJvm];
            Arrays.fill(jars, jar);
            for (int start = 0; start < starts; start += startsOfOneJvm) {
                final String said = runJars(jars);
                final int last = start + startsOfOneJvm;
                assertFalse(Files.exists(marker), () -> "code of another user ran within " + last + " starts: " + said);
                assertEquals(startsOfOneJvm, said.split("works with 64 bytes", -1).length - 1, said);
            }
        } finally {
            swapper.destroyForcibly().waitFor();
        }
    }

    private static boolean isRoot(final String test) {
        final boolean root = "root".equals(System.getProperty("user.name"));
        if (!root) {
            System.out.println("SKIP " + test + ": it needs root, to make folders of another user");
        }
        return root;
    }

    /** A folder of another user. */
    private Path theirs() throws IOException {
        final Path theirs = Files.createDirectory(folder.resolve("theirs"));
        Files.setAttribute(theirs, "unix:uid", NOBODY);
        return theirs;
    }

    /** Checks that loading works after one warning with the reason why the cache is not used. */
    private static void assertFallsBack(final String said, final String why) {
        assertTrue(said.contains(why), said);
        assertEquals(WORKS, withoutWarnings(said, 1));
    }

    /** The output without a number of warnings that the cache is not used. The log has a line with the time before each. */
    private static String withoutWarnings(final String said, final int warnings) {
        final String warning = "[^\n]*\n[^\n]*the native library is unpacked anew at each start, into [^\n]*\n";
        assertEquals(warnings, said.split(warning, -1).length - 1, said);
        return said.replaceAll(warning, "");
    }

    /** The folder of the library in the cache. */
    private Path own() {
        return cache.resolve("ivshmem4j").resolve("native");
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
            // The JVM's own warning about an invalid library.
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

    /** A copy of the tested jar with another native library. */
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
        return compiledFrom(Files.write(folder.resolve("source.c"), source.getBytes(StandardCharsets.UTF_8)), file, "-shared");
    }

    private static Path compiledFrom(final Path source, final Path file, final String... options) throws Exception {
        final List<String> command = new ArrayList<>(Arrays.asList("cc", "-o", file.toString(), source.toString()));
        command.addAll(Arrays.asList(options));
        assertEquals(0, new ProcessBuilder(command).inheritIO().start().waitFor());
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
