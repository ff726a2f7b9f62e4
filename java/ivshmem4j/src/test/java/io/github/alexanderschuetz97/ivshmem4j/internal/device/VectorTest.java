package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

/** A vector whose reader is the test, so that concurrent events happen in the order of the test. */
@Timeout(60)
class VectorTest {

    private static final IvshmemException MISSING =
        new IvshmemException(Code.UNKNOWN_VECTOR, "the server of a moment ago had no such vector");

    private final Semaphore begun = new Semaphore(0);
    private final BlockingQueue<Object> results = new LinkedBlockingQueue<>();
    private final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
    private final Semaphore called = new Semaphore(0);
    /** Runs in the failed thread. */
    private volatile Runnable onFailure = () -> { };
    private final Vector vector = new Vector(3, new Source(), new Dispatch(0, false, true, null,
        new Handler((thread, e) -> {
            onFailure.run();
            thrown.add(e);
        }, "test")));

    @Test
    void aReaderThatFailsLateIsNotEndedByAServerThatIsGoneAgain() throws Exception {
        vector.add(number -> called.release());
        begun.acquire();
        vector.added();
        results.add(MISSING);
        results.add(1L);
        called.acquire();
        assertEquals(0, thrown.size(), thrown::toString);
        end();
    }

    @Test
    void aReaderThatFailedBeginsAnewOnceThereIsAServerWithTheVector() throws Exception {
        vector.add(number -> called.release());
        results.add(MISSING);
        assertEquals(MISSING, thrown.take());
        vector.added();
        results.add(1L);
        called.acquire();
        end();
    }

    @Test
    void aReaderThatFailsLateEndsNoFutureOfTheNextServer() throws Exception {
        final BlockingQueue<CompletableFuture<Integer>> next = new LinkedBlockingQueue<>();
        onFailure = () -> {
            vector.added();
            next.add(future());
        };
        final CompletableFuture<Integer> before = future();
        results.add(MISSING);
        assertEquals(MISSING, assertThrows(ExecutionException.class, before::get).getCause());
        results.add(1L);
        assertEquals(3, next.take().get());
        end();
    }

    @Test
    @EnabledForJreRange(min = JRE.JAVA_21)
    void oneMissingVectorIsOneFailureForTheHandlerThoughVirtualThreadsWaitForItToo() throws Exception {
        final FutureTask<Boolean> waits = new FutureTask<>(() -> vector.await(-1));
        Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, waits);
        begun.acquire();
        vector.add(number -> called.release());
        results.add(MISSING);
        results.add(MISSING);
        assertEquals(MISSING, assertThrows(ExecutionException.class, waits::get).getCause());
        assertEquals(MISSING, thrown.take());
        for (final Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().matches("ivshmem4j-(reader|vector)-3")) {
                thread.join();
            }
        }
        assertEquals(0, thrown.size(), thrown::toString);
        end();
    }

    private CompletableFuture<Integer> future() {
        final CompletableFuture<Integer> future = new CompletableFuture<>();
        vector.add(future);
        return future;
    }

    private void end() {
        vector.close();
        results.add(NativeLibrary.CLOSED);
    }

    /** Replaces the native library. */
    private final class Source implements Vector.Source {

        private final AtomicLong interrupts = new AtomicLong();
        private volatile boolean missing;

        @Override
        public long await(final long seen, final long cancels, final boolean receives, final long nanos) {
            if (nanos == 0) {
                if (missing) {
                    throw MISSING;
                }
                return NativeLibrary.TIMED_OUT;
            }
            begun.release();
            try {
                final Object result = results.take();
                if (result instanceof IvshmemException) {
                    missing = true;
                    throw (IvshmemException) result;
                }
                return (long) result > 0 ? interrupts.incrementAndGet() : (long) result;
            } catch (final InterruptedException e) {
                throw new AssertionError(e);
            }
        }

        @Override
        public void cancel() { }

        @Override
        public long received() {
            return interrupts.get();
        }

        @Override
        public long receive() {
            return interrupts.get();
        }

        @Override
        public void giveBack(final long position) { }
    }
}
