package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Brings the library of the jar into a file and loads that.
 *
 * <p>The file lies in the user's cache, in a folder that only the user can enter, and its name is the SHA-256 of what is
 * in the jar. It is used again next time, after its content was compared with the jar's: a file that was tampered with is
 * replaced. Where the cache cannot be used, a new temporary folder is, which is gone as soon as the library is loaded; on
 * Windows, where a loaded file cannot be removed, the next such load removes it.
 *
 * <p>A JVM binds a file to one class loader. The second class loader of a process gets a copy with a number in its name.
 * So does, on Windows, who finds a file that is not right and that another process has loaded: it cannot be replaced.
 */
final class Extraction {

    /** More class loaders than this with the same library at the same time are a leak. */
    private static final int MAX_COPIES = 1000;
    private static final FileAttribute<Set<PosixFilePermission>> OWNER_ONLY =
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
    /** How the names of temporary folders begin. */
    private static final String TEMPORARY = "ivshmem4j-";
    /** Whoever made a temporary folder has loaded its library by then. */
    private static final long LEFTOVER_MILLIS = 3_600_000;

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
            + String.join("; ", failures) + ". Let " + cacheVariable() + " or -Djava.io.tmpdir name a folder where this user may"
            + " write and execute files, or unpack " + platform.resource() + " from the jar and name it with -D"
            + Loader.PATH_PROPERTY);
    }

    private Path loadFrom(final Path folder) throws IOException {
        makePrivate(folder);
        for (int copy = 0; copy < MAX_COPIES; copy++) {
            final Path file = folder.resolve(name(copy));
            if (!isIntact(file, folder) && !write(file, folder)) {
                continue;
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
        throw new IOException(MAX_COPIES + " copies of the library are in use already");
    }

    private Path loadFromTemporary() throws IOException {
        if (platform.isWindows()) {
            removeLeftovers();
        }
        final Path folder = Files.createTempDirectory(TEMPORARY);
        final Path file = folder.resolve(platform.fileName());
        try {
            Files.write(file, content);
            Loader.link(file);
            return file;
        } finally {
            if (file.toFile().delete() || !Files.exists(file)) {
                Files.deleteIfExists(folder);
            }
        }
    }

    /** What earlier processes could not remove; a file that one of them still runs by cannot be removed now, either. */
    private void removeLeftovers() throws IOException {
        final long newest = System.currentTimeMillis() - LEFTOVER_MILLIS;
        try (DirectoryStream<Path> folders =
            Files.newDirectoryStream(Paths.get(System.getProperty("java.io.tmpdir")), TEMPORARY + "*")) {
            for (final Path folder : folders) {
                // A younger one may be about to be loaded.
                if (Files.getLastModifiedTime(folder).toMillis() < newest) {
                    folder.resolve(platform.fileName()).toFile().delete();
                    folder.toFile().delete();
                }
            }
        }
    }

    private Path cache() {
        final String home = System.getProperty("user.home");
        final String cache = System.getenv(cacheVariable());
        if (cache != null && Paths.get(cache).isAbsolute()) {
            return Paths.get(cache, "ivshmem4j");
        }
        return Paths.get(home, platform.isWindows() ? "AppData\\Local" : ".cache", "ivshmem4j");
    }

    private String cacheVariable() {
        return platform.isWindows() ? "LOCALAPPDATA" : "XDG_CACHE_HOME";
    }

    /** Creates the folder, or makes sure that nobody else can have put anything into the one that exists. */
    private void makePrivate(final Path folder) throws IOException {
        if (platform.isWindows()) {
            // It inherits the access list of the folder for local application data, which is the user's alone.
            Files.createDirectories(folder);
            final String stranger = AccessList.stranger(folder, folder.getParent());
            if (stranger != null) {
                throw new IOException(stranger + " may write to it and not to the folder it is in, so others may have"
                    + " changed the library in it; remove it");
            }
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
        final Path probe = newFile(folder);
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
        if (platform.isWindows()) {
            if (AccessList.stranger(file, folder) != null) {
                return false;
            }
        } else {
            final Set<PosixFilePermission> mode = Files.getPosixFilePermissions(file);
            if (mode.contains(PosixFilePermission.GROUP_WRITE) || mode.contains(PosixFilePermission.OTHERS_WRITE)
                || !uid(file).equals(uid(folder))) {
                return false;
            }
        }
        return Files.size(file) == content.length && Arrays.equals(Files.readAllBytes(file), content);
    }

    /**
     * Puts the file there at once and whole: other processes may do the same, or load it, at this moment.
     *
     * @return false if the file is not right and in use, as only Windows cares
     */
    private boolean write(final Path file, final Path folder) throws IOException {
        final Path part = newFile(folder);
        try {
            Files.write(part, content);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            return true;
        } catch (final FileSystemException e) {
            if (!platform.isWindows() || !Files.exists(file)) {
                throw e;
            }
            // Somebody may have been quicker with the same.
            return isIntact(file, folder);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    /**
     * A file that is empty and this user's alone.
     *
     * <p>Its folder is private, so its name need be no secret: the generator of such names takes its time to get ready.
     */
    private Path newFile(final Path folder) throws IOException {
        while (true) {
            final Path file = folder.resolve(".part" + Long.toHexString(ThreadLocalRandom.current().nextLong()));
            try {
                return platform.isWindows() ? Files.createFile(file) : Files.createFile(file, OWNER_ONLY);
            } catch (final FileAlreadyExistsException e) {
                // The next one will be another.
            }
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

    private String explain(final Throwable e) {
        final String text = String.valueOf(e.getMessage());
        if (platform.isWindows() && e instanceof UnsatisfiedLinkError) {
            return "Windows does not load the library from there, perhaps by a policy such as AppLocker's (" + text + ")";
        }
        if (text.contains("failed to map segment")) {
            return "files in it may not be executed, its file system is mounted noexec or a security policy forbids it ("
                + text + ")";
        }
        return e instanceof UnsatisfiedLinkError ? text : e.getClass().getSimpleName() + " " + text;
    }
}
