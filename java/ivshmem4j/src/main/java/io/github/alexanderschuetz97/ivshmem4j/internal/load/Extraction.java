package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * Brings the library of the jar into a file and loads that.
 *
 * <p>The file lies in the user's cache, in a folder that only the user can enter, and its name is the SHA-256 of what is
 * in the jar. It is used again next time, after its content was compared with the jar's: a file that was tampered with is
 * replaced. Where the cache cannot be used, a new temporary folder is, which is gone as soon as the library is loaded.
 *
 * <p>A JVM binds a file to one class loader. The second class loader of a process gets a copy with a number in its name.
 */
final class Extraction {

    /** More class loaders than this with the same library at the same time are a leak. */
    private static final int MAX_COPIES = 1000;

    private final Platform platform;
    private final byte[] content;
    private final List<String> failures = new ArrayList<>();

    Extraction(final Platform platform, final byte[] content) {
        this.platform = platform;
        this.content = content;
    }

    /** Loads the library and returns its file, which may be gone by now. */
    Path load() {
        final Path cache = cache();
        try {
            return loadFrom(cache);
        } catch (final IOException | UnsatisfiedLinkError e) {
            failures.add(cache + ": " + explain(e));
        }
        try {
            return loadFromTemporary();
        } catch (final IOException | UnsatisfiedLinkError e) {
            failures.add(System.getProperty("java.io.tmpdir") + ": " + explain(e));
        }
        throw new IvshmemException(Code.PERMISSION_DENIED, "cannot unpack and load the native library of the jar: "
            + String.join("; ", failures) + ". Let XDG_CACHE_HOME or -Djava.io.tmpdir name a folder where this user may"
            + " write and execute files, or unpack " + platform.resource() + " from the jar and name it with -D"
            + Loader.PATH_PROPERTY);
    }

    private Path loadFrom(final Path folder) throws IOException {
        makePrivate(folder);
        for (int copy = 0; copy < MAX_COPIES; copy++) {
            final Path file = folder.resolve(name(copy));
            if (!isIntact(file, folder)) {
                write(file);
            }
            try {
                Loader.link(file);
                return file;
            } catch (final UnsatisfiedLinkError e) {
                if (!isBoundElsewhere(e)) {
                    throw e;
                }
            }
        }
        throw new IOException(MAX_COPIES + " class loaders of this process have loaded the library already");
    }

    private Path loadFromTemporary() throws IOException {
        final Path folder = Files.createTempDirectory("ivshmem4j-");
        final Path file = folder.resolve(platform.fileName());
        try {
            Files.write(file, content);
            Loader.link(file);
            return file;
        } finally {
            // Windows keeps a loaded file until the process ends.
            file.toFile().deleteOnExit();
            folder.toFile().deleteOnExit();
            if (file.toFile().delete()) {
                Files.deleteIfExists(folder);
            }
        }
    }

    private Path cache() {
        final String home = System.getProperty("user.home");
        final String cache = System.getenv(platform.isWindows() ? "LOCALAPPDATA" : "XDG_CACHE_HOME");
        if (cache != null && Paths.get(cache).isAbsolute()) {
            return Paths.get(cache, "ivshmem4j");
        }
        return Paths.get(home, platform.isWindows() ? "AppData\\Local" : ".cache", "ivshmem4j");
    }

    /** Creates the folder, or makes sure that nobody else can have put anything into the one that exists. */
    private void makePrivate(final Path folder) throws IOException {
        if (platform.isWindows()) {
            // The folder for local application data is private by its access list.
            Files.createDirectories(folder);
            return;
        }
        if (!Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
            Files.createDirectories(folder.getParent());
            Files.createDirectories(folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        }
        final String mode = PosixFilePermissions.toString(Files.getPosixFilePermissions(folder, LinkOption.NOFOLLOW_LINKS));
        if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS) || !mode.equals("rwx------")) {
            throw new IOException("it is not a folder for this user alone (rwx------) but " + mode
                + ", so others may have changed the library in it; remove it");
        }
        final Path probe = Files.createTempFile(folder, ".owner", null);
        try {
            if (!uid(folder).equals(uid(probe))) {
                throw new IOException("it belongs to user " + uid(folder) + " and not to this one; remove it");
            }
        } finally {
            Files.delete(probe);
        }
    }

    /** Whether the file is what is in the jar, and nobody else can write to it. */
    private boolean isIntact(final Path file, final Path folder) throws IOException {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        if (!platform.isWindows()) {
            final Set<PosixFilePermission> mode = Files.getPosixFilePermissions(file);
            if (mode.contains(PosixFilePermission.GROUP_WRITE) || mode.contains(PosixFilePermission.OTHERS_WRITE)
                || !uid(file).equals(uid(folder))) {
                return false;
            }
        }
        return Files.size(file) == content.length && Arrays.equals(Files.readAllBytes(file), content);
    }

    /** Puts the file there at once and whole: other processes may do the same, or load it, at this moment. */
    private void write(final Path file) throws IOException {
        final Path part = Files.createTempFile(file.getParent(), ".part", null);
        try {
            Files.write(part, content);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    private String name(final int copy) {
        final StringBuilder name = new StringBuilder();
        for (final byte b : sha256(content)) {
            name.append(String.format("%02x", b));
        }
        if (copy > 0) {
            name.append('-').append(copy);
        }
        return name.append(platform.isWindows() ? ".dll" : ".so").toString();
    }

    private static byte[] sha256(final byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (final NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    private static Object uid(final Path path) throws IOException {
        return Files.getAttribute(path, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    }

    /** The JVM has no other sign of it than its message. */
    private static boolean isBoundElsewhere(final UnsatisfiedLinkError e) {
        return String.valueOf(e.getMessage()).contains("already loaded in another classloader");
    }

    private static String explain(final Throwable e) {
        final String text = String.valueOf(e.getMessage());
        if (text.contains("failed to map segment")) {
            return "files in it may not be executed, its file system is mounted noexec or a security policy forbids it ("
                + text + ")";
        }
        return e instanceof UnsatisfiedLinkError ? text : e.getClass().getSimpleName() + " " + text;
    }
}
