package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Which memory is sealed, so that it can lose no page and values that are read need no correction. */
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class SealedMemoryTest {

    @TempDir
    Path folder;

    @Test
    void memoryOfAServerIsSealedAndThatOfAFileIsNot() {
        try (IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).start()) {
            check("doorbell:" + server.getPath(), true);
        }
        check("plain:" + folder.resolve("file") + "?size=4K", false);
    }

    private static void check(final String target, final boolean sealed) {
        NativeLibrary.load();
        final long device = NativeLibrary.open(target);
        try {
            assertEquals(sealed, NativeLibrary.memoryIsSealed(NativeLibrary.deviceMemory(device)), target);
        } finally {
            NativeLibrary.deviceClose(device);
            NativeLibrary.deviceFree(device);
        }
    }
}
