package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.internal.Log;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.FileTime;
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
 * Writes the library in the jar to a file and loads the file.
 *
 * <p>The file is in the user's cache, and its name is the SHA-256 of the library in the jar. The next load uses it again
 * after comparing its content with the jar's, and replaces a file that was modified. Only the user and root can replace the
 * file between the comparison and the load; on Linux {@link TrustedFolder} ensures this. If the cache cannot be used in this
 * way, a warning in the log gives the reason, and the library goes into a new temporary folder, which is removed as soon as
 * the library is loaded; on Windows, where a loaded file cannot be removed, the next such load removes it. If other users
 * can replace files in the temporary folder, the library is loaded by the descriptor of a {@link NamelessFile}.
 *
 * <p>A JVM binds the name of a file to one class loader. A further class loader of the process loads the same file through
 * another name, a temporary hard link, so that the process has the library in memory only once. On Windows, a further class
 * loader uses a copy with a number in its name. A process on Windows also uses such a copy if the file has the wrong content
 * and another process has loaded it, as it cannot be replaced then.
 */
final class Extraction {

    /** The maximum number of class loaders with the same library at the same time; more indicate a leak. */
    private static final int MAX_COPIES = 1000;
    private static final FileAttribute<Set<PosixFilePermission>> OWNER_ONLY =
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
    /** Prefix of the names of temporary folders. */
    private static final String TEMPORARY = "ivshmem4j-";
    /** Prefix of the names of temporary links in the cache, after a dot. */
    private static final String ALIAS = "alias";
    private static final String PART = "part";
    /** The age from which a temporary folder is no longer about to be used: its creator has loaded the library by then. */
    private static final long LEFTOVER_MILLIS = 3_600_000;

    private final Platform platform;
    private final byte[] content;
    private final List<String> failures = new ArrayList<>();

    Extraction(final Platform platform, final byte[] content) {
        this.platform = platform;
        this.content = content;
    }

    /** Loads the library and returns its file, which may already be removed. */
    Path load() {
        final Path cache = cache();
        if (cache == null) {
            failures.add("this user has no home folder");
        } else {
            try {
                return loadFrom(platform.isWindows() ? windowsFolder(cache) : TrustedFolder.create(cache));
            } catch (final IOException | UnsatisfiedLinkError e) {
                failures.add(cache + ": " + explain(e));
            }
        }
        try {
            final String why = String.join("; ", failures);
            final Path file = loadFromTemporary();
            Log.warn("the native library is unpacked anew at each start, into " + System.getProperty("java.io.tmpdir")
                + ", as the cache cannot be used: " + why);
            return file;
        } catch (final IOException | UnsatisfiedLinkError e) {
            failures.add(System.getProperty("java.io.tmpdir") + ": " + explain(e));
        }
        throw new IvshmemException(Code.PERMISSION_DENIED, "cannot unpack and load the native library of the jar: "
            + String.join("; ", failures) + ". Let " + cacheVariable() + " or -Djava.io.tmpdir name a folder where this user may"
            + " write and execute files, or unpack " + platform.resource() + " from the jar and name it with -D"
            + Loader.PATH_PROPERTY);
    }

    private Path loadFrom(final Path folder) throws IOException {
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
                if (!platform.isWindows()) {
                    linkByAnotherName(file, folder);
                    return file;
                }
            }
        }
        throw new IOException(MAX_COPIES + " copies of the library are in use already");
    }

    private static void linkByAnotherName(final Path file, final Path folder) throws IOException {
        final Path alias = folder.resolve("." + ALIAS + Long.toHexString(ThreadLocalRandom.current().nextLong()));
        Files.createLink(alias, file);
        try {
            Loader.link(alias);
        } finally {
            Files.deleteIfExists(alias);
        }
    }

    private Path loadFromTemporary() throws IOException {
        final Path parent = Paths.get(System.getProperty("java.io.tmpdir"));
        final Path folder;
        if (platform.isWindows()) {
            removeLeftovers(parent);
            folder = Files.createTempDirectory(parent, TEMPORARY);
        } else {
            final Path trusted;
            try {
                trusted = TrustedFolder.existing(parent);
            } catch (final IOException e) {
                final Path shared = TrustedFolder.shared(parent);
                failures.add(parent + ": " + explain(e));
                return loadByDescriptor(shared);
            }
            folder = TrustedFolder.createIn(trusted, TEMPORARY);
        }
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

    /** Loads the library through a folder in which other users can replace files. */
    private Path loadByDescriptor(final Path shared) throws IOException {
        final List<NamelessFile> bound = new ArrayList<>();
        try {
            while (bound.size() < MAX_COPIES) {
                final NamelessFile file = new NamelessFile(shared, content, digest());
                // Stays open while further files are created, so that those get other descriptor numbers.
                bound.add(file);
                if (file.isMistakable(Loader.mappings())) {
                    continue;
                }
                try {
                    Loader.link(file.path());
                    return file.path();
                } catch (final UnsatisfiedLinkError e) {
                    if (!isBoundElsewhere(e)) {
                        throw e;
                    }
                }
            }
        } finally {
            for (final NamelessFile file : bound) {
                file.close();
            }
        }
        throw new IOException(MAX_COPIES + " copies of the library are in use already");
    }

    /**
     * Removes files that ended processes have left in the cache and that are older than an age in milliseconds. A file that
     * cannot be removed stays, and does not prevent the use of the cache.
     */
    static void removeUnfinished(final Path folder, final long age) {
        final long newest = System.currentTimeMillis() - age;
        forEach(folder, ".{" + ALIAS + "," + PART + "}*", file -> {
            // Not the modification time, as a hard link has the modification time of its file.
            final FileTime changed = (FileTime) Files.getAttribute(file, "unix:ctime", LinkOption.NOFOLLOW_LINKS);
            if (changed.toMillis() < newest) {
                Files.deleteIfExists(file);
            }
        });
    }

    /**
     * Removes the folders that earlier processes could not remove. A file that a process still has loaded cannot be removed
     * now, either.
     */
    private void removeLeftovers(final Path parent) {
        final long newest = System.currentTimeMillis() - LEFTOVER_MILLIS;
        forEach(parent, TEMPORARY + "*", folder -> {
            // The library in a younger folder may be about to be loaded.
            if (Files.getLastModifiedTime(folder).toMillis() < newest) {
                folder.resolve(platform.fileName()).toFile().delete();
                folder.toFile().delete();
            }
        });
    }

    /** Applies the removal to each file with a matching name, and skips files for which it fails. */
    private static void forEach(final Path folder, final String names, final Removal removal) {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, names)) {
            for (final Path file : files) {
                try {
                    removal.removeIfOld(file);
                } catch (final IOException e) {
                    // Another process has removed it first, or this library has not created it.
                    continue;
                }
            }
        } catch (final IOException | DirectoryIteratorException e) {
            // The folder cannot be listed completely.
            return;
        }
    }

    private interface Removal {

        void removeIfOld(Path file) throws IOException;
    }

    /** The cache folder, or null if there is none: a JVM returns "?" as the home of a user without an account entry. */
    private Path cache() {
        final Path cache = absolute(System.getenv(cacheVariable()));
        if (cache != null) {
            return own(cache);
        }
        Path home = absolute(System.getProperty("user.home"));
        if (home == null && !platform.isWindows()) {
            home = absolute(System.getenv("HOME"));
        }
        return home == null ? null : own(home.resolve(platform.isWindows() ? "AppData\\Local" : ".cache"));
    }

    /** The folder of this library in the cache; on Linux one level deeper, so that its mode concerns only this class. */
    private Path own(final Path caches) {
        final Path folder = caches.resolve("ivshmem4j");
        return platform.isWindows() ? folder : folder.resolve("native");
    }

    private static Path absolute(final String name) {
        try {
            return name != null && Paths.get(name).isAbsolute() ? Paths.get(name) : null;
        } catch (final InvalidPathException e) {
            return null;
        }
    }

    private String cacheVariable() {
        return platform.isWindows() ? "LOCALAPPDATA" : "XDG_CACHE_HOME";
    }

    private static Path windowsFolder(final Path folder) throws IOException {
        // It inherits the access list of the folder for local application data, to which only the user has access.
        Files.createDirectories(folder);
        final String stranger = AccessList.stranger(folder, folder.getParent());
        if (stranger != null) {
            throw new IOException(stranger + " may write to it and not to the folder it is in, so others may have"
                + " changed the library in it; remove it");
        }
        return folder;
    }

    /** Whether the file has the content of the jar's library and only this user can write to it. */
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
     * Creates the file atomically, as other processes may create or load it at the same time.
     *
     * @return false if the file has the wrong content and is in use, which only Windows reports
     */
    private boolean write(final Path file, final Path folder) throws IOException {
        final Path part = newFile(folder);
        try {
            if (!platform.isWindows()) {
                removeUnfinished(folder, LEFTOVER_MILLIS);
            }
            Files.write(part, content);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            return true;
        } catch (final FileSystemException e) {
            if (!platform.isWindows() || !Files.exists(file)) {
                throw e;
            }
            // Another process may have created the same file first.
            return isIntact(file, folder);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    /**
     * Creates an empty file that only this user can access.
     *
     * <p>No other user can write to its folder, so its name need not be unpredictable; a secure random generator takes time
     * to initialise.
     */
    private Path newFile(final Path folder) throws IOException {
        while (true) {
            final Path file = folder.resolve("." + PART + Long.toHexString(ThreadLocalRandom.current().nextLong()));
            try {
                return platform.isWindows() ? Files.createFile(file) : Files.createFile(file, OWNER_ONLY);
            } catch (final FileAlreadyExistsException e) {
                // The next attempt uses another name.
            }
        }
    }

    private String name(final int copy) {
        final StringBuilder name = new StringBuilder(digest());
        if (copy > 0) {
            name.append('-').append(copy);
        }
        return name.append(platform.isWindows() ? ".dll" : ".so").toString();
    }

    private String digest() {
        try {
            final StringBuilder text = new StringBuilder();
            for (final byte b : MessageDigest.getInstance("SHA-256").digest(content)) {
                text.append(String.format("%02x", b));
            }
            return text.toString();
        } catch (final NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    private static Object uid(final Path path) throws IOException {
        return Files.getAttribute(path, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    }

    /** Whether another class loader has loaded the file; only the message of the error indicates this. */
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
