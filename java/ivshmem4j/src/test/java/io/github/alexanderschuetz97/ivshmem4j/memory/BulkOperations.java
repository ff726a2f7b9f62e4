package io.github.alexanderschuetz97.ivshmem4j.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/** Operations of bulk methods, except those for arrays of bytes. */
final class BulkOperations {

    /** All element types of arrays except bytes. */
    static final List<Class<?>> ELEMENTS = Arrays.asList(
        boolean.class, char.class, short.class, int.class, long.class, float.class, double.class);

    /** The number of elements of arrays. */
    private static final int LENGTH = 5;
    /** The distance of copies inside one memory. */
    private static final int SHIFT = 5;

    private BulkOperations() {}

    static void addTo(final List<Operation> all) {
        ELEMENTS.forEach(element -> arrays(all, element));
        copies(all);
        views(all);
    }

    /** The size of an element in bytes. */
    static int sizeOf(final Class<?> element) {
        return element == boolean.class || element == byte.class ? 1
            : element == char.class || element == short.class ? 2
            : element == int.class || element == float.class ? 4 : 8;
    }

    private static void arrays(final List<Operation> all, final Class<?> element) {
        final String array = element + "[]";
        final int bytes = LENGTH * sizeOf(element);
        final byte[] sample = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            sample[i] = (byte) (element == boolean.class ? i & 1 : 0x81 + 37 * i);
        }
        Operation.put(all, "write(" + array + ")", bytes,
            (m, o) -> call(m, "write", o, array(element, sample)), (m, o) -> Operation.put(m, o, sample));
        Operation.put(all, "write(" + array + ", int, int)", bytes, (m, o) -> {
            final Object wide = Array.newInstance(element, LENGTH + 4);
            System.arraycopy(array(element, sample), 0, wide, 3, LENGTH);
            call(m, "write", o, wide, 3, LENGTH);
        }, (m, o) -> Operation.put(m, o, sample));
        Operation.read(all, "read(" + array + ")", bytes, (m, o) -> {
            final Object read = Array.newInstance(element, LENGTH);
            call(m, "read", o, read);
            return bytes(read);
        }, (m, o) -> expected(element, Operation.bytes(m, o, bytes)));
        Operation.read(all, "read(" + array + ", int, int)", bytes, (m, o) -> {
            final Object wide = Array.newInstance(element, LENGTH + 4);
            call(m, "read", o, wide, 3, LENGTH);
            final byte[] read = bytes(wide);
            final int size = sizeOf(element);
            for (int i = 0; i < read.length; i++) {
                if (read[i] != 0 && (i < 3 * size || i >= (3 + LENGTH) * size)) {
                    throw new AssertionError("an element outside of the part was written");
                }
            }
            return Arrays.copyOfRange(read, 3 * size, (3 + LENGTH) * size);
        }, (m, o) -> expected(element, Operation.bytes(m, o, bytes)));
    }

    private static byte[] expected(final Class<?> element, final byte[] bytes) {
        for (int i = 0; element == boolean.class && i < bytes.length; i++) {
            bytes[i] = (byte) (bytes[i] == 0 ? 0 : 1);
        }
        return bytes;
    }

    private static void copies(final List<Operation> all) {
        final int both = Operation.BULK + SHIFT;
        Operation.put(all, "copyTo(forwards)", both, (m, o) -> m.copyTo(o, m, o + SHIFT, Operation.BULK),
            (m, o) -> Operation.put(m, o + SHIFT, Operation.bytes(m, o, Operation.BULK)));
        Operation.put(all, "copyTo(backwards)", both, (m, o) -> m.copyTo(o + SHIFT, m, o, Operation.BULK),
            (m, o) -> Operation.put(m, o, Operation.bytes(m, o + SHIFT, Operation.BULK)));
        Operation.put(all, "copyTo(between slices)", 2 * Operation.BULK, (m, o) -> {
            final NativeMemory target = m.slice(o + Operation.BULK, Operation.BULK);
            m.slice(o, 2 * Operation.BULK).copyTo(0, target, 0, Operation.BULK);
        }, (m, o) -> Operation.put(m, o + Operation.BULK, Operation.bytes(m, o, Operation.BULK)));
    }

    private static void views(final List<Operation> all) {
        final byte[] sample = new byte[Operation.BULK];
        Arrays.fill(sample, (byte) 0x6b);
        Operation.read(all, "slice that is read", Operation.BULK, (m, o) -> {
            final byte[] bytes = new byte[Operation.BULK];
            try (NativeMemory slice = m.slice(o, Operation.BULK)) {
                slice.read(0, bytes);
            }
            return bytes;
        }, (m, o) -> Operation.bytes(m, o, Operation.BULK));
        Operation.put(all, "slice that is written", Operation.BULK,
            (m, o) -> m.slice(o, Operation.BULK).write(0, sample), (m, o) -> Operation.put(m, o, sample));
        if (!Region.HAS_VIEWS) {
            return;
        }
        Operation.read(all, "asByteBuffer that is read", Operation.BULK,
            (m, o) -> content(m.asByteBuffer(o, Operation.BULK)), (m, o) -> Operation.bytes(m, o, Operation.BULK));
        Operation.read(all, "asByteBuffer in native order", 8, (m, o) -> m.asByteBuffer(o, 8).getLong(0),
            (m, o) -> m.getLong(o));
        Operation.put(all, "asByteBuffer that is written", Operation.BULK,
            (m, o) -> m.asByteBuffer(o, Operation.BULK).put(sample), (m, o) -> Operation.put(m, o, sample));
        Operation.read(all, "view", Operation.BULK,
            (m, o) -> content(m.view(o, Operation.BULK, ByteBuffer.class)),
            (m, o) -> Operation.bytes(m, o, Operation.BULK));
    }

    private static byte[] content(final ByteBuffer buffer) {
        final byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    /** Calls the overload for the type of an array, and throws the exceptions that it throws. */
    private static void call(
        final NativeMemory memory, final String name, final long off, final Object array, final int... part)
        throws Exception {
        try {
            if (part.length == 0) {
                method(name, array.getClass(), false).invoke(memory, off, array);
            } else {
                method(name, array.getClass(), true).invoke(memory, off, array, part[0], part[1]);
            }
        } catch (final InvocationTargetException e) {
            if (e.getCause() instanceof Error) {
                throw (Error) e.getCause();
            }
            throw (Exception) e.getCause();
        }
    }

    static Method method(final String name, final Class<?> array, final boolean part) throws NoSuchMethodException {
        return part
            ? NativeMemory.class.getMethod(name, long.class, array, int.class, int.class)
            : NativeMemory.class.getMethod(name, long.class, array);
    }

    /** An array of some bytes. */
    static Object array(final Class<?> element, final byte[] bytes) {
        final int size = sizeOf(element);
        final ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
        final Object array = Array.newInstance(element, bytes.length / size);
        if (element == boolean.class) {
            for (int i = 0; i < bytes.length; i++) {
                Array.setBoolean(array, i, bytes[i] != 0);
            }
        } else if (element == char.class) {
            buffer.asCharBuffer().get((char[]) array);
        } else if (element == short.class) {
            buffer.asShortBuffer().get((short[]) array);
        } else if (element == int.class) {
            buffer.asIntBuffer().get((int[]) array);
        } else if (element == long.class) {
            buffer.asLongBuffer().get((long[]) array);
        } else if (element == float.class) {
            buffer.asFloatBuffer().get((float[]) array);
        } else {
            buffer.asDoubleBuffer().get((double[]) array);
        }
        return array;
    }

    /** The bytes of an array. */
    static byte[] bytes(final Object array) {
        final Class<?> element = array.getClass().getComponentType();
        final byte[] bytes = new byte[Array.getLength(array) * sizeOf(element)];
        final ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
        if (element == boolean.class) {
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) (Array.getBoolean(array, i) ? 1 : 0);
            }
        } else if (element == char.class) {
            buffer.asCharBuffer().put((char[]) array);
        } else if (element == short.class) {
            buffer.asShortBuffer().put((short[]) array);
        } else if (element == int.class) {
            buffer.asIntBuffer().put((int[]) array);
        } else if (element == long.class) {
            buffer.asLongBuffer().put((long[]) array);
        } else if (element == float.class) {
            buffer.asFloatBuffer().put((float[]) array);
        } else {
            buffer.asDoubleBuffer().put((double[]) array);
        }
        return bytes;
    }
}
