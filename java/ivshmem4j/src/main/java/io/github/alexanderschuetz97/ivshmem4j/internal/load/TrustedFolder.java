package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.Set;

/**
 * Folders of Linux in which nobody but this user and root can change what a path leads to.
 *
 * <p>Each folder from the root on belongs to one of the two, and nobody else may write to it. One that all may write to but
 * where each can remove only what is his own, as /tmp, will do, as what follows in the path is looked at as well. An access
 * list that lets others write shows in the mode of the group. The way is looked at from the root down, by paths without
 * links: once a folder was found right, no stranger can put another one into its place.
 */
final class TrustedFolder {

    private static final FileAttribute<Set<PosixFilePermission>> PRIVATE =
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
    private static final int ROOT = 0;
    /** Bits of a mode. */
    private static final int TYPE = 0170000;
    private static final int FOLDER = 0040000;
    private static final int STICKY = 01000;
    private static final int OTHERS_WRITE = 0022;

    private TrustedFolder() {}

    /**
     * Creates what is missing of a folder, where strangers cannot meddle with it.
     *
     * @return its path without links
     * @throws IOException also when others may write to the folder or to one above it; says which
     */
    static Path create(final Path wanted) throws IOException {
        final int user = user();
        final Deque<Path> missing = new ArrayDeque<>();
        Path there = wanted.toAbsolutePath();
        while (!Files.exists(there)) {
            missing.push(there.getFileName());
            there = there.getParent();
        }
        Path folder = checked(there, user);
        for (final Path name : missing) {
            folder = folder.resolve(name);
            try {
                Files.createDirectory(folder, PRIVATE);
            } catch (final FileAlreadyExistsException e) {
                // Of another process of this user, or of a stranger in a folder like /tmp: that is looked at now.
            }
            check(folder, user);
        }
        if ((mode(folder) & OTHERS_WRITE) != 0) {
            throw new IOException("others may write to " + folder + ", so they may have changed the library in it;"
                + " remove it");
        }
        return folder;
    }

    /** A new folder with a name of its own, where strangers cannot meddle with it, by its path without links. */
    static Path createIn(final Path parent, final String prefix) throws IOException {
        return Files.createTempDirectory(checked(parent, user()), prefix, PRIVATE);
    }

    private static Path checked(final Path path, final int user) throws IOException {
        final Path real = path.toRealPath();
        check(real.getRoot(), user);
        for (int names = 1; names <= real.getNameCount(); names++) {
            check(real.getRoot().resolve(real.subpath(0, names)), user);
        }
        return real;
    }

    private static void check(final Path folder, final int user) throws IOException {
        final Map<String, Object> facts = Files.readAttributes(folder, "unix:mode,uid", LinkOption.NOFOLLOW_LINKS);
        final int mode = (Integer) facts.get("mode");
        final int owner = (Integer) facts.get("uid");
        if ((mode & TYPE) != FOLDER) {
            throw new IOException(folder + " is not a folder");
        }
        if (owner != user && owner != ROOT) {
            throw new IOException(folder + " belongs to user " + Integer.toUnsignedString(owner)
                + " and neither to this one, " + Integer.toUnsignedString(user)
                + ", nor to root, so others could change the library while it is loaded");
        }
        if ((mode & OTHERS_WRITE) != 0 && (mode & STICKY) == 0) {
            throw new IOException("others may write to " + folder + " (mode " + Integer.toOctalString(mode & 07777)
                + "), so they could change the library while it is loaded");
        }
    }

    private static int mode(final Path path) throws IOException {
        return (Integer) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS);
    }

    /** Whom new files belong to. Not asked of a file, as a stranger could have put another one into its place. */
    private static int user() throws IOException {
        for (final String line : Files.readAllLines(Paths.get("/proc/self/status"), StandardCharsets.ISO_8859_1)) {
            if (line.startsWith("Uid:")) {
                // Real, effective, saved, and for files.
                return Integer.parseUnsignedInt(line.split("\\s+")[4]);
            }
        }
        throw new IOException("/proc/self/status does not tell which user this is");
    }
}
