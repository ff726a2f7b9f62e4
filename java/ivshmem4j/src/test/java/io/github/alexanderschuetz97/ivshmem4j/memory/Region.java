package io.github.alexanderschuetz97.ivshmem4j.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import io.github.alexanderschuetz97.ivshmem4j.internal.memory.Memories;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import org.opentest4j.TestAbortedException;

/**
 * Zeroed memory of any size for a test, removed by {@link #close()}.
 *
 * <p>The memory is a file or, if the system property {@value #PROPERTY} contains a target string for
 * {@link Ivshmem#open(String)}, for example {@code windows:0}, the first bytes of that device's memory.
 */
public final class Region implements AutoCloseable {

    /** The system property with the target string of a device. */
    public static final String PROPERTY = "ivshmem4j.test.region";

    /** Whether memory has views. Before Java 22, memory that closing releases has none. */
    static final boolean HAS_VIEWS = !"guarded".equals(System.getProperty("ivshmem4j.memory"))
        && (!System.getProperty("os.name").startsWith("Windows")
            || !System.getProperty("java.specification.version").matches("1\\.8|[0-9]|1[0-9]|2[01]"));

    private static final String DEVICE = System.getProperty(PROPERTY);
    /**
     * The maximum time until a device's driver notices a closed handle, which Wine reports with a delay. Only against
     * hanging.
     */
    private static final long PATIENCE_NANOS = 60_000_000_000L;

    /** Null for a device. */
    final Path file;
    /** The target string, as in the text of the memory. */
    final String target;
    final NativeMemory memory;
    private final int size;

    Region(final int size) {
        this.size = size;
        if (DEVICE != null) {
            file = null;
            target = DEVICE;
            memory = part(size);
            memory.write(0, new byte[size]);
            return;
        }
        try {
            final Path shm = Paths.get("/dev/shm");
            file = Files.isDirectory(shm)
                ? Files.createTempFile(shm, "ivshmem4j-test", null)
                : Files.createTempFile("ivshmem4j-test", null);
            Files.write(file, new byte[size]);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
        target = "plain:" + file;
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

    /** The first bytes of the device, as a memory of that size. */
    private static NativeMemory part(final int size) {
        final long device = openDevice();
        final long mapping = NativeLibrary.deviceMemory(device);
        if (NativeLibrary.memorySize(mapping) < size) {
            throw new IllegalStateException(DEVICE + " has " + NativeLibrary.memorySize(mapping) + " bytes of memory,"
                + " and this test needs " + size);
        }
        return Memories.of(
            DEVICE,
            mapping,
            NativeLibrary.memoryAddress(mapping),
            size,
            NativeLibrary.memoryIsWriteable(mapping),
            NativeLibrary.memoryIsSealed(mapping),
            CacheMode.values()[NativeLibrary.memoryCacheMode(mapping)],
            () -> {
                NativeLibrary.deviceClose(device);
                NativeLibrary.deviceFree(device);
            });
    }

    /** Opens a handle of the device, which may have been closed just before. */
    public static long openDevice() {
        NativeLibrary.load();
        final long begin = System.nanoTime();
        while (true) {
            try {
                return NativeLibrary.open(DEVICE);
            } catch (final IvshmemException e) {
                if (e.getCode() != IvshmemException.Code.BUSY || System.nanoTime() - begin > PATIENCE_NANOS) {
                    throw e;
                }
                Thread.yield();
            }
        }
    }

    /** Whether the memory belongs to a device. */
    public static boolean isDevice() {
        return DEVICE != null;
    }

    /** Maps the same bytes once more; for a device, all of its bytes. Skips the test if the driver does not allow it. */
    IvshmemMemory again() {
        if (DEVICE == null) {
            return Ivshmem.plain(file.toString());
        }
        try {
            return Ivshmem.open(DEVICE);
        } catch (final IvshmemException e) {
            if (e.getCode() == IvshmemException.Code.BUSY && memory.isValid()) {
                throw new TestAbortedException("this driver maps a device once only", e);
            }
            throw e;
        }
    }

    byte[] content() {
        if (DEVICE != null) {
            final byte[] content = new byte[size];
            if (memory.isValid()) {
                memory.read(0, content);
            } else {
                final NativeMemory other = part(size);
                other.read(0, content);
                other.close();
            }
            return content;
        }
        try {
            return Files.readAllBytes(file);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void fill(final byte[] content) {
        if (DEVICE != null) {
            memory.write(0, content);
            return;
        }
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
        if (file == null) {
            return;
        }
        try {
            Files.deleteIfExists(file);
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
