package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class PlatformTest {

    private static final List<String> NO_MAPPINGS = Collections.emptyList();

    @Test
    void namesOfSystemsAndProcessorsAreOnes() {
        assertEquals("linux-x86_64", Platform.of("Linux", "amd64", NO_MAPPINGS).name());
        assertEquals("linux-x86", Platform.of("Linux", "i386", NO_MAPPINGS).name());
        assertEquals("linux-aarch64", Platform.of("Linux", "aarch64", NO_MAPPINGS).name());
        final Platform windows = Platform.of("Windows Server 2022", "x86", NO_MAPPINGS);
        assertEquals("/META-INF/native/windows-x86/ivshmem4j.dll", windows.resource());
    }

    @Test
    void muslIsWhatThisProcessHasLoadedAndNotWhatLiesOnTheDisk() {
        final List<String> musl = Arrays.asList(
            "7f5c0a000000-7f5c0a021000 r-xp 00000000 08:01 1234 /lib/ld-musl-x86_64.so.1",
            "7ffd7a1e0000-7ffd7a201000 rw-p 00000000 00:00 0 [stack]");
        final List<String> glibc = Collections.singletonList(
            "7f5c0a000000-7f5c0a021000 r-xp 00000000 08:01 1234 /usr/lib/x86_64-linux-gnu/libc.so.6");
        assertEquals("linux-musl-x86_64", Platform.of("Linux", "amd64", musl).name());
        assertEquals("linux-x86_64", Platform.of("Linux", "amd64", glibc).name());
    }

    @Test
    void aPlatformWithoutALibraryIsToldWhatToDo() {
        final Platform musl = new Platform("linux", "x86_64", true);
        final IvshmemException onMusl = assertThrows(IvshmemException.class, () -> Loader.content(musl));
        assertEquals(IvshmemException.Code.UNSUPPORTED, onMusl.getCode());
        assertTrue(onMusl.getMessage().contains("musl"), onMusl.getMessage());
        assertTrue(onMusl.getMessage().contains("-Divshmem4j.native.path="), onMusl.getMessage());
        final Platform other = new Platform("plan9", "vax", false);
        final IvshmemException elsewhere = assertThrows(IvshmemException.class, () -> Loader.content(other));
        assertTrue(elsewhere.getMessage().contains("plan9-vax"), elsewhere.getMessage());
    }
}
