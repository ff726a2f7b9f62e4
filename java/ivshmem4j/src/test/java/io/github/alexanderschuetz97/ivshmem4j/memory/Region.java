package io.github.alexanderschuetz97.ivshmem4j.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/** A shared file and the memory that maps it; both gone with {@link #close()}. */
final class Region implements AutoCloseable {

    final Path file;
    final NativeMemory memory;

    Region(final int size) {
        try {
            final Path shm = Paths.get("/dev/shm");
            file = Files.isDirectory(shm)
                ? Files.createTempFile(shm, "ivshmem4j-test", null)
                : Files.createTempFile("ivshmem4j-test", null);
            Files.write(file, new byte[size]);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
        NativeMemory opened = null;
        try {
            opened = Ivshmem.plain(file.toString(), size).getMemory();
        } finally {
            memory = opened;
            if (opened == null) {
                delete();
            }
        }
    }

    /** The same file, mapped once more. */
    IvshmemMemory again() {
        return Ivshmem.plain(file.toString());
    }

    byte[] content() {
        try {
            return Files.readAllBytes(file);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void fill(final byte[] content) {
        try {
            Files.write(file, content, java.nio.file.StandardOpenOption.WRITE);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        memory.close();
        delete();
    }

    private void delete() {
        try {
            Files.deleteIfExists(file);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
