package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.api.WindowsIvshmemPCIDevice;
import io.github.alexanderschuetz97.ivshmem4j.memory.Region;
import java.util.Collection;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/**
 * Tests with the first device of a Windows guest, which has interrupts.
 *
 * <p>The class name does not match the pattern of automatic tests, as the tests need the device.
 */
@Timeout(120)
@EnabledOnOs(value = OS.WINDOWS, disabledReason = "devices of the Windows driver are in Windows guests")
@EnabledIfSystemProperty(named = Region.PROPERTY, matches = "windows:0", disabledReason = "it needs a device")
class OnWindows {

    private static WindowsIvshmemPCIDevice first() {
        final Collection<WindowsIvshmemPCIDevice> devices = Ivshmem.windowsListPCI();
        assertFalse(devices.isEmpty());
        return devices.iterator().next();
    }

    /** Opens a device, which may remain in use for some time after it was closed. */
    private static IvshmemMemory opened(final Supplier<IvshmemMemory> opening) throws Exception {
        for (int tries = 0; ; tries++) {
            try {
                return opening.get();
            } catch (final IvshmemException e) {
                if (e.getCode() != Code.BUSY || tries > 1000) {
                    throw e;
                }
                Thread.sleep(20);
            }
        }
    }

    @Test
    void theListHasPathsAndSizes() {
        for (final WindowsIvshmemPCIDevice device : Ivshmem.windowsListPCI()) {
            assertTrue(device.getName().toLowerCase(java.util.Locale.ROOT).startsWith("\\\\?\\pci#ven_1af4&dev_1110"),
                device.getName());
            assertTrue(Long.bitCount(device.getSize()) == 1, device.toString());
        }
        assertEquals(Ivshmem.windowsListPCI(), Ivshmem.windowsListPCI());
    }

    @Test
    void everyWayOfOpeningGivesTheSameMemory() throws Exception {
        final WindowsIvshmemPCIDevice device = first();
        long expected = 1;
        final Supplier<?>[] ways = {
            () -> Ivshmem.windowsPCI(device),
            () -> Ivshmem.windowsPCI(device, Runnable::run),
            () -> Ivshmem.windowsPCI(device, (thread, e) -> { }),
            () -> Ivshmem.windowsPCI(device, null, null),
            () -> Ivshmem.open("windows:0"),
            () -> Ivshmem.open("auto"),
        };
        for (final Supplier<?> way : ways) {
            try (IvshmemMemory shm = opened(() -> (IvshmemMemory) way.get())) {
                assertEquals(device.getSize(), shm.getMemory().size());
                if (expected > 1) {
                    assertEquals(expected, shm.getMemory().readLong(64));
                }
                expected++;
                shm.getMemory().write(64, expected);
            }
        }
    }

    @Test
    void theDriverKnowsNoPeersAndSaysSo() throws Exception {
        try (IvshmemMemory shm = opened(() -> Ivshmem.windowsPCI(first()))) {
            assertTrue(shm.hasOwnPeerID() && shm.supportsInterrupts());
            assertTrue(shm.getOwnPeerID() >= 0);
            assertFalse(shm.knowsOtherPeers());
            assertFalse(shm.knowsOtherPeerVectors());
            assertThrows(UnsupportedOperationException.class, shm::getPeers);
            assertThrows(UnsupportedOperationException.class, () -> shm.isOtherPeerConnected(0));
            assertThrows(UnsupportedOperationException.class, () -> shm.getVectors(shm.getOwnPeerID() + 1));
            assertThrows(UnsupportedOperationException.class, () -> shm.registerPeerConnectionListener(new Nobody()));
        }
    }

    @Test
    void everyVectorIsHeardByItsOwnRoutineOnly() throws Exception {
        try (IvshmemMemory shm = opened(() -> Ivshmem.windowsPCI(first()))) {
            final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
            final int vectors = shm.getOwnVectors();
            assertTrue(vectors > 0 && shm.isVectorValid(vectors - 1) && !shm.isVectorValid(vectors));
            for (int vector = 0; vector < vectors; vector++) {
                final int own = vector;
                shm.registerInterruptServiceRoutine(vector, rung -> heard.add(own + " for " + rung));
            }
            for (int vector = vectors - 1; vector >= 0; vector--) {
                shm.sendInterrupt(shm.getOwnPeerID(), vector);
                assertEquals(vector + " for " + vector, heard.poll(60, TimeUnit.SECONDS));
            }
            assertTrue(heard.isEmpty());
        }
    }

    @Test
    void aRoutineThatWasRemovedIsNotCalledAndOneThatThrowsGoesToTheHandler() throws Exception {
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        try (IvshmemMemory shm = opened(() -> Ivshmem.windowsPCI(first(), (thread, e) -> thrown.add(e)))) {
            final InterruptServiceRoutine removed = vector -> thrown.add(new AssertionError("it was removed"));
            shm.registerInterruptServiceRoutine(0, removed);
            shm.removeInterruptServiceRoutine(0, removed);
            shm.registerInterruptServiceRoutine(0, vector -> {
                throw new IllegalStateException("on purpose");
            });
            shm.sendInterrupt(shm.getOwnPeerID(), 0);
            final Throwable first = thrown.poll(60, TimeUnit.SECONDS);
            assertNotNull(first);
            assertEquals("on purpose", first.getMessage());
        }
    }

    @Test
    void whatIsWrongIsSaid() throws Exception {
        try (IvshmemMemory shm = opened(() -> Ivshmem.windowsPCI(first()))) {
            final int vectors = shm.getOwnVectors();
            refused(Code.UNKNOWN_VECTOR, () -> shm.registerInterruptServiceRoutine(vectors, vector -> { }));
            refused(Code.UNKNOWN_VECTOR, () -> shm.registerInterruptServiceRoutine(-1, vector -> { }));
            refused(Code.UNKNOWN_PEER, () -> shm.sendInterrupt(65_536, 0));
            assertThrows(IllegalArgumentException.class, () -> shm.getMemory().readLong(shm.getMemory().size() - 7));
            shm.close();
            assertThrows(IllegalStateException.class, () -> shm.sendInterrupt(0, 0));
            assertThrows(IllegalStateException.class, () -> shm.getMemory().read(0));
        }
        final String path = first().getName();
        refused(Code.NOT_FOUND, () -> Ivshmem.windowsPCI(new WindowsIvshmemPCIDevice(path + "x", 1)));
        refused(Code.NOT_FOUND, () -> Ivshmem.open("windows:1000"));
        assertThrows(IllegalArgumentException.class, () -> Ivshmem.open("windows:0?colour=red"));
        assertThrows(NullPointerException.class, () -> Ivshmem.windowsPCI(null));
    }

    @Test
    void whatLinuxAloneHasIsUnsupported() {
        assertThrows(UnsupportedOperationException.class, Ivshmem::linuxListPCI);
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.open("pci:0"));
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.plain("C:\\memory", 64));
        assertThrows(UnsupportedOperationException.class, () -> Ivshmem.doorbell("C:\\socket"));
        assertThrows(UnsupportedOperationException.class, () -> IvshmemServer.builder("C:\\socket").size(64).start());
    }

    private static void refused(final Code code, final org.junit.jupiter.api.function.Executable action) {
        final IvshmemException e = assertThrows(IvshmemException.class, action);
        assertEquals(code, e.getCode(), e.getMessage());
    }

    private static final class Nobody implements PeerConnectionListener {
        @Override
        public void onConnect(final int peer, final int vectors) { }

        @Override
        public void onDisconnect(final int peer) { }
    }
}
