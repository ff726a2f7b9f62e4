package io.github.alexanderschuetz97.ivshmem4j.jmh;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * An interrupt and its answer between two devices of one JVM, by routines: with this library and with Ivshmem4j 1.2.
 * bench/src/bin/java_doorbell.rs compares it with a bare eventfd.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class InterruptBenchmark {

    @Param("ours")
    public String means;

    private final Semaphore answered = new Semaphore(0);
    private Path folder;
    private IvshmemServer server;
    private Client asks;
    private Client answers;

    /** One of the two devices. */
    private interface Client extends AutoCloseable {

        int id();

        void ring(int peer);

        void onRing(Runnable routine);

        boolean knows(int peer);

        @Override
        void close();
    }

    @Setup
    public void open() throws Exception {
        folder = Files.createTempDirectory("ivshmem4j-jmh");
        server = IvshmemServer.builder(folder.resolve("s").toString()).start();
        asks = client();
        answers = client();
        while (!asks.knows(answers.id()) || !answers.knows(asks.id())) {
            Thread.sleep(1);
        }
        final int asking = asks.id();
        answers.onRing(() -> answers.ring(asking));
        asks.onRing(answered::release);
    }

    @TearDown
    public void close() throws IOException {
        asks.close();
        answers.close();
        server.close();
        Files.deleteIfExists(folder);
    }

    @Benchmark
    public void roundTrip_ours() throws InterruptedException {
        roundTrip();
    }

    @Benchmark
    public void roundTrip_rival() throws InterruptedException {
        roundTrip();
    }

    private void roundTrip() throws InterruptedException {
        asks.ring(answers.id());
        answered.acquire();
        // Only an early interrupt leaves a permit.
        answered.drainPermits();
    }

    private Client client() throws ReflectiveOperationException, IOException {
        return means.equals(Turns.OURS) ? new Ours(Ivshmem.doorbell(server.getPath())) : new Older(server.getPath());
    }

    private static final class Ours implements Client {

        private final IvshmemMemory device;
        private final int id;

        Ours(final IvshmemMemory device) {
            this.device = device;
            id = device.getOwnPeerID();
        }

        @Override
        public int id() {
            return id;
        }

        @Override
        public void ring(final int peer) {
            device.sendInterrupt(peer, 0);
        }

        @Override
        public void onRing(final Runnable routine) {
            device.registerInterruptServiceRoutine(0, vector -> routine.run());
        }

        @Override
        public boolean knows(final int peer) {
            return device.isOtherPeerConnected(peer);
        }

        @Override
        public void close() {
            device.close();
        }
    }

    /** A device of version 1.2, called by reflection, which takes a thousandth of the time of the interrupt. */
    private static final class Older implements Client {

        /** The milliseconds that version 1.2 waits for the end of the handshake. */
        private static final long GRACE = 500;

        private final Class<?> type;
        private final Object device;
        private final Method send;
        private final int id;

        Older(final String path) throws ReflectiveOperationException, IOException {
            final Method opening = OlderRival.opener().getMethod("doorbell", String.class, long.class);
            type = opening.getReturnType();
            device = opening.invoke(null, path, GRACE);
            send = type.getMethod("sendInterrupt", int.class, int.class);
            id = (int) type.getMethod("getOwnPeerID").invoke(device);
        }

        @Override
        public int id() {
            return id;
        }

        @Override
        public void ring(final int peer) {
            call(send, peer, 0);
        }

        @Override
        public void onRing(final Runnable routine) {
            for (final Method method : type.getMethods()) {
                if (method.getName().equals("registerInterruptServiceRoutine")) {
                    final Class<?> kind = method.getParameterTypes()[1];
                    call(method, 0, Proxy.newProxyInstance(kind.getClassLoader(), new Class<?>[] {kind}, calls(routine)));
                }
            }
        }

        /** The handler of a proxy that is put into sets. */
        private static InvocationHandler calls(final Runnable routine) {
            return (proxy, method, arguments) -> {
                switch (method.getName()) {
                    case "onInterrupt":
                        routine.run();
                        return null;
                    case "hashCode":
                        return System.identityHashCode(proxy);
                    case "equals":
                        return proxy == arguments[0];
                    default:
                        return "a routine";
                }
            };
        }

        @Override
        public boolean knows(final int peer) {
            try {
                return (boolean) call(type.getMethod("isOtherPeerConnected", int.class), peer);
            } catch (final NoSuchMethodException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void close() {
            try {
                call(type.getMethod("close"));
            } catch (final NoSuchMethodException e) {
                throw new IllegalStateException(e);
            }
        }

        private Object call(final Method method, final Object... arguments) {
            try {
                return method.invoke(device, arguments);
            } catch (final IllegalAccessException | InvocationTargetException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
