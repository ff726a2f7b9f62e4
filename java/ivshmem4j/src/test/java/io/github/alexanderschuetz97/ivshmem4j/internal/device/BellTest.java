package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class BellTest {

    private final List<Runnable> threads = new ArrayList<>();
    private int rings;

    @Test
    void itRingsAgainAfterARingThatFailed() {
        final Bell bell = new Bell(() -> {
            rings++;
            if (rings == 1) {
                throw new StackOverflowError("on purpose");
            } else if (rings == 2) {
                throw new IllegalStateException("on purpose");
            }
        }, threads::add);
        for (int ring = 1; ring <= 3; ring++) {
            bell.ring();
            assertEquals(ring, threads.size());
            threads.get(ring - 1).run();
            assertEquals(ring, rings);
        }
    }

    @Test
    void itRingsAgainAfterAThreadThatCouldNotBeStarted() {
        final int[] starts = new int[1];
        final Bell bell = new Bell(() -> rings++, thread -> {
            switch (starts[0]++) {
                case 0:
                    throw new SecurityException("on purpose");
                case 1:
                    throw new StackOverflowError("on purpose");
                default:
                    threads.add(thread);
                    break;
            }
        });
        assertThrows(SecurityException.class, bell::ring);
        assertThrows(StackOverflowError.class, bell::ring);
        bell.ring();
        threads.get(0).run();
        assertEquals(1, rings);
    }

    @Test
    void aRingAskedForWhileAThreadCouldNotBeStartedIsRung() {
        final Bell[] bell = new Bell[1];
        bell[0] = new Bell(() -> rings++, thread -> {
            if (rings == 0) {
                // Acts as another thread.
                bell[0].ring();
                throw new SecurityException("on purpose");
            }
            threads.add(thread);
        });
        assertThrows(SecurityException.class, bell[0]::ring);
        assertEquals(1, rings);
        bell[0].ring();
        threads.get(0).run();
        assertEquals(2, rings);
    }

    @Test
    void itRingsInTheThreadThatAsksWhereTheSystemGivesNone() {
        final Bell bell = new Bell(() -> rings++, thread -> {
            throw new OutOfMemoryError("on purpose");
        });
        bell.ring();
        bell.ring();
        assertEquals(2, rings);
    }

    @Test
    void ringsAskedForMeanwhileAreRungByTheSameThread() {
        final Bell[] bell = new Bell[1];
        bell[0] = new Bell(() -> {
            rings++;
            if (rings == 1) {
                bell[0].ring();
                bell[0].ring();
            }
        }, threads::add);
        bell[0].ring();
        threads.get(0).run();
        assertEquals(2, rings);
        assertEquals(1, threads.size());
    }
}
