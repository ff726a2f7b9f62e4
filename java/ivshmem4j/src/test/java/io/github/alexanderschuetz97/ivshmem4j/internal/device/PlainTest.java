package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.api.WindowsIvshmemPCIDevice;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "files cannot be opened")
class PlainTest {

    @TempDir
    Path folder;

    @Test
    void twoUsersOfOneFileSeeEachOther() {
        final String path = folder.resolve("memory").toString();
        try (IvshmemMemory one = Ivshmem.plain(path, 4096);
            IvshmemMemory two = Ivshmem.plain(path);
            IvshmemMemory three = Ivshmem.open("plain:" + path);
            IvshmemMemory four = Ivshmem.plain(path, 100, null)) {
            one.getMemory().write(1, 0x0102030405060708L);
            for (final IvshmemMemory other : new IvshmemMemory[] {two, three, four}) {
                assertEquals(4096, other.getMemory().size());
                assertEquals(0x0102030405060708L, other.getMemory().readLong(1));
            }
        }
    }

    private static void assertLacksInterrupts(final IvshmemMemory memory) {
        assertFalse(memory.hasOwnPeerID() || memory.knowsOtherPeers() || memory.knowsOtherPeerVectors());
        assertFalse(memory.supportsInterrupts());
        assertThrows(UnsupportedOperationException.class, memory::getOwnPeerID);
        assertThrows(UnsupportedOperationException.class, memory::getPeers);
        assertThrows(UnsupportedOperationException.class, () -> memory.isOtherPeerConnected(0));
        assertThrows(UnsupportedOperationException.class, () -> memory.getVectors(0));
        assertEquals(0, memory.getOwnVectors());
        assertFalse(memory.isVectorValid(0));
        assertThrows(UnsupportedOperationException.class, () -> memory.sendInterrupt(0, 0));
    }

    @Test
    void whatPlainMemoryLacksItSays() {
        final IvshmemMemory memory = Ivshmem.plain(folder.resolve("memory").toString(), 64);
        assertLacksInterrupts(memory);
        memory.close();
        assertLacksInterrupts(memory);
    }

    @Test
    void registeringAndRemovingDoNothing() {
        try (IvshmemMemory memory = Ivshmem.plain(folder.resolve("memory").toString(), 64)) {
            registerAndRemove(memory);
            memory.close();
            registerAndRemove(memory);
        }
    }

    private static void registerAndRemove(final IvshmemMemory memory) {
        memory.registerInterruptServiceRoutine(7, vector -> { });
        memory.registerInterruptServiceRoutine(0, null);
        memory.registerPeerConnectionListener(null);
        memory.removeInterruptServiceRoutine(7, vector -> { });
        final PeerConnectionListener listener = new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) { }

            @Override
            public void onDisconnect(final int peer) { }
        };
        memory.registerPeerConnectionListener(listener);
        memory.removePeerConnectionListener(listener);
    }

    @Test
    void closingTheMemoryClosesTheDeviceAndTheOtherWayRound() {
        final String path = folder.resolve("memory").toString();
        final IvshmemMemory one = Ivshmem.plain(path, 64);
        one.getMemory().close();
        assertTrue(one.isClosed());
        final IvshmemMemory two = Ivshmem.plain(path);
        two.close();
        assertFalse(two.getMemory().isValid());
        assertThrows(IllegalStateException.class, () -> two.getMemory().readInt(0));
    }

    @Test
    void aReadOnlyMemoryRefusesToBeWritten() {
        final String path = folder.resolve("memory").toString();
        Ivshmem.plain(path, 64).close();
        try (IvshmemMemory memory = Ivshmem.open("plain:" + path + "?readonly")) {
            assertFalse(memory.getMemory().isWriteable());
            assertThrows(UnsupportedOperationException.class, () -> memory.getMemory().write(0, 1));
            assertEquals(0, memory.getMemory().readInt(0));
        }
    }

    @Test
    void whatCannotBeOpenedIsNamedWithItsKind() throws Exception {
        final String missing = folder.resolve("missing").toString();
        refused(Code.NOT_FOUND, missing, () -> Ivshmem.plain(missing));
        refused(Code.NOT_FOUND, "missing/deeper", () -> Ivshmem.plain(missing + "/deeper", 64));
        refused(Code.INVALID_ARGUMENT, folder.toString(), () -> Ivshmem.plain(folder.toString()));
        refused(Code.NOT_FOUND, missing, () -> Ivshmem.doorbell(missing));
        final Path file = Files.createFile(folder.resolve("file"));
        refused(Code.INVALID_ARGUMENT, "file", () -> Ivshmem.doorbell(file.toString()));
        refused(Code.INVALID_ARGUMENT, "file", () -> Ivshmem.plain(file.toString(), 1L << 60));
        assertEquals(0, Files.size(file));
        assertThrows(IllegalArgumentException.class, () -> Ivshmem.open("nonsense"));
        refused(Code.NOT_FOUND, "0000:00:0e.0", () -> Ivshmem.open("pci:0000:00:0e.0"));
        refused(Code.NOT_FOUND, missing, () -> Ivshmem.plain(missing, 0));
        assertThrows(IllegalArgumentException.class, () -> Ivshmem.plain(missing, -1));
        assertThrows(IllegalArgumentException.class, () -> Ivshmem.doorbell(missing, -1));
        assertThrows(NullPointerException.class, () -> Ivshmem.plain(null));
        assertThrows(NullPointerException.class, () -> Ivshmem.doorbell(null));
        assertThrows(NullPointerException.class, () -> Ivshmem.open(null));
    }

    @Test
    void devicesOfWindowsGuestsAreOnWindows() {
        assertThrows(UnsupportedOperationException.class, Ivshmem::windowsListPCI);
        final WindowsIvshmemPCIDevice device = new WindowsIvshmemPCIDevice("x", 1);
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.windowsPCI(device));
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.windowsPCI(device, Runnable::run));
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.windowsPCI(device, (thread, e) -> { }));
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.windowsPCI(device, null, null));
    }

    @Test
    void aDeviceOfALinuxGuestThatIsNotThereIsNotFound() {
        // Whether devices exist depends on the machine.
        final int devices = Ivshmem.linuxListPCI().size();
        if (devices == 0) {
            refused(Code.NOT_FOUND, "no ivshmem device", () -> Ivshmem.open("auto"));
        }
        refused(Code.NOT_FOUND, "no ivshmem device", () -> Ivshmem.open("pci:" + devices));
        assertThrows(IllegalArgumentException.class, () -> Ivshmem.open("pci:0?colour=red"));
        assertThrows(NullPointerException.class, () -> Ivshmem.linuxPCI(null));
    }

    private static void refused(
        final Code code, final String named, final org.junit.jupiter.api.function.Executable opening) {
        final IvshmemException e = assertThrows(IvshmemException.class, opening);
        assertEquals(code, e.getCode(), e.getMessage());
        assertTrue(e.getMessage().contains(named), e.getMessage());
    }
}
