package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

@EnabledOnOs(value = OS.LINUX, disabledReason = "folders have access lists there")
class TrustedFolderTest {

    @TempDir
    Path folder;

    @Test
    void theWayIsLookedAtFromTheRootDown() throws Exception {
        final Path top = folder.toRealPath().resolve("top");
        final Path leaf = Files.createDirectories(top.resolve("middle").resolve("leaf"));
        Files.setAttribute(top, "unix:mode", 0777);
        Files.setAttribute(top.resolve("middle"), "unix:mode", 0777);
        for (final Executable looking : new Executable[] {
            () -> TrustedFolder.shared(leaf), () -> TrustedFolder.existing(leaf), () -> TrustedFolder.create(leaf)}) {
            final String said = assertThrows(IOException.class, looking).getMessage();
            assertTrue(said.contains("others may write to " + top + " (mode 777)"), said);
        }
    }

    @Test
    void othersMayWriteToASharedFolderAndNotToOneAboveIt() throws Exception {
        final Path shared = Files.createDirectory(folder.toRealPath().resolve("shared"));
        Files.setAttribute(shared, "unix:mode", 0777);
        assertEquals(shared, TrustedFolder.shared(shared));
        assertThrows(IOException.class, () -> TrustedFolder.existing(shared));
        Files.setAttribute(shared, "unix:mode", 01777);
        assertEquals(shared, TrustedFolder.existing(shared));
    }
}
