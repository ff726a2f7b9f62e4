package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collections;
import java.util.List;

/**
 * Finds the native library and loads it for the class loader of this class.
 *
 * <p>Tries, in this order: <ol>
 *   <li>the file that the system property {@value #PATH_PROPERTY} names; if it does not load, nothing else is tried;
 *   <li>a file with the library's name in a folder of {@code java.library.path}, likewise;
 *   <li>the library in this jar, unpacked into a private folder: see {@link Extraction}.
 * </ol>
 */
public final class Loader {

    /** The system property with the path of the native library. */
    public static final String PATH_PROPERTY = "ivshmem4j.native.path";

    private Loader() {}

    /**
     * Loads the library.
     *
     * @return the file of the library, for messages
     * @throws IvshmemException if no library can be loaded; the message lists the attempts and the remedy
     */
    public static Path load() {
        final Platform platform =
            Platform.of(System.getProperty("os.name"), System.getProperty("os.arch"), mappings());
        final String named = System.getProperty(PATH_PROPERTY);
        if (named != null) {
            return loadFile(Paths.get(named), "the system property " + PATH_PROPERTY + " names it");
        }
        for (final String folder : System.getProperty("java.library.path", "").split(File.pathSeparator)) {
            // On Windows this contains PATH, which may have quotes. They are not part of a path, and File accepts them.
            final File file = new File(folder, platform.fileName());
            if (!folder.isEmpty() && file.exists()) {
                return loadFile(file.toPath(), "the system property java.library.path leads to it");
            }
        }
        return new Extraction(platform, content(platform)).load();
    }

    private static Path loadFile(final Path file, final String why) {
        final Path absolute = file.toAbsolutePath();
        if (!Files.isRegularFile(absolute)) {
            throw new IvshmemException(Code.NOT_FOUND, absolute + " is not a file (" + why + ")");
        }
        try {
            link(absolute);
            return absolute;
        } catch (final UnsatisfiedLinkError e) {
            throw new IvshmemException(Code.UNSUPPORTED,
                "cannot load " + absolute + " (" + why + "): " + e.getMessage(), e);
        }
    }

    /** The only call of {@link System#load}, which binds the library to the class loader of the calling class. */
    static void link(final Path file) {
        try {
            System.load(file.toString());
        } catch (final RuntimeException e) {
            // IllegalCallerException, which Java 8 does not have, or SecurityException.
            throw new IvshmemException(Code.PERMISSION_DENIED, "this JVM forbids loading " + file + ": "
                + e.getMessage() + "; start it with --enable-native-access=ALL-UNNAMED when this library is on the class"
                + " path, with --enable-native-access=io.github.alexanderschuetz97.ivshmem4j when it is on the module"
                + " path, or write 'Enable-Native-Access: ALL-UNNAMED' into the manifest of a jar run with -jar", e);
        }
    }

    static byte[] content(final Platform platform) {
        try (InputStream resource = Loader.class.getResourceAsStream(platform.resource())) {
            if (resource != null) {
                return bytes(resource);
            }
        } catch (final IOException e) {
            throw new IvshmemException(Code.IO, "cannot read " + platform.resource() + " of the jar of Ivshmem4j", e);
        }
        final String reason = platform.isMusl()
            ? "this JVM runs on the C library musl, as on Alpine Linux, and the jar has no library for that; use a JVM"
                + " on glibc, or build the native library on this system"
            : "the jar has no native library for " + platform.name() + "; build it on this system";
        throw new IvshmemException(Code.UNSUPPORTED,
            reason + " and name it with -D" + PATH_PROPERTY + "=/path/to/" + platform.fileName());
    }

    private static byte[] bytes(final InputStream in) throws IOException {
        final ByteArrayOutputStream out = new ByteArrayOutputStream();
        final byte[] block = new byte[1 << 16];
        for (int n = in.read(block); n >= 0; n = in.read(block)) {
            out.write(block, 0, n);
        }
        return out.toByteArray();
    }

    /** The lines of {@code /proc/self/maps}. */
    static List<String> mappings() {
        try {
            return Files.readAllLines(Paths.get("/proc/self/maps"));
        } catch (final IOException e) {
            // The file does not exist, as on Windows, or the process may not read its own mappings; glibc is the better
            // guess then.
            return Collections.emptyList();
        }
    }
}
