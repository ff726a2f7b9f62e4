package io.github.alexanderschuetz97.ivshmem4j.jmh;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * Measures each access twice, on memory with the same content: by this library ({@code ours}), on memory of a server, which
 * is sealed, and by another means on a file.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class AccessBenchmark {

    private static final int SIZE = 1 << 16;
    private static final int STEPS = 1024;
    private static final int COPY = 4096;
    private static final int SHORT_COPY = 64;
    /** The offset of all data except the chains, which are before it. */
    private static final long WORD = SIZE / 2;

    /** A name of {@link Rival#of}, or this library: {@code ours}, {@code guarded}, or {@code file} for its access to a file. */
    @Param("ours")
    public String means;

    private final byte[] buffer = new byte[COPY + 64];
    private Path file;
    private IvshmemServer server;
    private NativeMemory ours;
    private Rival rival;
    private long off;
    private int step;

    @Setup
    public void open() throws IOException {
        file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-jmh", null);
        // A chain through 16 KiB, so that every load waits for the previous load and none for main memory.
        final ByteBuffer content = ByteBuffer.allocate(SIZE).order(ByteOrder.nativeOrder());
        final int cells = SIZE / 4 / 8;
        final int[] order = new Random(1).ints(0, cells).distinct().limit(cells).toArray();
        for (int i = 0; i < cells; i++) {
            content.putLong(order[i] * 8, order[(i + 1) % cells] * 8L);
        }
        Files.write(file, content.array());
        switch (means) {
            case Turns.OURS:
                server = IvshmemServer.builder(file + ".socket").size(SIZE).start();
                ours = Ivshmem.doorbell(server.getPath()).getMemory();
                ours.write(0, content.array());
                break;
            case Row.GUARDED:
            case Row.FILE:
                ours = Ivshmem.plain(file.toString()).getMemory();
                break;
            default:
                rival = Rival.of(means, file);
        }
    }

    @TearDown
    public void close() throws IOException {
        if (ours != null) {
            ours.close();
        }
        if (server != null) {
            server.close();
        }
        Files.delete(file);
    }

    /** Dependent loads: the latency of one access. */
    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long longs_ours() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            at = ours.readLong(at);
        }
        return at;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long longs_rival() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            at = rival.readLong(at);
        }
        return at;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long ints_ours() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            at = ours.readInt(at);
        }
        return at;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long ints_rival() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            at = rival.readInt(at);
        }
        return at;
    }

    /** A sum, which the JIT compiler may vectorise. */
    @Benchmark
    @OperationsPerInvocation(STEPS)
    public int bytes_ours() {
        int sum = 0;
        for (int i = 0; i < STEPS; i++) {
            sum += ours.read(i);
        }
        return sum;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public int bytes_rival() {
        int sum = 0;
        for (int i = 0; i < STEPS; i++) {
            sum += rival.read(i);
        }
        return sum;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long writesAndReads_ours() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            ours.write(WORD + at, i + at);
            at = ours.readLong(at);
        }
        return at;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long writesAndReads_rival() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            rival.write(WORD + at, i + at);
            at = rival.readLong(at);
        }
        return at;
    }

    /** Alternating writes and reads of words through memory: the cost of a loop over records. */
    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long words_ours() {
        long sum = 0;
        for (int i = 0; i < STEPS; i++) {
            ours.write(WORD + 8 * (i & 511), i + sum);
            sum += ours.readLong(8 * (i & 511));
        }
        return sum;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long words_rival() {
        long sum = 0;
        for (int i = 0; i < STEPS; i++) {
            rival.write(WORD + 8 * (i & 511), i + sum);
            sum += rival.readLong(8 * (i & 511));
        }
        return sum;
    }

    /** The cost of publishing and receiving, without another program. */
    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long publishes_ours() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            ours.writeLongRelease(WORD + at, i + at);
            at = ours.readLongAcquire(at);
        }
        return at;
    }

    @Benchmark
    @OperationsPerInvocation(STEPS)
    public long publishes_rival() {
        long at = off;
        for (int i = 0; i < STEPS; i++) {
            rival.writeRelease(WORD + at, i + at);
            at = rival.readAcquire(at);
        }
        return at;
    }

    @Benchmark
    public int addInt_ours() {
        return ours.getAndAdd(WORD, 3);
    }

    @Benchmark
    public int addInt_rival() {
        return rival.getAndAdd(WORD, 3);
    }

    @Benchmark
    public long addLong_ours() {
        return ours.getAndAdd(WORD + 8, 3L);
    }

    @Benchmark
    public long addLong_rival() {
        return rival.getAndAdd(WORD + 8, 3L);
    }

    @Benchmark
    public boolean compareAndSetInt_ours() {
        return ours.compareAndSet(WORD + 16, 0, 0);
    }

    @Benchmark
    public boolean compareAndSetInt_rival() {
        return rival.compareAndSet(WORD + 16, 0, 0);
    }

    @Benchmark
    public boolean compareAndSetLong_ours() {
        return ours.compareAndSet(WORD + 24, 0L, 0L);
    }

    @Benchmark
    public boolean compareAndSetLong_rival() {
        return rival.compareAndSet(WORD + 24, 0L, 0L);
    }

    @Benchmark
    public byte addByte_ours() {
        return ours.getAndAdd(WORD + 33, (byte) 3);
    }

    @Benchmark
    public byte addByte_rival() {
        return rival.getAndAdd(WORD + 33, (byte) 3);
    }

    @Benchmark
    public short addShort_ours() {
        return ours.getAndAdd(WORD + 42, (short) 3);
    }

    @Benchmark
    public short addShort_rival() {
        return rival.getAndAdd(WORD + 42, (short) 3);
    }

    @Benchmark
    public int addUnalignedInt_ours() {
        return ours.getAndAdd(WORD + 49, 3);
    }

    @Benchmark
    public int addUnalignedInt_rival() {
        return rival.getAndAddUnaligned(WORD + 49, 3);
    }

    @Benchmark
    public long addUnalignedLong_ours() {
        return ours.getAndAdd(WORD + 65, 3L);
    }

    @Benchmark
    public long addUnalignedLong_rival() {
        return rival.getAndAdd(WORD + 65, 3L);
    }

    /** A wait for a value that is already there, and one read of it. */
    @Benchmark
    public boolean spin_ours() {
        return ours.spin(WORD + 72, 0L, -1, 1, TimeUnit.SECONDS);
    }

    @Benchmark
    public boolean spin_rival() {
        return rival.readAcquire(WORD + 72) == 0;
    }

    /**
     * The offset of the next copy, in steps of a cache line through a page. The speed of a copy depends on the position of
     * the array in its page and in its cache line, which is random in a JVM; so each copy begins at a different position on
     * both sides.
     */
    private long place() {
        step = (step + 64) & (COPY - 1);
        return WORD + step;
    }

    /** The index of the first byte in the array: arrays begin at a multiple of 8, so all positions in a cache line occur. */
    private int index() {
        return step / 64 % 8 * 8;
    }

    @Benchmark
    public byte[] read64B_ours() {
        ours.read(place(), buffer, index(), SHORT_COPY);
        return buffer;
    }

    @Benchmark
    public byte[] read64B_rival() {
        rival.read(place(), buffer, index(), SHORT_COPY);
        return buffer;
    }

    @Benchmark
    public byte[] write64B_ours() {
        ours.write(place(), buffer, index(), SHORT_COPY);
        return buffer;
    }

    @Benchmark
    public byte[] write64B_rival() {
        rival.write(place(), buffer, index(), SHORT_COPY);
        return buffer;
    }

    @Benchmark
    public byte[] read4KiB_ours() {
        ours.read(place(), buffer, index(), COPY);
        return buffer;
    }

    @Benchmark
    public byte[] read4KiB_rival() {
        rival.read(place(), buffer, index(), COPY);
        return buffer;
    }

    @Benchmark
    public byte[] write4KiB_ours() {
        ours.write(place(), buffer, index(), COPY);
        return buffer;
    }

    @Benchmark
    public byte[] write4KiB_rival() {
        rival.write(place(), buffer, index(), COPY);
        return buffer;
    }
}
