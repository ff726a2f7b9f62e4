package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.spi.AbstractInterruptibleChannel;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.LongToIntFunction;

/**
 * One vector: all threads and callbacks that wait for its interrupts, and the only place that reads it.
 *
 * <p>One thread at a time, the reader, waits in the native library. A waiting platform thread becomes the reader if there is
 * none, so the operating system wakes it directly. Other platform threads park, and one of them becomes the reader when the
 * reader leaves. A virtual thread always parks, as native code would pin its carrier; while a virtual thread is parked, a
 * daemon thread becomes the reader if there is none. Routines and futures have another daemon thread, as they run code of
 * the program, which may be slow.
 *
 * <p>The reader counts each interrupt and wakes all threads. Each thread stores the last count that it has seen, so none
 * misses an interrupt that another thread has read.
 */
final class Vector {

    private static final long FOREVER = -1;
    /** How long a daemon thread that is no longer needed stays for the next use. */
    private static final long LINGER_SECONDS = 1;

    private final int number;
    private final LongToIntFunction reader;
    private final ReentrantLock lock = new ReentrantLock();
    /** Platform threads park here; one is signalled when there is no reader. */
    private final Condition platform = lock.newCondition();
    /** Virtual threads park here. */
    private final Condition virtual = lock.newCondition();
    private final Attendant forVirtual;
    private final Attendant forCallbacks;
    private final Callbacks callbacks;
    private final ThreadLocal<long[]> seen = ThreadLocal.withInitial(() -> new long[1]);

    /** The number of successful reads of this vector. */
    private long rings;
    /** The value of {@link #rings} when a routine, a future or a thread last received an interrupt. */
    private long heard;
    /** Whether a thread waits in the native library. */
    private boolean reading;
    /** The number of parked virtual threads that have not received an interrupt. */
    private int parked;
    /** The number of failed reads of daemon threads, and the last failure. */
    private int failures;
    private IvshmemException failure;
    /** How often the server has given the device this vector again. */
    private int additions;
    private Interruption interruption = new Interruption();
    private final Bell bell;
    private boolean closed;

    /**
     * Creates a vector without waiters.
     *
     * @param reader waits for an interrupt for a number of nanoseconds, like {@link NativeLibrary#deviceWait}
     * @param ringing rings this vector
     */
    Vector(final int number, final LongToIntFunction reader, final Runnable ringing, final Dispatch dispatch) {
        this.number = number;
        this.reader = reader;
        callbacks = new Callbacks(this, dispatch);
        bell = new Bell(ringing, bell -> Dispatch.start("ivshmem4j-bell-" + number, bell));
        forVirtual = new Attendant("ivshmem4j-reader-" + number, () -> parked > 0, null);
        forCallbacks = new Attendant("ivshmem4j-vector-" + number, () -> !callbacks.isEmpty(), callbacks::tell);
    }

    /**
     * Waits for an interrupt. Returns at once if one has arrived since this thread's last wait.
     *
     * @param nanos 0 only checks, a negative time means no limit
     * @return false if the time passed without an interrupt
     */
    boolean await(final long nanos) throws InterruptedException {
        if (Thread.interrupted()) {
            throw new InterruptedException();
        }
        final long[] mine = seen.get();
        final boolean isVirtual = VirtualThreads.isCurrent();
        final long begin = nanos > 0 ? System.nanoTime() : 0;
        lock.lock();
        try {
            final int failedBefore = failures;
            boolean looked = false;
            while (rings == mine[0]) {
                checkUsable(failedBefore);
                final long left = nanos > 0 ? Math.max(nanos - (System.nanoTime() - begin), 0) : nanos;
                if (left == 0) {
                    if (looked || reading) {
                        return false;
                    }
                    looked = true;
                    read(0);
                } else if (isVirtual) {
                    park(left);
                } else if (reading) {
                    await(platform, left);
                } else {
                    readInterruptibly(left);
                }
            }
            mine[0] = rings;
            heard = rings;
            return true;
        } finally {
            passOn();
            lock.unlock();
        }
    }

    /**
     * Registers a routine once. A new routine is called for an interrupt that has reached no receiver yet, at the latest
     * after {@link #wakeReader}.
     */
    void add(final InterruptServiceRoutine routine) {
        if (!callbacks.has(routine)) {
            addCallback(() -> callbacks.add(routine));
        }
    }

    /**
     * Adds a future for the next interrupt or, at the latest after {@link #wakeReader}, for an interrupt that has reached
     * no receiver yet.
     */
    void add(final CompletableFuture<Integer> future) {
        addCallback(() -> callbacks.add(future));
    }

    Callbacks callbacks() {
        return callbacks;
    }

    int number() {
        return number;
    }

    /** Marks all interrupts so far as received; returns the previous mark for {@link #unhear}. */
    long hear() {
        lock.lock();
        try {
            final long before = heard;
            heard = rings;
            return before;
        } finally {
            lock.unlock();
        }
    }

    /** Resets the mark, as no callback has received the interrupts. */
    void unhear(final long before) {
        lock.lock();
        try {
            heard = Math.min(heard, before);
            tellUnheard();
        } finally {
            lock.unlock();
        }
        wakeReader();
    }

    /**
     * Makes the reader return from the native library if it may be the thread that must report an interrupt to callbacks. A
     * signal does not reach it there, and ringing may block: call this without the lock.
     */
    void wakeReader() {
        final boolean needed;
        lock.lock();
        try {
            needed = reading && hasUnheard();
        } finally {
            lock.unlock();
        }
        if (needed) {
            bell.ring();
        }
    }

    /** Wakes all threads except the reader, which closing the device wakes. */
    void close() {
        lock.lock();
        try {
            closed = true;
            wakeAll();
            forVirtual.wake.signal();
            forCallbacks.wake.signal();
        } finally {
            lock.unlock();
        }
        callbacks.close();
    }

    /** Reads again, as the server has this vector now. */
    void added() {
        lock.lock();
        try {
            additions++;
            if (!closed && !callbacks.isEmpty()) {
                forCallbacks.need();
            }
        } finally {
            lock.unlock();
        }
    }

    private void addCallback(final Runnable adding) {
        lock.lock();
        try {
            checkOpen();
            if (callbacks.isEmpty()) {
                forCallbacks.told = heard;
            }
            // This comes first, as it fails if the system cannot start a thread.
            forCallbacks.need();
            adding.run();
            tellUnheard();
        } finally {
            lock.unlock();
        }
    }

    // The following methods are called with the lock held.

    /** Wakes the thread of the callbacks if there is an interrupt that has reached no receiver. */
    private void tellUnheard() {
        forCallbacks.told = Math.min(forCallbacks.told, heard);
        if (hasUnheard()) {
            forCallbacks.need();
        }
    }

    private boolean hasUnheard() {
        return forCallbacks.told != rings && !callbacks.isEmpty();
    }

    /** Parks a virtual thread. */
    private void park(final long nanos) throws InterruptedException {
        final long before = rings;
        parked++;
        try {
            forVirtual.need();
            await(virtual, nanos);
        } finally {
            // The reader of an interrupt has already reset the count.
            if (rings == before) {
                parked--;
            }
        }
    }

    private static void await(final Condition condition, final long nanos) throws InterruptedException {
        if (nanos < 0) {
            condition.await();
        } else {
            condition.awaitNanos(nanos);
        }
    }

    /** Waits in the native library until an interrupt, the timeout, or the interruption of this thread. */
    private void readInterruptibly(final long nanos) throws InterruptedException {
        final Interruption hook = interruption;
        hook.enter();
        final boolean interrupted;
        try {
            if (!hook.isOver) {
                read(nanos);
            }
        } finally {
            interrupted = hook.leave();
            if (interrupted) {
                interruption = new Interruption();
            }
        }
        if (interrupted && Thread.interrupted()) {
            throw new InterruptedException();
        }
    }

    /** Waits in the native library, without the lock. */
    private void read(final long nanos) {
        reading = true;
        lock.unlock();
        int result = NativeLibrary.TIMED_OUT;
        try {
            result = reader.applyAsInt(nanos);
        } finally {
            lock.lock();
            reading = false;
            if (result == NativeLibrary.RUNG) {
                rings++;
                parked = 0;
                wakeAll();
            } else if (result == NativeLibrary.CLOSED) {
                closed = true;
                wakeAll();
            }
        }
    }

    private void wakeAll() {
        platform.signalAll();
        virtual.signalAll();
        forVirtual.wakeIfNeeded();
        forCallbacks.wakeIfNeeded();
    }

    /** Makes another thread the reader if there is none. */
    private void passOn() {
        if (!reading) {
            platform.signal();
            forVirtual.wakeIfNeeded();
            forCallbacks.wakeIfNeeded();
        }
    }

    private void checkUsable(final int failedBefore) {
        checkOpen();
        if (failures != failedBefore) {
            throw failure;
        }
    }

    private void checkOpen() {
        if (closed) {
            throw Dispatch.closed();
        }
    }

    /** A daemon thread that exists while it is needed, and a short time longer. */
    private final class Attendant implements Runnable {

        private final String name;
        private final BooleanSupplier needed;
        /**
         * The job after each interrupt, run without the lock; null for a thread that reports neither interrupts nor
         * failures.
         */
        private final Runnable tell;
        private final Condition wake = lock.newCondition();
        private boolean running;
        /** The value of {@link Vector#rings} at the last report. */
        private long told;

        Attendant(final String name, final BooleanSupplier needed, final Runnable tell) {
            this.name = name;
            this.needed = needed;
            this.tell = tell;
        }

        void need() {
            if (running) {
                wake.signal();
            } else {
                Dispatch.start(name, this);
                running = true;
            }
        }

        void wakeIfNeeded() {
            if (running && needed.getAsBoolean()) {
                wake.signal();
            }
        }

        @Override
        public void run() {
            Throwable thrown = null;
            List<CompletableFuture<Integer>> waiting = Collections.emptyList();
            lock.lock();
            try {
                serve();
            } catch (final Throwable e) {
                thrown = e;
                failures++;
                failure = e instanceof IvshmemException
                    ? (IvshmemException) e : new IvshmemException("vector " + number + " cannot be read", e);
                wakeAll();
                if (tell != null) {
                    // Under the lock, as later futures may wait for a vector of the next server.
                    waiting = callbacks.takeFutures();
                }
            } finally {
                running = false;
                passOn();
                lock.unlock();
            }
            if (thrown != null && tell != null) {
                callbacks.fail(thrown, waiting);
            }
        }

        private void serve() {
            while (!closed) {
                if (!needed.getAsBoolean()) {
                    passOn();
                    if (!isNeededSoon()) {
                        return;
                    }
                } else if (tell != null && rings != told) {
                    tell();
                } else if (reading) {
                    wake.awaitUninterruptibly();
                } else {
                    readUnlessReplaced();
                }
            }
        }

        /**
         * Reads. Ignores the failure that the server did not have this vector if the server has it since.
         */
        private void readUnlessReplaced() {
            final int before = additions;
            try {
                read(FOREVER);
            } catch (final IvshmemException e) {
                if (additions == before) {
                    throw e;
                }
            }
        }

        private void tell() {
            told = rings;
            passOn();
            lock.unlock();
            try {
                tell.run();
            } finally {
                // Clears the interrupted status that a callback may have left.
                Thread.interrupted();
                lock.lock();
            }
        }

        private boolean isNeededSoon() {
            try {
                return wake.await(LINGER_SECONDS, TimeUnit.SECONDS);
            } catch (final InterruptedException e) {
                return true;
            }
        }
    }

    /** Ends a wait in the native library when the waiting thread is interrupted. Works for one interruption. */
    private final class Interruption extends AbstractInterruptibleChannel {

        /** Whether the thread was interrupted before the wait began. */
        private boolean isOver;

        void enter() {
            begin();
        }

        /** Ends the wait; returns whether the thread was interrupted during it. */
        boolean leave() {
            try {
                end(true);
                return false;
            } catch (final AsynchronousCloseException e) {
                return true;
            }
        }

        @Override
        protected void implCloseChannel() {
            if (lock.isHeldByCurrentThread()) {
                isOver = true;
            } else {
                bell.ring();
            }
        }
    }
}
