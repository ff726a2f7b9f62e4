package io.github.alexanderschuetz97.ivshmem4j.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** Closing during accesses, and closing by the garbage collector. */
@Timeout(120)
class ClosingTest {

    private static final int SIZE = 4096;

    /** A program that opens and closes repeatedly while other threads access the memory. */
    @Test
    @Tag("long")
    @Timeout(600)
    void aThousandClosesUnderTheAccessesOfEightThreads() throws Exception {
        final List<Operation> operations = Operation.all();
        final AtomicReference<NativeMemory> current = new AtomicReference<>();
        final AtomicBoolean over = new AtomicBoolean();
        try (Region region = new Region(SIZE)) {
            final List<FutureTask<Void>> tasks = new ArrayList<>();
            current.set(region.again().getMemory());
            for (int thread = 0; thread < 8; thread++) {
                final Random random = new Random(thread);
                final FutureTask<Void> task = new FutureTask<>(() -> {
                    while (!over.get()) {
                        hammer(current.get(), operations, random);
                    }
                    return null;
                });
                tasks.add(task);
                new Thread(task).start();
            }
            for (int round = 0; round < 1000; round++) {
                final NativeMemory next = region.again().getMemory();
                current.getAndSet(next).close();
            }
            over.set(true);
            current.get().close();
            for (final FutureTask<Void> task : tasks) {
                task.get();
            }
        }
    }

    @Test
    void closingTheMemoryClosesTheDeviceAndTheOtherWayRound() {
        try (Region region = new Region(SIZE)) {
            final IvshmemMemory first = region.again();
            first.getMemory().close();
            assertTrue(first.isClosed());
            final IvshmemMemory second = region.again();
            second.close();
            assertFalse(second.getMemory().isValid());
        }
    }

    @Test
    void whoIsRefusedFindsTheDeviceClosed() throws Exception {
        try (Region region = new Region(SIZE)) {
            for (int round = 0; round < 200; round++) {
                final IvshmemMemory device = region.again();
                final NativeMemory memory = device.getMemory();
                final List<FutureTask<Void>> tasks = new ArrayList<>();
                for (final NativeMemory accessed : new NativeMemory[] {memory, memory.slice(16, 64)}) {
                    final FutureTask<Void> task = new FutureTask<>(() -> {
                        accessUntilRefused(accessed);
                        assertFalse(accessed.isValid());
                        assertFalse(memory.isValid());
                        assertTrue(device.isClosed());
                        return null;
                    });
                    tasks.add(task);
                    new Thread(task).start();
                }
                Thread.sleep(round % 3);
                if (round % 2 == 0) {
                    memory.close();
                } else {
                    device.close();
                }
                for (final FutureTask<Void> task : tasks) {
                    task.get();
                }
            }
        }
    }

    private static void accessUntilRefused(final NativeMemory memory) {
        try {
            while (true) {
                memory.readIntVolatile(0);
            }
        } catch (final IllegalStateException closed) {
            // Closing ends the loop.
        }
    }

    @Test
    void everyAccessMayRunWhileAnotherThreadCloses() throws Exception {
        final List<Operation> operations = Operation.all();
        try (Region region = new Region(SIZE)) {
            for (int round = 0; round < 200; round++) {
                final NativeMemory memory = region.again().getMemory();
                final List<FutureTask<Void>> tasks = new ArrayList<>();
                for (int thread = 0; thread < 3; thread++) {
                    final Random random = new Random(round * 10L + thread);
                    final FutureTask<Void> task = new FutureTask<>(() -> hammer(memory, operations, random));
                    tasks.add(task);
                    new Thread(task).start();
                }
                Thread.sleep(round % 4);
                memory.close();
                for (final FutureTask<Void> task : tasks) {
                    task.get();
                }
            }
        }
    }

    /** Accesses until the memory is closed; any other exception fails the test. */
    private static Void hammer(final NativeMemory memory, final List<Operation> operations, final Random random)
        throws Exception {
        while (true) {
            final Operation operation = operations.get(random.nextInt(operations.size()));
            // Other threads write at the same time, so a wait without a limit for a value that was read might never end.
            if (operation.name.endsWith("that meets") || operation.name.endsWith("without end")) {
                continue;
            }
            try {
                operation.call.on(memory, random.nextInt((SIZE - operation.size) / 16) * 16);
            } catch (final IllegalStateException closed) {
                assertFalse(memory.isValid());
                return null;
            }
        }
    }

    @Test
    @EnabledOnOs(value = OS.LINUX, disabledReason = "there is no list of a process's mappings")
    void memoryThatIsForgottenOpenOrClosedLeavesNoMapping() throws Exception {
        final Path file = Files.createTempFile(Paths.get("/dev/shm"), "ivshmem4j-forgotten", null);
        try {
            for (int i = 0; i < 50; i++) {
                final NativeMemory memory = Ivshmem.plain(file.toString(), SIZE + 4096 * 1000).getMemory();
                memory.write(0, i);
                if (i % 2 == 0) {
                    memory.close();
                }
            }
            for (int tries = 0; tries < 100 && mappings(file) > 0; tries++) {
                System.gc();
                Thread.sleep(20);
            }
            assertEquals(0, mappings(file));
        } finally {
            Files.delete(file);
        }
    }

    /** The number of mappings of a file in this process. */
    static long mappings(final Path file) throws IOException {
        return Files.readAllLines(Paths.get("/proc/self/maps")).stream()
            .filter(line -> line.contains(file.toString())).count();
    }
}
