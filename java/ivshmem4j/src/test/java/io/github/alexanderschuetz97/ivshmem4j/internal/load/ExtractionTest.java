package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Removal of files from the cache. */
@EnabledOnOs(value = OS.LINUX, disabledReason = "the loader is tested by wintest there")
class ExtractionTest {

    private static final long HOUR = TimeUnit.HOURS.toMillis(1);

    @TempDir
    Path folder;

    @BeforeEach
    void makeALibraryOfLongAgoAndWhatEndedProcessesLeave() throws Exception {
        final Path library = Files.write(folder.resolve("library.so"), new byte[1]);
        Files.setLastModifiedTime(library, FileTime.fromMillis(System.currentTimeMillis() - 1000 * HOUR));
        Files.createLink(folder.resolve(".alias1"), library);
        Files.write(folder.resolve(".part1"), new byte[1]);
        // So that all of these files are older than 0 milliseconds.
        Thread.sleep(20);
    }

    @Test
    void whatIsOldIsRemovedAndTheLibraryStays() throws Exception {
        Extraction.removeUnfinished(folder, 0);
        assertEquals("library.so", names());
    }

    @Test
    void aSecondLinkOfTheLibraryIsAsOldAsTheLinkAndNotAsTheLibrary() throws Exception {
        Extraction.removeUnfinished(folder, HOUR);
        assertEquals(".alias1 .part1 library.so", names());
    }

    @Test
    void whatCannotBeRemovedStaysAndTheRestIsRemoved() throws Exception {
        for (int i = 0; i < 10; i++) {
            Files.createFile(Files.createDirectory(folder.resolve(".alias-folder" + i)).resolve("file"));
        }
        Thread.sleep(20);
        Extraction.removeUnfinished(folder, 0);
        assertEquals(IntStream.range(0, 10).mapToObj(i -> ".alias-folder" + i).collect(Collectors.joining(" ")) + " library.so",
            names());
    }

    @Test
    void aFolderThatCannotBeListedIsLeftAsItIs() throws Exception {
        Extraction.removeUnfinished(folder.resolve("missing"), 0);
        Extraction.removeUnfinished(folder.resolve("library.so"), 0);
    }

    private String names() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().collect(Collectors.joining(" "));
        }
    }
}
