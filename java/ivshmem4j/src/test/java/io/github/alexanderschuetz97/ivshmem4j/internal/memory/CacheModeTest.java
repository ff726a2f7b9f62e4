package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.OrderedAccess;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import io.github.alexanderschuetz97.ivshmem4j.memory.Region;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** Fences of write-combined memory. Memory of a file replaces it, with a fence that checks its surroundings. */
class CacheModeTest {

    private static final long OFF = 8;

    /** Null for a device. */
    private Path file;
    private long device;
    private long mapping;
    /** All memories of one mapping, which would be closed as soon as one of them is unreachable. */
    private final List<NativeMemory> kept = new ArrayList<>();

    @BeforeEach
    void open() throws IOException {
        NativeLibrary.load();
        if (Region.isDevice()) {
            device = Region.openDevice();
        } else {
            file = Files.createTempFile("ivshmem4j-test", null);
            device = NativeLibrary.open("plain:" + file + "?size=64");
        }
        mapping = NativeLibrary.deviceMemory(device);
    }

    @AfterEach
    void close() throws IOException {
        NativeLibrary.deviceClose(device);
        NativeLibrary.deviceFree(device);
        if (file != null) {
            Files.delete(file);
        }
    }

    @Test
    void anOrderedWriteHasAFenceBeforeAndAFenceBehind() throws Exception {
        for (final Method write : orderedAccesses("write")) {
            final List<Byte> seen = new ArrayList<>();
            final NativeMemory[] memory = new NativeMemory[1];
            memory[0] = fenced(() -> seen.add(memory[0].read(OFF)));
            memory[0].write(OFF, 0L);
            write.invoke(memory[0], OFF, value(write.getParameterTypes()[1]));
            assertEquals(Arrays.asList((byte) 0, (byte) -1), seen, write.getName());
        }
    }

    @Test
    void anOrderedReadHasAFenceBehind() throws Exception {
        for (final Method read : orderedAccesses("read")) {
            final NativeMemory[] memory = new NativeMemory[1];
            memory[0] = fenced(() -> memory[0].write(OFF, 0L));
            memory[0].write(OFF, -1L);
            assertEquals(-1L, ((Number) read.invoke(memory[0], OFF)).longValue(), read.getName());
            assertEquals(0, memory[0].readLong(OFF), read.getName());
        }
    }

    @Test
    void slicesAndNumbersThatAreNotAlignedHaveTheFencesToo() {
        final int[] fences = new int[1];
        final NativeMemory slice = fenced(() -> fences[0]++).slice(OFF, 32);
        slice.writeIntRelease(0, 1);
        assertEquals(2, fences[0]);
        slice.readLongAcquire(8);
        assertEquals(3, fences[0]);
        slice.readIntAcquire(1);
        assertEquals(4, fences[0]);
        slice.readShortVolatile(1);
        assertEquals(5, fences[0]);
        slice.slice(8, 8).readByteVolatile(1);
        assertEquals(6, fences[0]);
    }

    /**
     * The processor's compare-and-exchange is always a fence; for a part of a word, a failed comparison may execute none.
     */
    @Test
    void aCompareAndSetOfAPartOfAWordThatFailsIsAFence() {
        final int[] fences = new int[1];
        final NativeMemory memory = fenced(() -> fences[0]++);
        assertFalse(memory.compareAndSet(OFF, (byte) 1, (byte) 2));
        assertFalse(memory.compareAndSet(OFF + 1, (short) 1, (short) 2));
        assertFalse(memory.compareAndSet(OFF + 1, 1, 2));
        assertEquals(3, fences[0]);
        memory.compareAndSet(OFF, (byte) 0, (byte) 2);
        assertEquals(3, fences[0]);
    }

    @Test
    void onlyWriteCombinedMemoryHasFences() {
        for (final CacheMode mode : CacheMode.values()) {
            final NativeMemory memory = Memories.of(
                "test", mapping, NativeLibrary.memoryAddress(mapping), NativeLibrary.memorySize(mapping), true, false, mode, () -> { });
            kept.add(memory);
            assertEquals(mode, memory.cacheMode());
            if (memory.getClass() != GuardedMemory.class) {
                assertEquals(mode == CacheMode.WRITE_COMBINED, memory.getClass().getSimpleName().equals("Fenced"));
            }
            memory.writeIntRelease(OFF, mode.ordinal());
            assertEquals(mode.ordinal(), memory.readIntAcquire(OFF));
        }
    }

    @Test
    @EnabledOnOs(value = OS.LINUX, disabledReason = "files cannot be opened")
    void memoryOfAFileIsCachedAndSaysSoAfterClosingToo() {
        final IvshmemMemory plain = Ivshmem.plain(file.toString());
        assertEquals(CacheMode.CACHED, plain.getMemory().cacheMode());
        plain.close();
        assertEquals(CacheMode.CACHED, plain.getMemory().cacheMode());
    }

    private NativeMemory fenced(final Runnable fence) {
        final Mapping all = new Mapping("test", mapping, NativeLibrary.memoryAddress(mapping),
            NativeLibrary.memorySize(mapping), true, false, CacheMode.WRITE_COMBINED);
        final NativeMemory memory = Memories.of(all, fence, () -> { });
        kept.add(memory);
        return memory;
    }

    private static List<Method> orderedAccesses(final String prefix) {
        final List<Method> methods = Stream.of(OrderedAccess.class.getMethods())
            .filter(method -> method.getName().matches(prefix + "(Byte|Short|Int|Long)(Acquire|Release|Volatile)"))
            .collect(Collectors.toList());
        assertEquals(8, methods.size());
        return methods;
    }

    private static Object value(final Class<?> type) {
        if (type == byte.class) {
            return (byte) -1;
        }
        if (type == short.class) {
            return (short) -1;
        }
        return type == int.class ? (Object) (-1) : (Object) (-1L);
    }
}
