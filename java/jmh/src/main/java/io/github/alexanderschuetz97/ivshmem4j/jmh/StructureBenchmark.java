package io.github.alexanderschuetz97.ivshmem4j.jmh;

import io.github.alexanderschuetz97.ivshmem4j.api.AtomicSharedMemoryLong;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.RingBuffer;
import io.github.alexanderschuetz97.ivshmem4j.api.SharedMemoryLock;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** What stands on the memory, beside what the JDK has for the threads of one JVM; nobody else is there to wait for. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class StructureBenchmark {

    private static final int MESSAGE = 64;

    private final AtomicLong heapNumber = new AtomicLong();
    private final ReentrantLock heapLock = new ReentrantLock();
    private final byte[] message = new byte[MESSAGE];
    private final byte[] onTheWay = new byte[MESSAGE];
    private Path file;
    private NativeMemory memory;
    private AtomicSharedMemoryLong number;
    private SharedMemoryLock lock;
    private InputStream in;
    private OutputStream out;

    @Setup
    public void open() throws IOException {
        file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-jmh", null);
        Files.write(file, new byte[1 << 16]);
        memory = Ivshmem.plain(file.toString()).getMemory();
        number = new AtomicSharedMemoryLong(memory, 64);
        lock = new SharedMemoryLock(memory, 128);
        final RingBuffer ring = new RingBuffer(memory, 4096, 1 << 14);
        in = ring.inputStream();
        out = ring.outputStream();
    }

    @TearDown
    public void close() throws IOException {
        memory.close();
        Files.delete(file);
    }

    @Benchmark
    public long atomicNumber_ours() {
        return number.getAndIncrement();
    }

    @Benchmark
    public long atomicNumber_rival() {
        return heapNumber.getAndIncrement();
    }

    @Benchmark
    public void lockAndUnlock_ours() {
        lock.lock();
        lock.unlock();
    }

    @Benchmark
    public void lockAndUnlock_rival() {
        heapLock.lock();
        heapLock.unlock();
    }

    @Benchmark
    public int ring64B_ours() throws IOException {
        out.write(message);
        return in.read(message);
    }

    /** Two copies, without anything that would tell another thread of them. */
    @Benchmark
    public byte[] ring64B_rival() {
        System.arraycopy(message, 0, onTheWay, 0, MESSAGE);
        System.arraycopy(onTheWay, 0, message, 0, MESSAGE);
        return message;
    }

    /** A wait for what is there already. */
    @Benchmark
    public boolean spin_ours() {
        return memory.spin(8, 0, -1, 1, TimeUnit.SECONDS);
    }

    @Benchmark
    public boolean spin_rival() {
        return memory.readIntVolatile(8) == 0;
    }
}
