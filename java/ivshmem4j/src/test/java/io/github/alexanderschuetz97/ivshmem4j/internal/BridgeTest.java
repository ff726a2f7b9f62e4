package io.github.alexanderschuetz97.ivshmem4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class BridgeTest {

    @Test
    void everyKindOfTheNativeLibraryHasItsCodeAndEveryCodeItsKind() {
        NativeLibrary.load();
        final List<String> kinds = new ArrayList<>();
        for (final String kind : NativeLibrary.errorKinds()) {
            kinds.add(kind.replaceAll("(?<=[a-z])(?=[A-Z])", "_").toUpperCase(java.util.Locale.ROOT));
            assertEquals(kinds.get(kinds.size() - 1), NativeFailure.code(kind).name());
        }
        final List<String> codes = new ArrayList<>();
        for (final IvshmemException.Code code : IvshmemException.Code.values()) {
            codes.add(code.name());
        }
        assertEquals(kinds, codes);
    }

    @Test
    void aDefectOfTheNativeLibraryIsAnExceptionAndNotTheEnd() {
        NativeLibrary.load();
        final RuntimeException e = assertThrows(IllegalStateException.class, () -> NativeLibrary.panic("on purpose"));
        assertTrue(e.getMessage().contains("report it: on purpose"), e.getMessage());
        assertTrue(NativeLibrary.errorKinds().length > 0);
    }

    @Test
    void aHandleThatWasNeverGivenOutIsRefusedWhateverItIs() {
        NativeLibrary.load();
        for (final long forged : new long[] {0, -1, 1, 1L << 62, Long.MIN_VALUE, Long.MAX_VALUE, 0x7fffffff00000000L}) {
            assertThrows(IllegalStateException.class, () -> NativeLibrary.memoryAddress(forged));
            assertThrows(IllegalStateException.class, () -> NativeLibrary.memoryClose(forged));
            assertThrows(IllegalStateException.class, () -> NativeLibrary.getAndAdd(forged, 0, 1L));
            assertThrows(IllegalStateException.class, () -> NativeLibrary.devicePeers(forged));
            assertThrows(IllegalStateException.class, () -> NativeLibrary.deviceClose(forged));
            assertThrows(IllegalStateException.class, () -> NativeLibrary.serverStop(forged));
            NativeLibrary.memoryFree(forged);
            NativeLibrary.deviceFree(forged);
        }
    }

    @Test
    void aKindOfALaterReleaseIsAnotherFailureOfTheSystem() {
        assertEquals(IvshmemException.Code.IO, NativeFailure.code("NotYetInvented"));
    }

    @Test
    void mistakesOfTheCallerAreTheExceptionsThatJavaHasForThem() {
        assertEquals(IllegalArgumentException.class, NativeFailure.exception("OutOfBounds", "x").getClass());
        assertEquals(IllegalStateException.class, NativeFailure.exception("Closed", "x").getClass());
        assertEquals(UnsupportedOperationException.class, NativeFailure.exception("Unsupported", "x").getClass());
        assertEquals(IvshmemException.class, NativeFailure.exception("NotFound", "x").getClass());
    }
}
