package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** One of the two programs of the demo, and their protocol. The Rust programs ask and answer use the same protocol. */
final class Partner implements AutoCloseable {

    /** Offsets in the memory: twice a length followed by that many bytes of text, and two counters. */
    static final long QUESTION = 0;
    static final long ANSWER = 4096;
    static final long ROUND = 8192;
    static final long ROUND_ANSWERED = 8192 + 128;

    /** The vectors: one announces a text, the other the change of a counter. */
    static final int TEXT = 0;
    static final int COUNTER = 1;

    private static final int VECTORS = 2;
    /** The maximum length of a text in bytes. */
    private static final int ROOM = 1024;
    private static final long PATIENCE_SECONDS = 20;

    private final IvshmemMemory device;
    private final Semaphore[] rung = {new Semaphore(0), new Semaphore(0)};
    private final int other;

    Partner(final String target) throws Exception {
        final long began = System.nanoTime();
        device = Ivshmem.open(target);
        final long micros = TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - began);
        System.out.println("connected as peer " + device.getOwnPeerID() + " in " + micros / 1000.0 + " ms, "
            + System.getProperty("java.vm.name") + " " + System.getProperty("java.version"));
        for (int vector = 0; vector < VECTORS; vector++) {
            device.registerInterruptServiceRoutine(vector, number -> rung[number].release());
        }
        // A new listener is called at once for each connected peer.
        final CompletableFuture<Integer> came = new CompletableFuture<>();
        device.registerPeerConnectionListener(new PeerConnectionListener() {
            @Override
            public void onConnect(final int peer, final int vectors) {
                if (vectors >= VECTORS) {
                    came.complete(peer);
                }
            }

            @Override
            public void onDisconnect(final int peer) {
                came.completeExceptionally(new IllegalStateException("the other program has left"));
            }
        });
        other = came.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    NativeMemory memory() {
        return device.getMemory();
    }

    void ring(final int vector) {
        device.sendInterrupt(other, vector);
    }

    /** Waits for one interrupt. No other program rings here; in general, read the memory after each interrupt. */
    void await(final int vector) throws InterruptedException {
        if (!rung[vector].tryAcquire(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no interrupt on vector " + vector + " in " + PATIENCE_SECONDS + " s");
        }
    }

    void writeText(final long at, final String text) {
        final byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        memory().write(at + 4, bytes, 0, bytes.length);
        memory().writeIntLE(at, bytes.length);
    }

    String readText(final long at) {
        // The other program could have written any length: check it before using it.
        final int length = memory().readIntLE(at);
        if (length < 0 || length > ROOM) {
            throw new IllegalStateException("a text of " + length + " bytes, at most " + ROOM + " are agreed on");
        }
        final byte[] bytes = new byte[length];
        memory().read(at + 4, bytes, 0, length);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        device.close();
    }
}
