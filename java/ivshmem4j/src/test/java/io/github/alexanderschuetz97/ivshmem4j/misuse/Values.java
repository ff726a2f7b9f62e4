package io.github.alexanderschuetz97.ivshmem4j.misuse;

import io.github.alexanderschuetz97.ivshmem4j.api.DoorbellOptions;
import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.api.PlainOptions;
import java.lang.Thread.UncaughtExceptionHandler;
import java.lang.reflect.Array;
import java.lang.reflect.Executable;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Random;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** Arguments: mostly valid, often just outside the valid range, sometimes far outside. */
final class Values {

    /** The size of the memories in bytes. */
    static final int SIZE = 1 << 16;
    static final int VECTORS = 3;
    private static final long[] FAR = {
        Long.MIN_VALUE, Long.MIN_VALUE + 7, Integer.MIN_VALUE, -SIZE, SIZE, 1L << 32, (1L << 32) + 8, Long.MAX_VALUE - 7,
        Long.MAX_VALUE};

    private static final Class<?>[] VIEWS = {ByteBuffer.class, segment(), String.class};

    private final Path folder;
    private final Executor pool;
    private final Consumer<Throwable> unexpected;
    final AtomicLong callbacks = new AtomicLong();

    Values(final Path folder, final Executor pool, final Consumer<Throwable> unexpected) {
        this.folder = folder;
        this.pool = pool;
        this.unexpected = unexpected;
    }

    private static Class<?> segment() {
        try {
            return Class.forName("java.lang.foreign.MemorySegment");
        } catch (final ClassNotFoundException before22) {
            return Object.class;
        }
    }

    /** The socket of the server that is killed. */
    String socket() {
        return folder.resolve("s").toString();
    }

    /**
     * A value for a parameter.
     *
     * @param callee the method that takes it
     * @param device any device, for callbacks to use; or null
     * @throws IllegalStateException for a type that this class does not support yet
     */
    Object of(final Class<?> type, final Executable callee, final IvshmemMemory device, final Random random) {
        if (type == long.class) {
            return callee.getDeclaringClass() == DoorbellOptions.class ? random.nextInt(1000) : makesFiles(callee) ? size(random) : number(random);
        } else if (type == int.class) {
            return random.nextInt(3) > 0 ? random.nextInt(VECTORS + 2) - 1 : (int) number(random);
        } else if (type == short.class) {
            return (short) random.nextInt();
        } else if (type == byte.class) {
            return (byte) random.nextInt();
        } else if (type == char.class) {
            return (char) random.nextInt();
        } else if (type == boolean.class) {
            return random.nextBoolean();
        } else if (type == float.class) {
            return random.nextFloat();
        } else if (type == double.class) {
            return random.nextDouble();
        } else if (type == byte[].class) {
            return new byte[random.nextInt(4) == 0 ? 32 : random.nextInt(5000)];
        } else if (type.isArray() && type.getComponentType().isPrimitive()) {
            return Array.newInstance(type.getComponentType(), random.nextInt(1000));
        } else if (type == Class.class) {
            return VIEWS[random.nextInt(VIEWS.length)];
        } else if (type == ByteBuffer.class) {
            return buffer(random);
        } else if (type == ByteOrder.class) {
            return random.nextBoolean() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
        } else if (type == TimeUnit.class) {
            return random.nextInt(8) == 0 ? TimeUnit.MICROSECONDS : TimeUnit.NANOSECONDS;
        } else if (type == Duration.class) {
            return Duration.ofNanos(number(random) >> random.nextInt(64));
        } else if (type == String.class) {
            return name(callee, random);
        } else if (type == Executor.class) {
            return random.nextBoolean() ? pool : null;
        } else if (type == UncaughtExceptionHandler.class) {
            return (UncaughtExceptionHandler) this::thrownByCallback;
        } else if (type == InterruptServiceRoutine.class) {
            return routine(device, random.nextInt(32));
        } else if (type == PeerConnectionListener.class) {
            return listener(device);
        } else if (type.isEnum()) {
            return type.getEnumConstants()[random.nextInt(type.getEnumConstants().length)];
        }
        throw new IllegalStateException("the misuse test does not know what to pass as " + type + "; teach Values");
    }

    /** Whether a number is the size of a file, which would be filled. */
    private static boolean makesFiles(final Executable callee) {
        final Class<?> type = callee.getDeclaringClass();
        return type == Ivshmem.class || type == IvshmemServer.Builder.class || type == PlainOptions.class;
    }

    private static long size(final Random random) {
        return random.nextInt(3) > 0 ? SIZE : random.nextInt(2 * SIZE) - 100;
    }

    private static long number(final Random random) {
        switch (random.nextInt(16)) {
            case 0:
                return FAR[random.nextInt(FAR.length)];
            case 1:
                return random.nextLong();
            case 2:
                return random.nextInt(20) - 10;
            case 3:
                return SIZE - random.nextInt(40);
            case 4:
            case 5:
            case 6:
                return random.nextInt(SIZE) & -16;
            default:
                return random.nextInt(SIZE);
        }
    }

    private static ByteBuffer buffer(final Random random) {
        final int capacity = random.nextInt(3000);
        final ByteBuffer buffer = random.nextInt(4) == 0 ? ByteBuffer.allocateDirect(capacity)
            : random.nextBoolean() ? ByteBuffer.allocate(capacity) : ByteBuffer.wrap(new byte[capacity + 9], 9, capacity);
        return random.nextInt(8) == 0 ? buffer.asReadOnlyBuffer() : buffer;
    }

    private String name(final Executable callee, final Random random) {
        if (callee.getDeclaringClass() == IvshmemServer.class) {
            return folder.resolve("own").toString();
        }
        if (callee.getName().equals("plain") || callee.getName().equals("memoryFile")) {
            // Never the socket, as a file would take its name.
            return folder.resolve(random.nextInt(4) == 0 ? "missing/file" : "plain").toString();
        }
        switch (random.nextInt(10)) {
            case 0:
                return folder.resolve("missing").toString();
            case 1:
                return "doorbell:" + socket();
            case 2:
                return "plain:" + folder.resolve("plain") + "?size=64K";
            case 3:
                return folder.resolve("own").toString();
            case 4:
            case 5:
                return folder.resolve("plain").toString();
            default:
                return socket();
        }
    }

    private void thrownByCallback(final Thread thread, final Throwable e) {
        if (!(e instanceof RuntimeException) || e instanceof NullPointerException) {
            unexpected.accept(e);
        }
    }

    private InterruptServiceRoutine routine(final IvshmemMemory device, final int kind) {
        return vector -> {
            callbacks.incrementAndGet();
            if (device == null) {
                return;
            }
            switch (kind) {
                case 0:
                    device.close();
                    return;
                case 1:
                    device.getMemory().close();
                    return;
                case 2:
                    throw new IllegalStateException("from a routine, on purpose");
                case 3:
                    device.sendInterrupt(device.getOwnPeerID(), (vector + 1) % VECTORS);
                    return;
                default:
                    device.getMemory().getAndAdd(8L * vector, 1L);
            }
        };
    }

    private PeerConnectionListener listener(final IvshmemMemory device) {
        return new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) {
                callbacks.incrementAndGet();
                if (device != null) {
                    device.sendInterrupt(peer, 0);
                }
            }

            @Override
            public void onDisconnect(final int peer) {
                callbacks.incrementAndGet();
            }
        };
    }
}
