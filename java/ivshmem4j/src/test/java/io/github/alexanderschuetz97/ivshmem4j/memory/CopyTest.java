package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Copies between memories. */
class CopyTest {

    /** More than the step size of a copy. */
    private static final int SIZE = (3 << 20) + 11;

    @Test
    void overlappingCopiesAreAsIfByWayOfACopy() {
        final byte[] content = new byte[SIZE];
        new Random(7).nextBytes(content);
        try (Region region = new Region(SIZE)) {
            for (final int shift : new int[] {1, 8, 4097, (1 << 20) - 1, 1 << 20, 2 << 20}) {
                final int len = SIZE - shift;
                final byte[] forwards = content.clone();
                System.arraycopy(content, 0, forwards, shift, len);
                region.fill(content);
                region.memory.copyTo(0, region.memory.slice(shift, len), 0, len);
                assertArrayEquals(forwards, region.content(), "forwards by " + shift);

                final byte[] backwards = content.clone();
                System.arraycopy(content, shift, backwards, 0, len);
                region.fill(content);
                region.memory.slice(shift, len).copyTo(0, region.memory, 0, len);
                assertArrayEquals(backwards, region.content(), "backwards by " + shift);
            }
        }
    }

    @Test
    void memoriesOfTwoFilesCopyToEachOther() {
        final byte[] content = new byte[SIZE];
        new Random(8).nextBytes(content);
        try (Region source = new Region(SIZE); Region target = new Region(SIZE + 5)) {
            source.fill(content);
            source.memory.copyTo(3, target.memory, 8, SIZE - 3);
            final byte[] expected = new byte[SIZE + 5];
            System.arraycopy(content, 3, expected, 8, SIZE - 3);
            assertArrayEquals(expected, target.content());
        }
    }

    @Test
    void eitherOneMayBeTooSmallOrClosed() {
        try (Region source = new Region(64); Region target = new Region(64)) {
            for (final long off : new long[] {-1, 57, 64, Long.MAX_VALUE, Long.MIN_VALUE}) {
                assertThrows(IllegalArgumentException.class, () -> source.memory.copyTo(off, target.memory, 0, 8));
                assertThrows(IllegalArgumentException.class, () -> source.memory.copyTo(0, target.memory, off, 8));
                assertThrows(IllegalArgumentException.class, () -> source.memory.copyTo(0, own(target.memory), off, 8));
            }
            target.memory.close();
            assertThrows(IllegalStateException.class, () -> source.memory.copyTo(0, target.memory, 0, 8));
            assertThrows(IllegalStateException.class, () -> target.memory.copyTo(0, source.memory, 0, 8));
            assertThrows(IllegalStateException.class, () -> source.memory.copyTo(0, own(target.memory), 0, 8));
            assertArrayEquals(new byte[64], source.content());
        }
    }

    @Test
    void aClassOfTheProgramMayBeTheTarget() {
        final byte[] content = new byte[20_000];
        new Random(9).nextBytes(content);
        try (Region source = new Region(content.length); Region target = new Region(content.length)) {
            source.fill(content);
            source.memory.copyTo(0, own(target.memory), 0, content.length);
            assertArrayEquals(content, target.content());
            assertEquals(0, target.memory.slice(0, 0).size());
        }
    }

    /** A wrapper of memory in a program. */
    private static NativeMemory own(final NativeMemory memory) {
        return (NativeMemory) Proxy.newProxyInstance(
            CopyTest.class.getClassLoader(), new Class<?>[] {NativeMemory.class}, (proxy, method, arguments) -> {
                try {
                    return method.invoke(memory, arguments);
                } catch (final InvocationTargetException e) {
                    throw e.getCause();
                }
            });
    }
}
