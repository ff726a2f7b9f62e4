package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ReadOnlyBufferException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The rejections of every method. Reflection finds the methods, so none is missing. */
class RejectionTest {

    private static final int SIZE = 147;
    /** The number of bytes in calls with an array, a buffer or a length. */
    private static final int BULK = 11;
    /** Methods with a number of bytes as a parameter. */
    private static final String WITH_LENGTH = "set|zero|sync|indexOf|copyTo|slice|asByteBuffer|view";

    /** The target of copies. */
    private static Region target;

    @BeforeAll
    static void openTarget() {
        target = new Region(SIZE);
    }

    @AfterAll
    static void closeTarget() {
        assertArrayEquals(new byte[SIZE], target.content());
        target.close();
    }

    /** All methods with an offset, except those that only check it. */
    static List<Method> withOffset() {
        final List<Method> methods = new ArrayList<>();
        for (final Method method : NativeMemory.class.getMethods()) {
            if (method.getParameterCount() > 0 && method.getParameterTypes()[0] == long.class
                && !method.getName().equals("isValid")) {
                methods.add(method);
            }
        }
        assertTrue(methods.size() > 140);
        return methods;
    }

    static List<Method> all() {
        final List<Method> methods = new ArrayList<>(Arrays.asList(NativeMemory.class.getMethods()));
        // These work after closing.
        methods.removeIf(method -> method.getName().equals("getNativePointer") && method.getParameterCount() == 0
            || method.getName().matches("isValid|isReadable|isWriteable|size|cacheMode|close|readLock|writeLock|supports.*|atomic8Byte.*"));
        return methods;
    }

    static List<Method> writers() {
        final List<Method> methods = new ArrayList<>(withOffset());
        methods.removeIf(method -> !method.getName().matches("set|zero|write.*|getAnd.*|compareAndSet|spinAndSet"));
        assertTrue(methods.size() > 60);
        return methods;
    }

    @ParameterizedTest
    @MethodSource("withOffset")
    void outOfRangeIsAnIllegalArgumentAndChangesNothing(final Method method) throws Exception {
        try (Region region = new Region(SIZE)) {
            final byte[] content = new byte[SIZE];
            Arrays.fill(content, (byte) 0x33);
            region.fill(content);
            final int length = length(method);
            final Set<Long> offsets = new LinkedHashSet<>(Arrays.asList(
                -1L, -(long) length, -16L, (long) SIZE, SIZE + 1L, 4096L, SIZE - length + 1L, (1L << 32) + 16, 1L << 62,
                Long.MAX_VALUE, Long.MAX_VALUE - length, Long.MAX_VALUE - length + 1, Long.MIN_VALUE,
                Long.MIN_VALUE + SIZE, Integer.MAX_VALUE + 1L, (long) Integer.MIN_VALUE));
            for (final long off : offsets) {
                final Throwable thrown = thrown(method, region.memory, arguments(method, off));
                assertTrue(thrown instanceof IllegalArgumentException, () -> method + " at " + off + ": " + thrown);
            }
            assertArrayEquals(content, region.content());
        }
    }

    @ParameterizedTest
    @MethodSource("all")
    void afterCloseItIsAnIllegalState(final Method method) throws Exception {
        try (Region region = new Region(SIZE)) {
            region.memory.close();
            for (final long off : new long[] {0, 1, SIZE - 1, SIZE, -1, Long.MAX_VALUE}) {
                final Object[] arguments = arguments(method, off);
                final Throwable thrown = thrown(method, region.memory, arguments);
                assertTrue(thrown instanceof IllegalStateException, () -> method + " at " + off + ": " + thrown);
            }
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @ParameterizedTest
    @MethodSource("writers")
    @EnabledOnOs(value = OS.LINUX, disabledReason = "all memory can be written")
    void readOnlyMemoryRefusesToBeWritten(final Method method) throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = Ivshmem.open("plain:" + region.file + "?readonly").getMemory();
            assertFalse(memory.isWriteable());
            assertTrue(memory.isReadable());
            for (final long off : new long[] {0, 16, 17}) {
                final Throwable thrown = thrown(method, memory, arguments(method, off));
                assertTrue(
                    thrown instanceof UnsupportedOperationException, () -> method + " at " + off + ": " + thrown);
            }
            final Throwable outside = thrown(method, memory, arguments(method, SIZE));
            assertTrue(outside instanceof IllegalArgumentException, () -> method + ": " + outside);
            assertThrows(UnsupportedOperationException.class, memory::zero);
            memory.close();
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @ParameterizedTest
    @MethodSource("withOffset")
    @EnabledOnOs(value = OS.LINUX, disabledReason = "all memory can be written")
    void readOnlyMemoryCanBeRead(final Method method) throws Exception {
        if (writers().contains(method) || !Region.HAS_VIEWS && method.getName().matches("asByteBuffer|view")) {
            return;
        }
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = Ivshmem.open("plain:" + region.file + "?readonly").getMemory();
            assertEquals(null, thrown(method, memory, arguments(method, 16)));
            memory.close();
        }
    }

    @Test
    void lengthsAreCheckedLikeOffsets() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            for (final long len : new long[] {-1, SIZE, SIZE - 1, Long.MAX_VALUE, Long.MIN_VALUE, Long.MAX_VALUE - 1}) {
                assertThrows(IllegalArgumentException.class, () -> memory.set(2, (byte) 1, len));
                assertThrows(IllegalArgumentException.class, () -> memory.zero(2, len));
                assertThrows(IllegalArgumentException.class, () -> memory.sync(2, len, false));
                assertThrows(IllegalArgumentException.class, () -> memory.slice(2, len));
                assertThrows(IllegalArgumentException.class, () -> memory.asByteBuffer(2, len));
                assertThrows(IllegalArgumentException.class, () -> memory.view(2, len, ByteBuffer.class));
                assertThrows(IllegalArgumentException.class, () -> memory.copyTo(2, memory, 0, len));
                assertThrows(IllegalArgumentException.class, () -> memory.copyTo(0, memory, 2, len));
                assertThrows(IllegalArgumentException.class, () -> memory.indexOf(2, len, new byte[1]));
                assertThrows(IllegalArgumentException.class, () -> memory.indexOf(2, len, (byte) 1));
            }
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void noBytesMayBeAtTheEndAndNoFurther() throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            for (final long off : new long[] {0, SIZE - 1, SIZE}) {
                memory.write(off, new byte[0]);
                memory.read(off, new byte[0]);
                memory.write(off, ByteBuffer.allocate(0));
                memory.read(off, ByteBuffer.allocateDirect(0));
                memory.copyTo(off, memory, SIZE - off, 0);
                assertEquals(0, memory.slice(off, 0).size());
                assertTrue(memory.isValid(off, 0));
                if (Region.HAS_VIEWS) {
                    assertEquals(0, memory.asByteBuffer(off, 0).capacity());
                } else {
                    assertThrows(UnsupportedOperationException.class, () -> memory.asByteBuffer(off, 0));
                    assertThrows(UnsupportedOperationException.class, () -> memory.view(0, 1, ByteBuffer.class));
                }
                assertEquals(-1, memory.indexOf(off, 0, (byte) 0));
                assertEquals(off, memory.indexOf(off, 0, new byte[0]));
            }
            for (final long off : new long[] {-1, SIZE + 1, Long.MIN_VALUE, Long.MAX_VALUE}) {
                assertFalse(memory.isValid(off, 0));
                assertThrows(IllegalArgumentException.class, () -> memory.write(off, new byte[0]));
                assertThrows(IllegalArgumentException.class, () -> memory.read(off, new byte[0]));
                assertThrows(IllegalArgumentException.class, () -> memory.write(off, ByteBuffer.allocate(0)));
                assertThrows(IllegalArgumentException.class, () -> memory.read(off, ByteBuffer.allocateDirect(0)));
                assertThrows(IllegalArgumentException.class, () -> memory.copyTo(off, memory, 0, 0));
                assertThrows(IllegalArgumentException.class, () -> memory.copyTo(0, memory, off, 0));
                assertThrows(IllegalArgumentException.class, () -> memory.slice(off, 0));
                assertThrows(IllegalArgumentException.class, () -> memory.asByteBuffer(off, 0));
                assertThrows(IllegalArgumentException.class, () -> memory.indexOf(off, 0, new byte[0]));
            }
            for (final Class<?> element : BulkOperations.ELEMENTS) {
                final Object none = Array.newInstance(element, 0);
                for (final String name : new String[] {"read", "write"}) {
                    final Method method = BulkOperations.method(name, none.getClass(), false);
                    assertEquals(null, thrown(method, memory, new Object[] {(long) SIZE, none}));
                    assertTrue(thrown(method, memory, new Object[] {SIZE + 1L, none})
                        instanceof IllegalArgumentException, method::toString);
                }
            }
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void settingAndSyncNeedAnOffsetInsideAlsoForNoBytes() throws Exception {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            memory.set(SIZE - 1, (byte) 1, 0);
            memory.zero(SIZE - 1, 0);
            memory.sync(SIZE - 1, 0, true);
            assertThrows(IllegalArgumentException.class, () -> memory.set(SIZE, (byte) 1, 0));
            assertThrows(IllegalArgumentException.class, () -> memory.zero(SIZE, 0));
            assertThrows(IllegalArgumentException.class, () -> memory.sync(SIZE, 0, true));
            memory.slice(SIZE, 0).zero();
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void noBytesAreRefusedWhereOneWouldBe() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory end = region.memory.slice(SIZE, 0);
            end.write(0, new byte[0]);
            region.memory.close();
            for (final NativeMemory closed : new NativeMemory[] {region.memory, end}) {
                assertFalse(closed.isValid(closed.size(), 0));
                assertThrows(IllegalStateException.class, () -> closed.write(closed.size(), new byte[0]));
                assertThrows(IllegalStateException.class, () -> closed.read(0, new byte[0]));
            }
        }
    }

    @Test
    @EnabledOnOs(value = OS.LINUX, disabledReason = "all memory can be written")
    void noBytesAreNotWrittenToMemoryForReading() {
        try (Region region = new Region(SIZE);
            IvshmemMemory device = Ivshmem.open("plain:" + region.file + "?readonly")) {
            final NativeMemory memory = device.getMemory();
            memory.read(SIZE, new byte[0]);
            assertThrows(UnsupportedOperationException.class, () -> memory.write(SIZE, new byte[0]));
            assertThrows(UnsupportedOperationException.class, () -> memory.write(0, new byte[0]));
        }
    }

    @Test
    void partsOfArraysAreChecked() throws Exception {
        final List<Class<?>> elements = new ArrayList<>(BulkOperations.ELEMENTS);
        elements.add(byte.class);
        final int[][] wrong = {
            {-1, 1}, {0, -1}, {0, 5}, {4, 1}, {5, 0}, {3, 2}, {Integer.MAX_VALUE, 1}, {1, Integer.MAX_VALUE},
            {Integer.MIN_VALUE, 0}, {0, Integer.MIN_VALUE}, {Integer.MAX_VALUE, Integer.MAX_VALUE}};
        try (Region region = new Region(SIZE)) {
            for (final Class<?> element : elements) {
                final Object array = Array.newInstance(element, 4);
                for (final String name : new String[] {"read", "write"}) {
                    final Method method = BulkOperations.method(name, array.getClass(), true);
                    for (final int[] part : wrong) {
                        assertTrue(thrown(method, region.memory, new Object[] {0L, array, part[0], part[1]})
                            instanceof ArrayIndexOutOfBoundsException, () -> method + " " + Arrays.toString(part));
                    }
                    assertEquals(null, thrown(method, region.memory, new Object[] {0L, array, 4, 0}));
                    assertTrue(thrown(method, region.memory, new Object[] {0L, null, 0, 0})
                        instanceof NullPointerException, method::toString);
                }
            }
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void aRefusedBufferKeepsItsPosition() {
        try (Region region = new Region(SIZE)) {
            final ByteBuffer buffer = ByteBuffer.allocate(BULK);
            assertThrows(IllegalArgumentException.class, () -> region.memory.write(SIZE - 1, buffer));
            assertThrows(IllegalArgumentException.class, () -> region.memory.read(SIZE - 1, buffer));
            assertThrows(ReadOnlyBufferException.class, () -> region.memory.read(0, buffer.asReadOnlyBuffer()));
            assertEquals(BULK, buffer.remaining());
            region.memory.write(0, buffer.asReadOnlyBuffer());
        }
    }

    @Test
    void wrongAlignmentAndSizeOf16ByteOperationsAreIllegalArguments() {
        try (Region region = new Region(SIZE)) {
            for (int off = 1; off < 16; off++) {
                final int at = off;
                assertThrows(
                    IllegalArgumentException.class, () -> region.memory.compareAndSet(at, new byte[32]));
            }
            for (final int length : new int[] {0, 16, 31, 33}) {
                assertThrows(
                    IllegalArgumentException.class, () -> region.memory.compareAndSet(0, new byte[length]));
            }
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void nullIsANullPointer() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            assertThrows(NullPointerException.class, () -> memory.write(0, (byte[]) null));
            assertThrows(NullPointerException.class, () -> memory.write(0, (ByteBuffer) null));
            assertThrows(NullPointerException.class, () -> memory.read(0, (byte[]) null));
            assertThrows(NullPointerException.class, () -> memory.read(0, (ByteBuffer) null));
            assertThrows(NullPointerException.class, () -> memory.indexOf(0, 1, null));
            assertThrows(NullPointerException.class, () -> memory.compareAndSet(0, null));
            assertThrows(NullPointerException.class, () -> memory.copyTo(0, null, 0, 0));
            assertThrows(NullPointerException.class, () -> memory.view(null));
            assertThrows(NullPointerException.class, () -> memory.view(0, 1, null));
            assertThrows(NullPointerException.class, () -> memory.spin(0, 0, 0, 0, null));
            assertThrows(NullPointerException.class, () -> memory.spinAndSet(0, 0, 1, 0, 0, null));
            assertArrayEquals(new byte[SIZE], region.content());
        }
    }

    @Test
    void aClosedMemoryRefusesEmptyBuffers() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            memory.close();
            for (final ByteBuffer empty : new ByteBuffer[] {ByteBuffer.allocate(0), ByteBuffer.allocateDirect(0)}) {
                assertThrows(IllegalStateException.class, () -> memory.write(0, empty));
                assertThrows(IllegalStateException.class, () -> memory.read(0, empty));
            }
        }
    }

    @Test
    void aClosedMemoryAnswersQuestions() {
        try (Region region = new Region(SIZE)) {
            final NativeMemory memory = region.memory;
            memory.close();
            assertDoesNotThrow(memory::close);
            assertFalse(memory.isValid() || memory.isValid(0) || memory.isValid(0, 1));
            assertTrue(memory.isReadable() && memory.isWriteable());
            assertEquals(SIZE, memory.size());
            assertEquals(0, memory.getNativePointer());
            assertEquals("NativeMemory[target=" + region.target + ", size=147, closed]", memory.toString());
        }
    }

    /** The number of bytes in a call with {@link #arguments}. */
    private static int length(final Method method) {
        final String name = method.getName();
        final Class<?>[] types = method.getParameterTypes();
        if (name.matches(WITH_LENGTH) || types.length > 1 && types[1] == ByteBuffer.class) {
            return BULK;
        }
        if (types.length > 1 && types[1].isArray()) {
            return name.equals("compareAndSet") ? 16 : BULK * BulkOperations.sizeOf(types[1].getComponentType());
        }
        if (name.endsWith("Pointer")) {
            return name.startsWith("get") ? 1 : System.getProperty("os.arch").contains("64") ? 8 : 4;
        }
        final String kind = name.matches("read|write|getAndAdd|getAndSet|compareAndSet|spin|spinAndSet")
            ? types.length > 1 ? types[1].getName() : "byte"
            : name.toLowerCase(java.util.Locale.ROOT);
        return kind.contains("byte") || kind.contains("boolean") ? 1
            : kind.contains("short") || kind.contains("char") ? 2
            : kind.contains("int") || kind.contains("float") ? 4 : 8;
    }

    /** Valid arguments for the parameters after the offset; a method that waits checks only once. */
    private static Object[] arguments(final Method method, final long off) {
        final Class<?>[] types = method.getParameterTypes();
        final Object[] arguments = new Object[types.length];
        for (int i = 0; i < types.length; i++) {
            arguments[i] = argument(method, types[i], i, off);
        }
        if (method.getName().startsWith("spin") && types.length - (method.getName().equals("spin") ? 2 : 3) == 3) {
            arguments[types.length - 2] = 0L;
        }
        return arguments;
    }

    private static Object argument(final Method method, final Class<?> type, final int index, final long off) {
        if (index == 0 && type == long.class) {
            return off;
        }
        if (type.isArray()) {
            return Array.newInstance(type.getComponentType(), method.getName().equals("compareAndSet") ? 32 : BULK);
        }
        if (type == Class.class) {
            return ByteBuffer.class;
        }
        if (type == NativeMemory.class) {
            return target.memory;
        }
        if (type == ByteBuffer.class) {
            return ByteBuffer.allocate(BULK);
        }
        if (type == TimeUnit.class) {
            return TimeUnit.SECONDS;
        }
        if (type == boolean.class) {
            return false;
        }
        if (type == byte.class) {
            return (byte) 0;
        }
        if (type == short.class) {
            return (short) 0;
        }
        if (type == char.class) {
            return 'x';
        }
        if (type == float.class) {
            return 0f;
        }
        if (type == double.class) {
            return 0d;
        }
        final String name = method.getName();
        final boolean isLength = name.matches(WITH_LENGTH) && !(name.equals("copyTo") && index == 2)
            || name.matches("read|write") && index == 3;
        if (type == int.class) {
            return isLength ? BULK : 0;
        }
        return isLength ? (Object) (long) BULK : (Object) 0L;
    }

    /** The exception of a call; null if it throws none. */
    private static Throwable thrown(final Method method, final NativeMemory memory, final Object[] arguments)
        throws IllegalAccessException {
        try {
            method.invoke(memory, method.getParameterCount() == 0 ? new Object[0] : arguments);
            return null;
        } catch (final InvocationTargetException e) {
            return e.getCause();
        }
    }
}
