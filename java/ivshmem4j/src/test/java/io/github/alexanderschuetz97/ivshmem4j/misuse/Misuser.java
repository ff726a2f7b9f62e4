package io.github.alexanderschuetz97.ivshmem4j.misuse;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.ref.WeakReference;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ReadOnlyBufferException;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.Consumer;

/** One thread that calls any method of any object of the library with any arguments. */
final class Misuser implements Runnable {

    /** The objects that all threads share. */
    static final class Objects {

        private static final int DEVICES = 6;
        private static final int MEMORIES = 6;
        private static final int OTHERS = 24;
        private static final long FORGOTTEN_NANOS = TimeUnit.SECONDS.toNanos(10);

        final AtomicReferenceArray<IvshmemMemory> devices = new AtomicReferenceArray<>(DEVICES);
        /** Memories of devices that may be closed or dropped by now. */
        private final AtomicReferenceArray<NativeMemory> memories = new AtomicReferenceArray<>(MEMORIES);
        private final AtomicReferenceArray<Object> others = new AtomicReferenceArray<>(OTHERS);

        private final Queue<Forgotten> forgotten = new ConcurrentLinkedQueue<>();

        /** A device that was dropped without closing. */
        private static final class Forgotten {

            private final WeakReference<IvshmemMemory> device;
            private final long since = System.nanoTime();

            Forgotten(final IvshmemMemory device) {
                this.device = new WeakReference<>(device);
            }
        }

        IvshmemMemory device(final Random random) {
            return devices.get(random.nextInt(DEVICES));
        }

        private Object any(final Random random) {
            switch (random.nextInt(8)) {
                case 0:
                case 1:
                case 2:
                    return device(random);
                case 3:
                    return others.get(random.nextInt(OTHERS));
                default:
                    return memories.get(random.nextInt(MEMORIES));
            }
        }

        /** Any object of a type, or null. */
        private Object any(final Class<?> type, final Random random) {
            for (int tries = 0; tries < 8; tries++) {
                final Object object = any(random);
                if (type.isInstance(object)) {
                    return object;
                }
            }
            return null;
        }

        private void keep(final Object object, final Random random) {
            if (object instanceof IvshmemMemory) {
                final IvshmemMemory replaced = devices.getAndSet(random.nextInt(DEVICES), (IvshmemMemory) object);
                // Sometimes it is not closed. A device with routines would stay, as documented, so it is always closed.
                if (replaced == null) {
                    return;
                }
                if (random.nextInt(10) > 0 || mayHaveRoutines(replaced)) {
                    replaced.close();
                } else {
                    forgotten.add(new Forgotten(replaced));
                }
            } else if (object instanceof NativeMemory) {
                memories.set(random.nextInt(MEMORIES), (NativeMemory) object);
            } else {
                final Object replaced = others.getAndSet(random.nextInt(OTHERS), object);
                if (replaced instanceof IvshmemServer) {
                    ((IvshmemServer) replaced).close();
                }
            }
        }

        private static boolean mayHaveRoutines(final IvshmemMemory memory) {
            try {
                return memory.supportsInterrupts();
            } catch (final IllegalStateException closed) {
                return false;
            }
        }

        /**
         * Closes dropped devices that are still reachable after a while, as a thread waits in them, perhaps without a
         * limit.
         */
        void closeForgotten() {
            while (!forgotten.isEmpty() && System.nanoTime() - forgotten.peek().since > FORGOTTEN_NANOS) {
                final IvshmemMemory device = forgotten.poll().device.get();
                if (device != null) {
                    device.close();
                }
            }
        }

        /** Closes all objects that need it, and drops all of them. */
        void clear() {
            for (int i = 0; i < DEVICES; i++) {
                final IvshmemMemory device = devices.getAndSet(i, null);
                if (device != null) {
                    device.close();
                }
            }
            for (int i = 0; i < MEMORIES; i++) {
                memories.set(i, null);
            }
            for (int i = 0; i < OTHERS; i++) {
                final Object other = others.getAndSet(i, null);
                if (other instanceof IvshmemServer) {
                    ((IvshmemServer) other).close();
                }
            }
        }
    }

    private final Api api;
    private final Values values;
    private final Objects objects;
    private final Set<Executable> called;
    private final Random random;
    private final Consumer<Throwable> unexpected;
    private volatile boolean over;
    private volatile Executable inside;
    private volatile long since = System.nanoTime();
    private volatile long calls;

    Misuser(
        final Api api,
        final Values values,
        final Objects objects,
        final Set<Executable> called,
        final Random random,
        final Consumer<Throwable> unexpected) {
        this.api = api;
        this.values = values;
        this.objects = objects;
        this.called = called;
        this.random = random;
        this.unexpected = unexpected;
    }

    void stop() {
        over = true;
    }

    long calls() {
        return calls;
    }

    /** The duration of the current call. */
    long nanosInCall() {
        return System.nanoTime() - since;
    }

    @Override
    public String toString() {
        return inside == null ? "between two calls" : "in " + inside;
    }

    @Override
    public void run() {
        while (!over) {
            since = System.nanoTime();
            try {
                once();
            } catch (final Throwable e) {
                unexpected.accept(e);
            }
            inside = null;
            // The test interrupts threads at any time.
            Thread.interrupted();
            calls++;
        }
    }

    private void once() throws Exception {
        final Object object = objects.any(random);
        if (object == null || random.nextInt(50) == 0) {
            final List<Executable> makers = api.makers();
            call(null, makers.get(random.nextInt(makers.size())));
        } else if (object instanceof ByteBuffer) {
            view((ByteBuffer) object);
        } else {
            final List<Method> methods = api.methods(object.getClass());
            final Method method = methods.get(random.nextInt(methods.size()));
            if (!method.getName().equals("close") || random.nextInt(10) == 0) {
                call(object, method);
            }
        }
    }

    private void call(final Object object, final Executable callee) throws Exception {
        final Class<?>[] types = callee.getParameterTypes();
        final Object[] arguments = new Object[types.length];
        final IvshmemMemory device = object instanceof IvshmemMemory ? (IvshmemMemory) object : objects.device(random);
        for (int i = 0; i < types.length; i++) {
            if (api.isGiven(types[i])) {
                arguments[i] = objects.any(types[i], random);
                if (arguments[i] == null) {
                    return;
                }
            } else {
                arguments[i] = values.of(types[i], callee, device, random);
            }
        }
        called.add(callee);
        inside = callee;
        try {
            final Object result = callee instanceof Method
                ? ((Method) callee).invoke(object, arguments) : ((Constructor<?>) callee).newInstance(arguments);
            if (result != null && (result instanceof ByteBuffer || !api.methods(result.getClass()).isEmpty())) {
                objects.keep(result, random);
            }
        } catch (final InvocationTargetException e) {
            if (!isPromised(e.getCause(), callee)) {
                throw new IllegalStateException(callee + " of " + Arrays.deepToString(arguments), e.getCause());
            }
        }
    }

    /**
     * Whether an exception is documented: for wrong arguments, closed memory, missing features, errors of the system, and
     * the exceptions that the method declares.
     */
    private static boolean isPromised(final Throwable e, final Executable callee) {
        return e instanceof IllegalArgumentException || e instanceof ArrayIndexOutOfBoundsException
            || e instanceof IllegalStateException
            || e instanceof UnsupportedOperationException || e instanceof IvshmemException
            || Arrays.stream(callee.getExceptionTypes()).anyMatch(declared -> declared.isInstance(e));
    }

    /** Accesses a view, whose memory may be dropped. */
    private void view(final ByteBuffer view) {
        try {
            view.put(random.nextInt(5000), (byte) view.get(random.nextInt(5000)));
        } catch (final IllegalStateException | IndexOutOfBoundsException | ReadOnlyBufferException e) {
            // The exceptions of Java's buffers.
        }
    }
}
