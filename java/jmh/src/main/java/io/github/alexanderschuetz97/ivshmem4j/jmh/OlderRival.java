package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.io.File;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;

/**
 * Another version of this library, usually Ivshmem4j 1.2: the jars that the property {@code ivshmem4j.rival} lists, in a
 * separate class loader.
 *
 * <p>Constant method handles, bound to a constant object, cost nothing once the JIT compiler has compiled them.
 */
final class OlderRival implements Rival {

    static final String PROPERTY = "ivshmem4j.rival";

    /** Read once, when the handles are created. */
    private static Path file;

    OlderRival(final Path file) {
        OlderRival.file = file;
    }

    /** Created with the first access. */
    private static final class Handles {

        private static final Object MEMORY;
        private static final Class<?> TYPE;

        static {
            try {
                final Class<?> opener = opener();
                final Object device = opener.getMethod("plain", String.class).invoke(null, file.toString());
                // Uses the declared types, which are public; the classes of the objects are not.
                final Class<?> deviceType = opener.getMethod("plain", String.class).getReturnType();
                TYPE = deviceType.getMethod("getMemory").getReturnType();
                MEMORY = deviceType.getMethod("getMemory").invoke(device);
            } catch (final Exception e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        private static final MethodHandle READ_INT = handle("readInt", int.class, long.class);
        private static final MethodHandle READ_LONG = handle("readLong", long.class, long.class);
        private static final MethodHandle WRITE_LONG = handle("write", void.class, long.class, long.class);
        private static final MethodHandle CAS_INT =
            handle("compareAndSet", boolean.class, long.class, int.class, int.class);
        private static final MethodHandle CAS_LONG =
            handle("compareAndSet", boolean.class, long.class, long.class, long.class);
        private static final MethodHandle READ_BYTES =
            handle("read", void.class, long.class, byte[].class, int.class, int.class);
        private static final MethodHandle WRITE_BYTES =
            handle("write", void.class, long.class, byte[].class, int.class, int.class);
        private static final MethodHandle ADD_INT = handle("getAndAdd", int.class, long.class, int.class);
        private static final MethodHandle ADD_LONG = handle("getAndAdd", long.class, long.class, long.class);

        private static MethodHandle handle(final String name, final Class<?> result, final Class<?>... parameters) {
            try {
                return MethodHandles.publicLookup()
                    .findVirtual(TYPE, name, MethodType.methodType(result, parameters)).bindTo(MEMORY);
            } catch (final ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }
    }

    /** The class {@code Ivshmem} of the other version. */
    static Class<?> opener() throws MalformedURLException, ClassNotFoundException {
        final String[] jars = System.getProperty(PROPERTY).split(File.pathSeparator);
        final URL[] urls = new URL[jars.length];
        for (int i = 0; i < jars.length; i++) {
            urls[i] = new File(jars[i]).toURI().toURL();
        }
        return new URLClassLoader(urls, ClassLoader.getPlatformClassLoader())
            .loadClass("io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem");
    }

    @Override
    public int readInt(final long off) {
        try {
            return (int) Handles.READ_INT.invokeExact(off);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public long readLong(final long off) {
        try {
            return (long) Handles.READ_LONG.invokeExact(off);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void write(final long off, final long value) {
        try {
            Handles.WRITE_LONG.invokeExact(off, value);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public int getAndAdd(final long off, final int delta) {
        try {
            return (int) Handles.ADD_INT.invokeExact(off, delta);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public long getAndAdd(final long off, final long delta) {
        try {
            return (long) Handles.ADD_LONG.invokeExact(off, delta);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Version 1.2 accepts any offset. */
    @Override
    public int getAndAddUnaligned(final long off, final int delta) {
        return getAndAdd(off, delta);
    }

    @Override
    public boolean compareAndSet(final long off, final int expect, final int update) {
        try {
            return (boolean) Handles.CAS_INT.invokeExact(off, expect, update);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public boolean compareAndSet(final long off, final long expect, final long update) {
        try {
            return (boolean) Handles.CAS_LONG.invokeExact(off, expect, update);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void read(final long off, final byte[] buffer, final int bufferOff, final int len) {
        try {
            Handles.READ_BYTES.invokeExact(off, buffer, bufferOff, len);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void write(final long off, final byte[] buffer, final int bufferOff, final int len) {
        try {
            Handles.WRITE_BYTES.invokeExact(off, buffer, bufferOff, len);
        } catch (final Throwable e) {
            throw new IllegalStateException(e);
        }
    }
}
