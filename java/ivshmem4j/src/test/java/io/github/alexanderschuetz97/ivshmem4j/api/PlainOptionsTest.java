package io.github.alexanderschuetz97.ivshmem4j.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Each option has its documented effect, or the error states what is impossible. */
@Timeout(60)
class PlainOptionsTest {

    private static final int SIZE = 1 << 20;
    private static final PlainOptions SIZED = PlainOptions.defaults().size(SIZE);

    @TempDir
    Path folder;

    @Test
    void theSizeIsTheLeastOne() throws Exception {
        for (final long size : new long[] {100, 5000, 64}) {
            try (IvshmemMemory memory = open(PlainOptions.defaults().size(size))) {
                assertEquals(Math.max(size, Files.size(file())), memory.getMemory().size());
                assertEquals(size == 100 ? 100 : 5000, memory.getMemory().size());
            }
        }
        refused(Code.NOT_FOUND, "missing",
            () -> Ivshmem.plain(folder.resolve("missing").toString(), PlainOptions.defaults()));
        refused(Code.INVALID_ARGUMENT, String.valueOf(1L << 60), () -> open(PlainOptions.defaults().size(1L << 60)));
        assertEquals(5000, Files.size(file()));
        refusedArgument("0 bytes", () -> PlainOptions.defaults().size(0));
        refusedArgument("-5 bytes", () -> PlainOptions.defaults().size(-5));
    }

    @Test
    void aWindowIsThatPartOfTheFile() {
        try (IvshmemMemory whole = open(SIZED);
            IvshmemMemory part = open(PlainOptions.defaults().window(4097, 10_000))) {
            assertEquals(10_000, part.getMemory().size());
            whole.getMemory().write(4097 + 9992, 0x0102030405060708L);
            assertEquals(0x0102030405060708L, part.getMemory().readLong(9992));
        }
        final IllegalArgumentException outside = assertThrows(
            IllegalArgumentException.class, () -> open(PlainOptions.defaults().window(1, SIZE)));
        assertTrue(outside.getMessage().contains("which has " + SIZE), outside.getMessage());
        refusedArgument("from -1", () -> PlainOptions.defaults().window(-1, 1));
        refusedArgument("0 bytes", () -> PlainOptions.defaults().window(0, 0));
        refusedArgument("at most", () -> PlainOptions.defaults().window(2, Long.MAX_VALUE - 1));
    }

    @Test
    void aNewFileMustNotExist() throws Exception {
        open(SIZED.createNew()).close();
        assertEquals(SIZE, Files.size(file()));
        refused(Code.ALREADY_EXISTS, "memory", () -> open(SIZED.createNew()));
        Files.delete(file());
        refused(Code.INVALID_ARGUMENT, "size", () -> open(PlainOptions.defaults().createNew()));
        refused(Code.INVALID_ARGUMENT, "readOnly", () -> open(SIZED.createNew().readOnly()));
        assertFalse(Files.exists(file()));
    }

    @Test
    void theModeIsThatOfANewFileWhateverTheUmask() throws Exception {
        for (final int mode : new int[] {0666, 0640, 0400}) {
            open(SIZED.mode(mode)).close();
            assertEquals(mode, (int) Files.getAttribute(file(), "unix:mode") & 07777);
            Files.delete(file());
        }
        open(SIZED).close();
        assertEquals(0600, (int) Files.getAttribute(file(), "unix:mode") & 07777);
        open(SIZED.mode(0666)).close();
        assertEquals(0600, (int) Files.getAttribute(file(), "unix:mode") & 07777, "a file that exists");
        refusedArgument("01777", () -> SIZED.mode(01777));
        refusedArgument("0777", () -> SIZED.mode(-1));
    }

    @Test
    void theOwnerIsThatOfANewFile() throws Exception {
        final int user = (int) Files.getAttribute(folder, "unix:uid");
        if (user == 0) {
            open(SIZED.owner(4711, 4712)).close();
            assertEquals(4711, Files.getAttribute(file(), "unix:uid"));
            assertEquals(4712, Files.getAttribute(file(), "unix:gid"));
        } else {
            refused(Code.PERMISSION_DENIED, "owner", () -> open(SIZED.owner(0, 0)));
            assertFalse(Files.exists(file()));
        }
        refusedArgument("-1", () -> SIZED.owner(-1, 0));
        refusedArgument("4294967295", () -> SIZED.owner(0, 0xffff_ffffL));
        SIZED.owner(0, 0xffff_fffeL);
    }

    @Test
    void pagesArePresentAtOnceWhenTheyArePrefaulted() throws Exception {
        try (IvshmemMemory lazy = open(SIZED)) {
            assertEquals("0 kB", mapped(lazy, "Rss:"));
        }
        try (IvshmemMemory eager = open(SIZED.prefault())) {
            assertEquals(SIZE / 1024 + " kB", mapped(eager, "Rss:"));
        }
    }

    @Test
    void hugePagesAreAskedForOrRefusedByName() throws Exception {
        try (IvshmemMemory small = open(SIZED)) {
            assertFalse(mapped(small, "VmFlags:").contains("hg"));
        }
        if (!Files.exists(Paths.get("/sys/kernel/mm/transparent_hugepage"))) {
            refused(Code.INVALID_ARGUMENT, "huge pages", () -> open(SIZED.hugePages()));
            return;
        }
        try (IvshmemMemory huge = open(SIZED.hugePages())) {
            assertTrue((mapped(huge, "VmFlags:") + " ").contains(" hg "), mapped(huge, "VmFlags:"));
        }
    }

    @Test
    void whatIsReadOnlyIsNotWrittenAndNotCreated() {
        refused(Code.NOT_FOUND, "memory", () -> open(SIZED.readOnly()));
        open(SIZED).close();
        try (IvshmemMemory memory = open(PlainOptions.defaults().readOnly())) {
            assertEquals(0, memory.getMemory().readInt(0));
            assertFalse(memory.getMemory().isWriteable());
            assertThrows(UnsupportedOperationException.class, () -> memory.getMemory().write(0, 1));
        }
        refused(Code.INVALID_ARGUMENT, String.valueOf(SIZE + 1),
            () -> open(PlainOptions.defaults().size(SIZE + 1).readOnly()));
    }

    @Test
    void optionsAreNotChangedByThoseMadeFromThem() throws Exception {
        final PlainOptions options = PlainOptions.defaults();
        options.size(64).createNew().mode(0666).prefault().hugePages().readOnly().window(0, 1);
        refused(Code.NOT_FOUND, "memory", () -> open(options));
        open(SIZED).close();
        try (IvshmemMemory memory = Ivshmem.plain(file().toString(), options, (thread, e) -> { })) {
            assertEquals(SIZE, memory.getMemory().size());
            assertTrue(memory.getMemory().isWriteable());
        }
        assertThrows(NullPointerException.class, () -> Ivshmem.plain(null, options));
        assertThrows(NullPointerException.class, () -> Ivshmem.plain("x", (PlainOptions) null));
    }

    private Path file() {
        return folder.resolve("memory");
    }

    private IvshmemMemory open(final PlainOptions options) {
        return Ivshmem.plain(file().toString(), options);
    }

    /** The value of a field of {@code /proc/self/smaps} for the mapping. */
    private static String mapped(final IvshmemMemory memory, final String word) throws Exception {
        final String begin = Long.toHexString(memory.getMemory().getNativePointer()) + "-";
        final List<String> lines = Files.readAllLines(Paths.get("/proc/self/smaps"));
        int line = 0;
        while (!lines.get(line).startsWith(begin)) {
            line++;
        }
        while (!lines.get(line).startsWith(word)) {
            line++;
        }
        return lines.get(line).substring(word.length()).trim();
    }

    private static void refused(final Code code, final String named, final Supplier<IvshmemMemory> opening) {
        final IvshmemException e = assertThrows(IvshmemException.class, opening::get);
        assertEquals(code, e.getCode(), e.getMessage());
        assertTrue(e.getMessage().contains(named), e.getMessage());
    }

    private static void refusedArgument(final String named, final Supplier<PlainOptions> setting) {
        final IllegalArgumentException e = assertThrows(IllegalArgumentException.class, setting::get);
        assertTrue(e.getMessage().contains(named), e.getMessage());
    }
}
