package io.github.alexanderschuetz97.ivshmem4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.WindowsIvshmemPCIDevice;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.SyncFailedException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** A program for version 1.2 finds every method that it calls. */
class ApiListTest {

    @Test
    void nothingOfTheListIsMissingOrRenamed() throws Exception {
        final Set<String> missing = new TreeSet<>();
        for (final String line : list()) {
            final String type = line.substring(0, line.indexOf(' '));
            final Class<?> found = Class.forName(Ivshmem.class.getPackage().getName() + "." + type);
            assertTrue(Modifier.isPublic(found.getModifiers()), type);
            if (Arrays.stream(found.getMethods()).noneMatch(method -> line.equals(type + " " + signature(method)))) {
                missing.add(line);
            }
        }
        assertEquals(new TreeSet<String>(), missing);
    }

    @Test
    void theListHasTheWholeApi() throws IOException {
        assertEquals(105, list().size());
    }

    @Test
    void typesAreWhatProgramsTakeThemFor() throws Exception {
        assertTrue(AutoCloseable.class.isAssignableFrom(IvshmemMemory.class));
        assertTrue(AutoCloseable.class.isAssignableFrom(NativeMemory.class));
        assertTrue(RuntimeException.class.isAssignableFrom(IvshmemException.class));
        // A program that catches the exception of sync compiles only if sync declares it.
        final Method sync = NativeMemory.class.getMethod("sync", long.class, long.class, boolean.class);
        assertEquals(Arrays.asList(SyncFailedException.class), Arrays.asList(sync.getExceptionTypes()));
        for (final Class<?> type : Arrays.asList(IvshmemMemory.class, NativeMemory.class)) {
            assertEquals(0, type.getMethod("close").getExceptionTypes().length);
        }
        assertEquals("java.util.Collection<java.lang.Integer>",
            IvshmemMemory.class.getMethod("getPeers").getGenericReturnType().getTypeName());
    }

    @Test
    void programsMayExtendAndMakeWhatTheyCouldBefore() {
        class Opener extends Ivshmem { }

        class Device extends WindowsIvshmemPCIDevice {

            Device() {
                super("x", 1);
            }
        }

        class Failure extends IvshmemException {

            private static final long serialVersionUID = 1;

            Failure() {
                super("no trace", null, false, false);
            }
        }

        assertNotNull(new Opener());
        assertNotEquals(new Device(), new WindowsIvshmemPCIDevice("x", 1));
        assertEquals(0, new Failure().getStackTrace().length);
        assertEquals(IvshmemException.Code.IO, new Failure().getCode());
    }

    @Test
    void aDeviceOfAWindowsGuestIsDescribedAsBefore() {
        final WindowsIvshmemPCIDevice named = new WindowsIvshmemPCIDevice("x", 5);
        final WindowsIvshmemPCIDevice nameless = new WindowsIvshmemPCIDevice(null, 5);
        assertNull(nameless.getName());
        assertEquals(new WindowsIvshmemPCIDevice(null, 5), nameless);
        assertNotEquals(named, nameless);
        assertNotEquals(nameless, named);
        assertEquals(5, nameless.hashCode());
        assertEquals(new WindowsIvshmemPCIDevice("x", 5).hashCode(), named.hashCode());
        assertEquals("WindowsIvshmemPCIDevice{name='x', size=5}", named.toString());
        assertEquals("WindowsIvshmemPCIDevice{name='null', size=5}", nameless.toString());
        assertThrows(NullPointerException.class, () -> Ivshmem.windowsPCI(nameless));
    }

    @Test
    void anExceptionWithoutACauseCanBeGivenOne() {
        final Exception cause = new Exception("cause");
        assertEquals(cause, new IvshmemException().initCause(cause).getCause());
        assertEquals(cause, new IvshmemException("text").initCause(cause).getCause());
        assertEquals(cause.toString(), new IvshmemException(cause).getMessage());
        assertNull(new IvshmemException((Throwable) null).getMessage());
    }

    private static List<String> list() throws IOException {
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(
            ApiListTest.class.getResourceAsStream("/api-1.2.txt"), StandardCharsets.UTF_8))) {
            return lines.lines().filter(line -> !line.startsWith("#")).collect(Collectors.toList());
        }
    }

    private static String signature(final Method method) {
        final String modifier = Modifier.isStatic(method.getModifiers()) ? "static " : "";
        return modifier + method.getReturnType().getSimpleName() + " " + method.getName()
            + Arrays.stream(method.getParameterTypes()).map(Class::getSimpleName)
                .collect(Collectors.joining(", ", "(", ")"));
    }
}
