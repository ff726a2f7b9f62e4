package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A vector whose reader is the test, so that what happens at the same time happens in the order of the test. */
@Timeout(60)
class VectorTest {

    private static final IvshmemException MISSING =
        new IvshmemException(Code.UNKNOWN_VECTOR, "the server of a moment ago had no such vector");

    private final Semaphore begun = new Semaphore(0);
    private final BlockingQueue<Object> results = new LinkedBlockingQueue<>();
    private final BlockingQueue<Throwable> thrown = new LinkedBlockingQueue<>();
    private final Semaphore called = new Semaphore(0);
    private final Vector vector = new Vector(3, this::read, () -> { },
        new Dispatch(0, false, null, new Handler((thread, e) -> thrown.add(e), "test")));

    @Test
    void aReaderThatFailsLateIsNotEndedByAServerThatIsGoneAgain() throws Exception {
        vector.add(number -> called.release());
        begun.acquire();
        vector.reconnected();
        results.add(MISSING);
        results.add(NativeLibrary.RUNG);
        called.acquire();
        assertEquals(0, thrown.size(), thrown::toString);
        end();
    }

    @Test
    void aReaderThatFailedBeginsAnewOnceThereIsAServerWithTheVector() throws Exception {
        vector.add(number -> called.release());
        results.add(MISSING);
        assertEquals(MISSING, thrown.take());
        vector.reconnected();
        results.add(NativeLibrary.RUNG);
        called.acquire();
        end();
    }

    private void end() {
        vector.close();
        results.add(NativeLibrary.CLOSED);
    }

    /** As the native library does. */
    private int read(final long nanos) {
        begun.release();
        try {
            final Object result = results.take();
            if (result instanceof IvshmemException) {
                throw (IvshmemException) result;
            }
            return (int) result;
        } catch (final InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
