package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A file without a name on Linux, which is loaded by its descriptor. For folders in which other users can replace files.
 *
 * <p>Only this user could access the file before it lost its name, and no user can access it since. The JVM resolves the
 * link of the descriptor and loads the file with the resulting name if it exists: the removed name with a suffix. The
 * removed name is therefore so long that no file can have that name with the suffix, and the JVM uses the descriptor.
 *
 * <p>The C library identifies a library by the path from which it was loaded, here the path of the descriptor, and never
 * unloads this library. Loading the same path again therefore returns the library that was loaded first, even if the
 * descriptor refers to another file by then. So the last name of the file contains the number of the descriptor and the
 * digest of the content; the mappings of the process show this name while the library is loaded.
 */
final class NamelessFile implements AutoCloseable {

    private static final Path DESCRIPTORS = Paths.get("/proc/self/fd");
    private static final String BEGIN = ".ivshmem4j-";
    /** The suffix that the system adds to the name of a removed file. */
    private static final String GONE = " (deleted)";
    /** The maximum length of a name in most file systems, in bytes. */
    private static final int LONGEST_NAME = 255;
    /** Type and permissions of a regular file that only its owner can access. */
    private static final int PRIVATE_FILE = 0100600;

    private final FileChannel channel;
    private final Path path;
    /** Prefix of the names of all files that have had this descriptor. */
    private final String begin;
    private final String name;

    /**
     * Creates the file and removes its name.
     *
     * @param shared from {@link TrustedFolder#shared}
     * @param digest of the content, at most 64 letters and digits
     * @throws IOException also if another user has tampered with the file
     */
    NamelessFile(final Path shared, final byte[] content, final String digest) throws IOException {
        final Path file = shared.resolve(longName(BEGIN));
        final FileAttribute<?> mode = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        channel = FileChannel.open(
            file, EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE), mode);
        try {
            Path named = file;
            try {
                final ByteBuffer rest = ByteBuffer.wrap(content);
                while (rest.hasRemaining()) {
                    channel.write(rest);
                }
                path = descriptor(file);
                begin = BEGIN + path.getFileName() + "-";
                name = begin + digest + "-";
                named = Files.move(file, shared.resolve(longName(name)), StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(named);
            }
            final Path link = Paths.get(named + GONE);
            checkThatNoFileCanBe(link);
            if (!isLink(path, link)) {
                throw moved(shared);
            }
            check(content);
        } catch (final IOException | RuntimeException | Error e) {
            channel.close();
            throw e;
        }
    }

    /** The path to the file while it is open. */
    Path path() {
        return path;
    }

    /**
     * Whether loading the file by its path may return another library, which was loaded by the same path before.
     *
     * @param mappings the lines of {@code /proc/self/maps}
     */
    boolean isMistakable(final List<String> mappings) {
        return mappings.stream().anyMatch(line -> line.contains("/" + begin) && !line.contains("/" + name));
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private static String longName(final String begin) {
        final StringBuilder name = new StringBuilder(begin);
        while (name.length() < LONGEST_NAME) {
            name.append(Long.toHexString(ThreadLocalRandom.current().nextLong()));
        }
        name.setLength(LONGEST_NAME);
        return name.toString();
    }

    private static void checkThatNoFileCanBe(final Path link) throws IOException {
        try {
            Files.readAttributes(link, "unix:mode", LinkOption.NOFOLLOW_LINKS);
        } catch (final FileSystemException e) {
            // Not a subclass, which would mean that the name is possible: the name is too long.
            if (e.getClass() == FileSystemException.class) {
                return;
            }
        }
        throw new IOException("the file system of " + link.getParent() + " has names of more than " + LONGEST_NAME
            + " bytes, so others could change the library while it is loaded");
    }

    /** The descriptor with this link; no other file of the process has that name. */
    private static Path descriptor(final Path link) throws IOException {
        try (DirectoryStream<Path> descriptors = Files.newDirectoryStream(DESCRIPTORS)) {
            for (final Path descriptor : descriptors) {
                if (isLink(descriptor, link)) {
                    return descriptor;
                }
            }
        } catch (final DirectoryIteratorException e) {
            throw e.getCause();
        }
        throw moved(link.getParent());
    }

    private static IOException moved(final Path from) {
        return new IOException("another user has moved a new file away from " + from);
    }

    private static boolean isLink(final Path descriptor, final Path text) {
        try {
            return Files.readSymbolicLink(descriptor).equals(text);
        } catch (final IOException e) {
            // The descriptor is closed by now, such as the one that lists the folder.
            return false;
        }
    }

    private void check(final byte[] content) throws IOException {
        final Map<String, Object> facts = Files.readAttributes(path, "unix:mode,uid,nlink");
        if (!facts.get("mode").equals(PRIVATE_FILE) || !facts.get("uid").equals(TrustedFolder.user())
            || !facts.get("nlink").equals(0) || !Arrays.equals(Files.readAllBytes(path), content)) {
            throw new IOException("a new file in it is not this user's alone, " + facts);
        }
    }
}
