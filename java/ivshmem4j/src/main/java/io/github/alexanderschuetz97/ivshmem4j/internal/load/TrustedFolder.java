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
 * Folders of Linux in which nobody but this user and root can change what a path leads to.
 *
 * <p>Each folder from the root on belongs to one of the two, and nobody else may write to it. One that all may write to but
 * where users can remove only their own entries, as /tmp, will do, as what follows in the path is looked at as well. An access
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
        Path folder = existing(there);
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

    /** The path without links of a folder where strangers cannot meddle with what this user makes in it. */
    static Path existing(final Path path) throws IOException {
        final Path real = path.toRealPath();
        final int user = user();
        checkWay(real, user, ROOT);
        check(real, user);
        return real;
    }

    /** A new folder with a name of its own in one from {@link #existing}. */
    static Path createIn(final Path existing, final String prefix) throws IOException {
        return Files.createTempDirectory(existing, prefix, PRIVATE);
    }

    /**
     * The path without links of a folder that others may write to, where they cannot put another folder into its place.
     *
     * <p>In a user namespace without root's id, folders of root appear to belong to the overflow user, as do those of strangers;
     * both are accepted here.
     */
    static Path shared(final Path path) throws IOException {
        final Path real = path.toRealPath();
        final int user = user();
        final int unmapped = unmapped();
        checkWay(real, user, unmapped);
        checkOwner(real, user, unmapped);
        return real;
    }

    /** Looks at the folders above one, from the root down. */
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
     * The overflow user, to whom files appear to belong whose owners have no id in this user namespace; root where all have one,
     * and where the system does not say.
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

    /** Whom new files belong to. Not asked of a file, as a stranger could have put another one into its place. */
    static int user() throws IOException {
        // Real, effective, saved, and for files.
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
