package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

@EnabledOnOs(value = OS.LINUX, disabledReason = "files have no descriptors there")
class NamelessFileTest {

    @TempDir
    Path folder;

    @Test
    void theJvmTakesItsPathForTheDescriptorAndNobodyCanMakeAFileThatItWouldTakeInstead() throws Exception {
        final byte[] content = {1, 2, 3};
        try (NamelessFile file = new NamelessFile(folder.toRealPath(), content, "digest")) {
            assertArrayEquals(content, Files.readAllBytes(file.path()));
            assertEquals(0, folder.toFile().list().length);
            final Path link = Files.readSymbolicLink(file.path());
            assertEquals(FileSystemException.class,
                assertThrows(FileSystemException.class, () -> Files.createFile(link)).getClass());
            // System.load resolves a path in the same way.
            assertEquals(Paths.get("/proc/self/fd").toRealPath().resolve(file.path().getFileName()).toString(),
                file.path().toFile().getCanonicalPath());
        }
    }

    @Test
    void itIsMistakableForALibraryOfOtherContentThatWasLoadedByTheSameDescriptor() throws Exception {
        try (NamelessFile file = new NamelessFile(folder.toRealPath(), new byte[1], "5a5a")) {
            final String link = Files.readSymbolicLink(file.path()).toString();
            final String number = file.path().getFileName().toString();
            final String other = link.replace("-5a5a-", "-5a5b-");
            assertFalse(file.isMistakable(mapped(link)));
            assertTrue(file.isMistakable(mapped(other)));
            assertFalse(file.isMistakable(mapped(other.replace("-" + number + "-", "-" + number + "0-"))));
        }
    }

    private static List<String> mapped(final String file) {
        return Arrays.asList(
            "7f5a00000000-7f5a00001000 r-xp 00000000 00:18 5    " + file, "7f5a00001000-7f5a00002000 rw-p 00000000 00:00 0");
    }

    @Test
    void itIsGoneWhenItIsClosed() throws Exception {
        final Path path;
        try (NamelessFile file = new NamelessFile(folder.toRealPath(), new byte[1], "digest")) {
            path = file.path();
        }
        assertFalse(Files.exists(path) && Files.readSymbolicLink(path).startsWith(folder.toRealPath()));
        assertEquals(0, folder.toFile().list().length);
    }
}
