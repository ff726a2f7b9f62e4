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
import java.util.Set;

/**
 * Folders on Linux in which only this user and root can change the target of a path.
 *
 * <p>Each folder from the root on belongs to one of the two, and no other user may write to it. A folder like /tmp, to which
 * all users may write but in which they can remove only their own entries, is accepted, as the next component of the path is
 * checked as well. An access list that lets other users write is visible in the group bits of the mode. The path is checked
 * from the root down, without links: once a folder has passed the check, no other user can replace it.
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
     * Creates a folder and its missing parents, safe from changes by other users.
     *
     * @return its path without links
     * @throws IOException also if other users may write to the folder or to one above it; the message names that folder
     */
    static Path create(final Path wanted) throws IOException {
        final int user = user();
        final Deque<Path> missing = new ArrayDeque<>();
        Path there = wanted.toAbsolutePath();
        while (!Files.exists(there)) {
            missing.push(there.getFileName());
            there = there.getParent();
        }
        Path folder = existing(there);
        for (final Path name : missing) {
            folder = folder.resolve(name);
            try {
                Files.createDirectory(folder, PRIVATE);
            } catch (final FileAlreadyExistsException e) {
                // Another process of this user has created it or, in a folder like /tmp, another user; the next check tells
                // which.
            }
            check(folder, user);
        }
        if ((mode(folder) & OTHERS_WRITE) != 0) {
            throw new IOException("others may write to " + folder + ", so they may have changed the library in it;"
                + " remove it");
        }
        return folder;
    }

    /** The path without links of a folder in which other users cannot change the files of this user. */
    static Path existing(final Path path) throws IOException {
        final Path real = path.toRealPath();
        final int user = user();
        checkWay(real, user, ROOT);
        check(real, user);
        return real;
    }

    /** Creates a folder with a unique name in one from {@link #existing}. */
    static Path createIn(final Path existing, final String prefix) throws IOException {
        return Files.createTempDirectory(existing, prefix, PRIVATE);
    }

    /**
     * The path without links of a folder to which other users may write, but which they cannot replace.
     *
     * <p>In a user namespace without root's id, the folders of root and of other users appear to belong to the overflow
     * user; both are accepted here.
     */
    static Path shared(final Path path) throws IOException {
        final Path real = path.toRealPath();
        final int user = user();
        final int unmapped = unmapped();
        checkWay(real, user, unmapped);
        checkOwner(real, user, unmapped);
        return real;
    }

    /** Checks the folders above a folder, from the root down. */
    private static void checkWay(final Path real, final int user, final int other) throws IOException {
        Path folder = real.getRoot();
        for (final Path name : real) {
            checkOwner(folder, user, other);
            checkMode(folder);
            folder = folder.resolve(name);
        }
    }

    private static void check(final Path folder, final int user) throws IOException {
        checkOwner(folder, user, ROOT);
        checkMode(folder);
    }

    private static void checkOwner(final Path folder, final int user, final int other) throws IOException {
        final int owner = (Integer) Files.getAttribute(folder, "unix:uid", LinkOption.NOFOLLOW_LINKS);
        if (owner != user && owner != ROOT && owner != other) {
            throw new IOException(folder + " belongs to user " + Integer.toUnsignedString(owner)
                + " and neither to this one, " + Integer.toUnsignedString(user)
                + ", nor to root, so others could change the library while it is loaded");
        }
    }

    private static void checkMode(final Path folder) throws IOException {
        final int mode = mode(folder);
        if ((mode & TYPE) != FOLDER) {
            throw new IOException(folder + " is not a folder");
        }
        if ((mode & OTHERS_WRITE) != 0 && (mode & STICKY) == 0) {
            throw new IOException("others may write to " + folder + " (mode " + Integer.toOctalString(mode & 07777)
                + "), so they could change the library while it is loaded; chmod go-w or chmod +t forbids that");
        }
    }

    /**
     * The overflow user, who appears to own the files whose owners have no id in this user namespace; root if all owners
     * have one, or if the system does not provide the id.
     */
    private static int unmapped() {
        try {
            final int id = Integer.parseInt(line("/proc/sys/kernel/overflowuid", ""));
            for (final String range : Files.readAllLines(Paths.get("/proc/self/uid_map"), StandardCharsets.ISO_8859_1)) {
                final String[] numbers = range.trim().split("\\s+");
                final long first = Long.parseLong(numbers[0]);
                if (id >= first && id < first + Long.parseLong(numbers[2])) {
                    return ROOT;
                }
            }
            return id;
        } catch (final IOException e) {
            return ROOT;
        }
    }

    private static int mode(final Path path) throws IOException {
        return (Integer) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS);
    }

    /** The owner of new files. Not read from a new file, as another user could have replaced it. */
    static int user() throws IOException {
        // The columns are the real, effective, saved and file system ids.
        return Integer.parseUnsignedInt(line("/proc/self/status", "Uid:").split("\\s+")[4]);
    }

    private static String line(final String file, final String begin) throws IOException {
        for (final String line : Files.readAllLines(Paths.get(file), StandardCharsets.ISO_8859_1)) {
            if (line.startsWith(begin)) {
                return line;
            }
        }
        throw new IOException(file + " has no line that begins with '" + begin + "'");
    }
}
