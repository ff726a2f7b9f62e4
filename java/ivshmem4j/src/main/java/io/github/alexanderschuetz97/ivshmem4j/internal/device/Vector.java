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
 * One vector: all who wait for its interrupts, and the one place that reads it.
 *
 * <p>One thread at a time waits in the native library. A platform thread that waits does so itself when nobody else does,
 * so an interrupt wakes it without a second thread in between; the others park, and one of them takes over when it leaves.
 * A virtual thread always parks, since native code would hold its carrier: as long as there are any, a daemon thread reads
 * unless somebody else does. Routines and futures have another daemon thread, as they run code of the program, which may
 * take its time.
 *
 * <p>Whoever reads an interrupt counts it and wakes all. Each thread remembers the count that it has seen, so none misses an
 * interrupt that another one has read.
 */
final class Vector {

    private static final long FOREVER = -1;
    /** How long a daemon thread that nobody needs any more is kept for the next one. */
    private static final long LINGER_SECONDS = 1;

    private final int number;
    private final LongToIntFunction reader;
    private final ReentrantLock lock = new ReentrantLock();
    /** Platform threads park here; one is signalled when nobody reads any more. */
    private final Condition platform = lock.newCondition();
    /** Virtual threads park here. */
    private final Condition virtual = lock.newCondition();
    private final Attendant forVirtual;
    private final Attendant forCallbacks;
    private final Callbacks callbacks;
    private final ThreadLocal<long[]> seen = ThreadLocal.withInitial(() -> new long[1]);

    /** How often this vector was read with success. */
    private long rings;
    /** What {@link #rings} was when a routine, a future or a thread last heard of one. */
    private long heard;
    /** A thread waits in the native library. */
    private boolean reading;
    /** Virtual threads that are parked and have no interrupt yet. */
    private int parked;
    /** How often a daemon thread could not read, and why at last. */
    private int failures;
    private IvshmemException failure;
    /** How often the device has come back to a server. */
    private int reconnections;
    private Interruption interruption = new Interruption();
    private final Bell bell;
    private boolean closed;

    /**
     * A vector that nobody waits for yet.
     *
     * @param reader waits for an interrupt for so many nanoseconds, as {@link NativeLibrary#deviceWait} does
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
     * Waits until this vector is rung, or was since this thread's last wait.
     *
     * @param nanos 0 looks only, a negative time is for ever
     * @return false when the time was over before
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
     * A routine that is registered already stays registered once. What nobody has heard yet, a new one hears, at the latest after
     * {@link #wakeReader}.
     */
    void add(final InterruptServiceRoutine routine) {
        if (!callbacks.has(routine)) {
            addCallback(() -> callbacks.add(routine));
        }
    }

    /** What is to be completed with the next interrupt, or, at the latest after {@link #wakeReader}, with an unheard one. */
    void add(final CompletableFuture<Integer> future) {
        addCallback(() -> callbacks.add(future));
    }

    Callbacks callbacks() {
        return callbacks;
    }

    int number() {
        return number;
    }

    /** Somebody hears of all interrupts so far; gives what had been heard before. */
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

    /** Nobody has heard after all. */
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
     * Brings the thread in the native library back if it may be the one that has to tell callbacks of an interrupt. No signal
     * reaches it in there, and the ring can be held up: to be called without a lock.
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

    /** Wakes everyone but the one in the native library, which closing the device wakes. */
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

    /** There is a new server with this vector, so reading works again. */
    void reconnected() {
        lock.lock();
        try {
            reconnections++;
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
            // First, as it fails where the system gives no thread.
            forCallbacks.need();
            adding.run();
            tellUnheard();
        } finally {
            lock.unlock();
        }
    }

    // The rest is called with the lock held.

    /** Has the thread of the callbacks tell them of what nobody has heard yet. */
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
            // Whoever rings takes all who are parked off the count.
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

    /** Waits in the native library, and ends when this thread is interrupted. */
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

    /** Has somebody else read when nobody does. */
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

    /** A daemon thread that exists while somebody needs it, and a little longer. */
    private final class Attendant implements Runnable {

        private final String name;
        private final BooleanSupplier needed;
        /** What to do after each interrupt, without the lock; or null for one that tells nobody, of a failure neither. */
        private final Runnable tell;
        private final Condition wake = lock.newCondition();
        private boolean running;
        /** What {@link Vector#rings} was when this told of it. */
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
                    // Under the lock: those that come later may wait for a vector of the next server.
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

        /** Reads; that the server before did not have this vector is nothing to end for, once there is a new one. */
        private void readUnlessReplaced() {
            final int before = reconnections;
            try {
                read(FOREVER);
            } catch (final IvshmemException e) {
                if (reconnections == before) {
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
                // What a callback has done to its thread is not meant for this one.
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

    /** Ends a wait in the native library when the thread that waits is interrupted; good for one interruption. */
    private final class Interruption extends AbstractInterruptibleChannel {

        /** The thread had been interrupted when it was about to wait. */
        private boolean isOver;

        void enter() {
            begin();
        }

        /** Whether the thread was interrupted meanwhile. */
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
