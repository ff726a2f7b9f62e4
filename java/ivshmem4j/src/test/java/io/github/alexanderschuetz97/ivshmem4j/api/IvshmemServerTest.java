package io.github.alexanderschuetz97.ivshmem4j.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class IvshmemServerTest {

    @TempDir
    Path folder;

    @Test
    void aServerIsWhatItsOptionsSay() throws Exception {
        final Path socket = folder.resolve("s");
        final Path file = folder.resolve("memory");
        try (IvshmemServer server = IvshmemServer.builder(socket.toString())
            .size(5000).vectors(7).maxClients(2).mode(0640).memoryFile(file.toString()).start()) {
            assertEquals(socket.toString(), server.getPath());
            assertEquals(8192, server.getSize());
            assertEquals(7, server.getVectors());
            assertEquals("rw-r-----", PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)));
            assertEquals(8192, Files.size(file));
            try (IvshmemMemory one = Ivshmem.doorbell(server.getPath());
                IvshmemMemory two = Ivshmem.doorbell(server.getPath());
                IvshmemMemory plain = Ivshmem.plain(file.toString())) {
                assertEquals(7, one.getOwnVectors());
                assertEquals(2, server.getClients());
                plain.getMemory().write(0, 42);
                assertEquals(42, two.getMemory().readInt(0));
                final IvshmemException full =
                    assertThrows(IvshmemException.class, () -> Ivshmem.doorbell(server.getPath()));
                assertEquals(Code.REFUSED, full.getCode(), full.getMessage());
            }
        }
        assertFalse(Files.exists(socket));
        assertFalse(Files.exists(file));
    }

    @Test
    void aServerWithoutOptionsHasOneVectorAndFourMebibytes() {
        try (IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).start()) {
            assertEquals(1, server.getVectors());
            assertEquals(4 << 20, server.getSize());
            assertEquals(0, server.getClients());
        }
    }

    @Test
    void whatCannotBeServedIsRefused() {
        final String path = folder.resolve("s").toString();
        refused(Code.INVALID_ARGUMENT, IvshmemServer.builder(path).vectors(257));
        refused(Code.INVALID_ARGUMENT, IvshmemServer.builder(path).vectors(-1));
        refused(Code.INVALID_ARGUMENT, IvshmemServer.builder(path).size(-1));
        refused(Code.INVALID_ARGUMENT, IvshmemServer.builder(path).size(0));
        refused(Code.INVALID_ARGUMENT, IvshmemServer.builder(path).maxClients(0));
        refused(Code.NOT_FOUND, IvshmemServer.builder(folder.resolve("missing/s").toString()));
        assertThrows(NullPointerException.class, () -> IvshmemServer.builder(null));
        try (IvshmemServer server = IvshmemServer.builder(path).start()) {
            refused(Code.BUSY, IvshmemServer.builder(path));
            assertTrue(Files.exists(folder.resolve("s")));
            // The second server has connected to the socket as a check.
            while (server.getClients() > 0) {
                Thread.yield();
            }
        }
    }

    @Test
    void aModeThatIsNoPermissionsIsRefusedWithTheRightForm() {
        final IvshmemServer.Builder builder = IvshmemServer.builder(folder.resolve("s").toString());
        for (final int mode : new int[] {-1, 660, 01777, Integer.MIN_VALUE, 0x10000}) {
            final IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> builder.mode(mode));
            assertTrue(e.getMessage().contains(mode + " in decimal") && e.getMessage().contains("0660, not 660"),
                e.getMessage());
        }
        builder.mode(0).mode(0777);
    }

    @Test
    void aServerThatWasClosedIsClosed() {
        final IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).start();
        server.close();
        server.close();
        assertThrows(IllegalStateException.class, server::getClients);
        assertEquals(1, server.getVectors());
    }

    private static void refused(final Code code, final IvshmemServer.Builder builder) {
        final IvshmemException e = assertThrows(IvshmemException.class, builder::start);
        assertEquals(code, e.getCode(), e.getMessage());
    }
}
