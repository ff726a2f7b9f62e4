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
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * One vector: the threads and callbacks of Java that wait for its interrupts.
 *
 * <p>The native library counts the interrupts, and each waiter stores the count that it has seen, so none misses an interrupt.
 * A platform thread waits in the native library. A virtual thread parks, as native code would pin its carrier, and a daemon
 * thread waits for it; routines and futures have another daemon thread, as they run code of the program, which may be slow.
 */
final class Vector {

    private static final long FOREVER = -1;
    private static final long NEVER_CANCELLED = Long.MAX_VALUE;
    /** The position of a closed or missing vector, whose interrupts cannot be given back. */
    private static final long NOTHING_TO_GIVE_BACK = Long.MAX_VALUE;
    /** How long a daemon thread that is no longer needed stays for the next use. */
    private static final long LINGER_SECONDS = 1;

    /** The functions of the native library for this vector. */
    interface Source {

        /**
         * The position at which a wait begins. For a device that cannot be interrupted it is the present one, as the end of a
         * pause is of no use to a later wait.
         */
        default long begin(final long seen) {
            return seen;
        }

        /** Like {@link NativeLibrary#deviceWait}. */
        long await(long seen, long cancels, boolean receives, long nanos);

        /** Like {@link NativeLibrary#deviceCancel}. */
        void cancel();

        /** Like {@link NativeLibrary#deviceReceived}. */
        long received();

        /** Like {@link NativeLibrary#deviceReceive}. */
        long receive();

        /** Like {@link NativeLibrary#deviceGiveBack}. */
        void giveBack(long position);
    }

    private final int number;
    private final Source source;
    private final Canceller canceller;
    private final ReentrantLock lock = new ReentrantLock();
    /** Virtual threads park here. */
    private final Condition virtual = lock.newCondition();
    private final ReaderThread forVirtual;
    private final ReaderThread forCallbacks;
    private final Callbacks callbacks;
    /**
     * The number of interrupts that each platform or virtual thread has seen. A thread keeps its value for a while after the
     * vector is unreachable, so the value must not refer to a class of this library.
     */
    private final ThreadLocal<long[]> positions;
    /** An interruption for the next wait of a platform thread, or null. */
    private final AtomicReference<Interruption> spare = new AtomicReference<>();

    /** The number of parked virtual threads, and how often they were woken. */
    private int parked;
    private long wakeUps;
    /** How often the server has given the device this vector again. */
    private int additions;
    private boolean closed;

    /** Creates a vector without waiters. */
    Vector(final int number, final Source source, final Dispatch dispatch) {
        this.number = number;
        this.source = source;
        canceller = new Canceller(source);
        positions = ThreadLocal.withInitial(() -> new long[1]);
        callbacks = new Callbacks(this, dispatch);
        forVirtual = new ReaderThread("ivshmem4j-reader-" + number, () -> parked > 0, null);
        forCallbacks = new ReaderThread("ivshmem4j-vector-" + number, () -> !callbacks.isEmpty(), callbacks::tell);
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
        final long[] mine = positions.get();
        mine[0] = source.begin(mine[0]);
        final boolean isVirtual = VirtualThreads.isCurrent();
        final long begin = nanos > 0 ? System.nanoTime() : 0;
        while (true) {
            final long left = nanos > 0 ? Math.max(nanos - (System.nanoTime() - begin), 0) : nanos;
            final long before = isVirtual ? wakeUps() : 0;
            final long result = isVirtual || left == 0
                ? source.await(mine[0], NEVER_CANCELLED, true, 0) : awaitInterruptibly(mine[0], left);
            if (result > 0) {
                mine[0] = result;
                return true;
            }
            if (result == NativeLibrary.CLOSED) {
                throw Dispatch.closed();
            }
            if (left == 0 || !isVirtual && result == NativeLibrary.TIMED_OUT) {
                return false;
            }
            if (isVirtual) {
                park(before, left);
            }
        }
    }

    /** Registers a routine once. A new routine is called for an interrupt that has reached no receiver yet. */
    void add(final InterruptServiceRoutine routine) {
        if (!callbacks.has(routine)) {
            addCallback(() -> callbacks.add(routine));
        }
    }

    /** Adds a future for the next interrupt, or for one that has reached no receiver yet. */
    void add(final CompletableFuture<Integer> future) {
        addCallback(() -> callbacks.add(future));
    }

    Callbacks callbacks() {
        return callbacks;
    }

    int number() {
        return number;
    }

    /** Marks all interrupts so far as received; returns the previous mark for {@link #giveBack}. */
    long receive() {
        try {
            return source.receive();
        } catch (final IllegalStateException | IvshmemException e) {
            // The device is closed or lacks the vector. The callback still gets the interrupt that came before.
            return NOTHING_TO_GIVE_BACK;
        }
    }

    /** Resets the mark, as no callback has received the interrupts. */
    void giveBack(final long before) {
        if (before == NOTHING_TO_GIVE_BACK) {
            return;
        }
        try {
            source.giveBack(before);
        } catch (final IllegalStateException | IvshmemException e) {
            // The device is closed or lacks the vector, so there is no other receiver.
            return;
        }
        lock.lock();
        try {
            forCallbacks.lookAgain(before);
        } finally {
            lock.unlock();
        }
    }

    /** Wakes all threads that are not in the native library, where closing the device wakes them. */
    void close() {
        lock.lock();
        try {
            closed = true;
            wakeVirtual();
            forVirtual.wake.signal();
            forCallbacks.wake.signal();
        } finally {
            lock.unlock();
        }
        callbacks.close();
    }

    /** Waits again, as the server has this vector now. */
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
            if (closed) {
                throw Dispatch.closed();
            }
            final long received = source.received();
            final boolean isFirst = callbacks.isEmpty();
            // This comes before the change, as it fails if the system cannot start a thread.
            forCallbacks.need();
            adding.run();
            if (isFirst) {
                forCallbacks.seen = Math.max(forCallbacks.seen, received);
            }
            forCallbacks.lookAgain(received);
        } finally {
            lock.unlock();
        }
    }

    /** Waits in the native library until an interrupt, the timeout, or the interruption of this thread. */
    private long awaitInterruptibly(final long seen, final long nanos) throws InterruptedException {
        final Interruption known = spare.getAndSet(null);
        final Interruption interruption = known == null ? new Interruption(canceller) : known;
        final long before = canceller.cancels.get();
        long result = NativeLibrary.CANCELLED;
        boolean interrupted = false;
        interruption.enter();
        try {
            result = source.await(seen, before, true, nanos);
        } finally {
            interrupted = interruption.leave();
            if (!interrupted) {
                spare.set(interruption);
            }
        }
        // An interrupt that was received must not be lost; the interrupted status then stays for the next wait.
        if (interrupted && result <= 0 && Thread.interrupted()) {
            throw new InterruptedException();
        }
        return result;
    }

    private long wakeUps() {
        lock.lock();
        try {
            return wakeUps;
        } finally {
            lock.unlock();
        }
    }

    /** Parks a virtual thread until a wake-up after the first {@code before} ones. */
    private void park(final long before, final long nanos) throws InterruptedException {
        lock.lock();
        try {
            if (closed) {
                throw Dispatch.closed();
            }
            if (wakeUps != before) {
                return;
            }
            parked++;
            try {
                forVirtual.need();
                if (nanos < 0) {
                    virtual.await();
                } else {
                    virtual.awaitNanos(nanos);
                }
            } finally {
                // A wake-up has already reset the count.
                if (wakeUps == before) {
                    parked--;
                }
            }
        } finally {
            lock.unlock();
        }
    }

    /** Has virtual threads look for an interrupt, a failure or the closing. Called with the lock held. */
    private void wakeVirtual() {
        wakeUps++;
        parked = 0;
        virtual.signalAll();
    }

    /** Ends waits in the native library. */
    private static final class Canceller {

        private final Source source;
        /** The number of calls of {@link Source#cancel} that have begun. */
        private final AtomicLong cancels = new AtomicLong();

        Canceller(final Source source) {
            this.source = source;
        }

        /** Ends the waits that began before this call, for their threads to check why. Never blocks. */
        void cancel() {
            cancels.incrementAndGet();
            try {
                source.cancel();
            } catch (final IllegalStateException e) {
                // The device is closed, which has ended the waits.
                return;
            }
        }
    }

    /** Ends a wait in the native library when the waiting thread is interrupted. Works for one interruption. */
    private static final class Interruption extends AbstractInterruptibleChannel {

        private final Canceller canceller;

        Interruption(final Canceller canceller) {
            this.canceller = canceller;
        }

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
            canceller.cancel();
        }
    }

    /** A daemon thread that exists while it is needed, and a short time longer. */
    private final class ReaderThread implements Runnable {

        private final String name;
        private final BooleanSupplier needed;
        /**
         * The job after each interrupt, run without the lock; null for the thread that wakes virtual threads, which see
         * interrupts and failures themselves.
         */
        private final Runnable tell;
        private final Condition wake = lock.newCondition();
        private boolean running;
        /** Whether the thread waits in the native library. */
        private boolean waiting;
        /** The number of interrupts seen. */
        private long seen;

        ReaderThread(final String name, final BooleanSupplier needed, final Runnable tell) {
            this.name = name;
            this.needed = needed;
            this.tell = tell;
        }

        // The following methods are called with the lock held.

        void need() {
            if (running) {
                wake.signal();
            } else {
                Dispatch.start(name, this);
                running = true;
            }
        }

        /** Has the thread report again the interrupts after the first {@code position} ones. */
        void lookAgain(final long position) {
            if (position < seen) {
                seen = position;
                if (waiting) {
                    canceller.cancel();
                }
            }
        }

        @Override
        public void run() {
            Throwable thrown = null;
            List<CompletableFuture<Integer>> futures = Collections.emptyList();
            lock.lock();
            try {
                serve();
            } catch (final Throwable e) {
                thrown = e;
                if (tell != null) {
                    // Under the lock, as later futures may wait for a vector of the next server.
                    futures = callbacks.takeFutures();
                }
            } finally {
                running = false;
                wakeVirtual();
                lock.unlock();
            }
            if (thrown != null && tell != null) {
                callbacks.fail(thrown, futures);
            }
        }

        private void serve() {
            while (!closed) {
                if (!needed.getAsBoolean()) {
                    // The last second may end at the moment of the next use.
                    if (!isNeededSoon() && !needed.getAsBoolean()) {
                        return;
                    }
                } else if (await()) {
                    report();
                }
            }
        }

        /**
         * Waits for an interrupt. Ignores the failure that the server did not have this vector if the server has it
         * since.
         */
        private boolean await() {
            final int before = additions;
            final long position = seen;
            final long result;
            waiting = true;
            final long cancelled = canceller.cancels.get();
            lock.unlock();
            try {
                result = source.await(position, cancelled, false, FOREVER);
            } catch (final IvshmemException e) {
                lock.lock();
                if (additions == before) {
                    throw e;
                }
                return false;
            } finally {
                if (!lock.isHeldByCurrentThread()) {
                    lock.lock();
                }
                waiting = false;
            }
            closed |= result == NativeLibrary.CLOSED;
            // Meanwhile the thread may have been told to look again.
            if (result <= 0 || seen != position) {
                return false;
            }
            seen = result;
            return true;
        }

        private void report() {
            if (tell == null) {
                wakeVirtual();
                return;
            }
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
}
