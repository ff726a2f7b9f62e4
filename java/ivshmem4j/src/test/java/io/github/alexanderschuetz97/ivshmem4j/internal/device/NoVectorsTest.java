package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Script;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A client of a server without vectors, such as QEMU's with {@code -n 0}. */
@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class NoVectorsTest {

    /** The program of QEMU's server, which replaces the script that imitates it if the property is set. */
    private static final String QEMUS = System.getProperty("ivshmem4j.qemu.server");

    @TempDir
    Path folder;

    @Test
    void thereAreNoInterruptsAndWhoeverLeavesDoesNotEndTheServer() throws Exception {
        final String path = folder.resolve("s").toString();
        final Process server = server(path);
        if (server == null) {
            System.out.println("SKIP thereAreNoInterruptsAndWhoeverLeavesDoesNotEndTheServer: there is no python3");
            return;
        }
        final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
        try (IvshmemMemory stays = Ivshmem.doorbell(path, (thread, e) -> thrown.add(e))) {
            final IvshmemMemory leaves = Ivshmem.doorbell(path);
            assertFalse(stays.supportsInterrupts() || stays.knowsOtherPeers());
            assertEquals(0, stays.getOwnVectors());
            assertTrue(stays.hasOwnPeerID());
            assertEquals(Collections.emptyList(), stays.getPeers());
            final IvshmemException refused = assertThrows(
                IvshmemException.class, () -> stays.registerInterruptServiceRoutine(0, vector -> { }));
            assertEquals(Code.UNKNOWN_VECTOR, refused.getCode());
            assertThrows(IvshmemException.class, () -> stays.waitInterrupt(0));
            assertThrows(IvshmemException.class, () -> stays.nextInterrupt(0));
            leaves.close();
            // The server gives the next client its id after it has notified the other clients.
            try (IvshmemMemory next = Ivshmem.doorbell(path)) {
                stays.getMemory().write(0, 4711);
                assertEquals(4711, next.getMemory().readInt(0));
            }
            assertEquals(Collections.emptyList(), stays.getPeers());
            server.destroyForcibly().waitFor();
            final IvshmemException gone = (IvshmemException) thrown.take();
            assertEquals(Code.SERVER_GONE, gone.getCode());
            assertTrue(gone.getMessage().endsWith("the server closed the connection"), gone.getMessage());
        } finally {
            server.destroyForcibly().waitFor();
        }
        assertEquals(0, thrown.size());
    }

    /** Starts a server that listens; null if Python is missing. */
    private static Process server(final String path) throws IOException, InterruptedException {
        if (QEMUS == null) {
            return Script.start("listening", "no_vectors_server.py", path);
        }
        final Process process = new ProcessBuilder(QEMUS, "-F", "-v", "-S", path, "-m", "/dev/shm", "-l", "64K", "-n", "0")
            .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        while (!new File(path).exists()) {
            Thread.sleep(5);
        }
        return process;
    }
}
