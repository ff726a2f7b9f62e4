package io.github.alexanderschuetz97.ivshmem4j.api;

import java.security.SecureRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A lock in shared memory: one thread, of all programs in all virtual machines, holds it.
 *
 * <p>It has {@value #SIZE} bytes, little-endian:
 * <pre>
 *   0               4               8                              16
 *   +---------------+---------------+-------------------------------+
 *   |  "IVLK"       |  version 1    |  owner; 0 if nobody holds it  |
 *   +---------------+---------------+-------------------------------+
 * </pre>
 * Zeroes are a lock that nobody holds, and whoever comes first puts in the header. An owner is a random number that
 * each object of this class draws for itself. Threads that share an object wait for each other without the memory, so
 * share it within a program. A thread may take a lock that it holds again.
 *
 * <p><b>A holder may die.</b> Nobody can tell from outside whether it died or is slow, so the lock stays taken until
 * somebody who knows calls {@link #breakLock}. The one who lost it that way is told by {@link #unlock}.
 *
 * <p>Waiting looks at the memory, briefly without pause and then every {@value #PAUSE_MICROS} microseconds; there is no
 * order among those who wait. All methods may be called from any thread and throw what {@link NativeMemory} throws.
 */
public final class SharedMemoryLock implements Lock {

    /** Bytes of a lock. */
    public static final int SIZE = 16;

    /** "IVLK", then version 1. */
    private static final long HEADER = 0x1_4b4c_5649L;
    private static final int OWNER = 8;
    private static final long FREE = 0;
    private static final long SPIN_MICROS = 20;
    private static final long PAUSE_MICROS = 100;
    /** After this time a wait looks whether its thread was interrupted. */
    private static final long SLICE_NANOS = 10_000_000;

    private final NativeMemory memory;
    private final long owner;
    private final long token = token();
    /** Held by the thread that holds the lock, and before by the one that tries. */
    private final ReentrantLock local = new ReentrantLock();

    /**
     * Opens the lock at an offset, and makes it if there are zeroes.
     *
     * @param memory the memory
     * @param off offset in bytes, a multiple of 8
     * @throws IllegalArgumentException if the lock is not inside the memory or {@code off} is not a multiple of 8
     * @throws IvshmemException if something else stands there
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is for reading only
     */
    public SharedMemoryLock(final NativeMemory memory, final long off) {
        Layout.check(memory, off, SIZE);
        Layout.claim(memory, off, HEADER, "lock");
        this.memory = memory;
        this.owner = off + OWNER;
    }

    private static long token() {
        final long random = new SecureRandom().nextLong();
        return random == FREE ? 1 : random;
    }

    @Override
    public void lock() {
        local.lock();
        boolean done = false;
        try {
            while (!done) {
                done = local.getHoldCount() > 1 || take(SLICE_NANOS);
            }
        } finally {
            if (!done) {
                local.unlock();
            }
        }
    }

    @Override
    public void lockInterruptibly() throws InterruptedException {
        tryLock(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
    }

    @Override
    public boolean tryLock() {
        if (!local.tryLock()) {
            return false;
        }
        boolean done = false;
        try {
            done = local.getHoldCount() > 1 || memory.compareAndSet(owner, FREE, token);
        } finally {
            if (!done) {
                local.unlock();
            }
        }
        return done;
    }

    @Override
    public boolean tryLock(final long time, final TimeUnit unit) throws InterruptedException {
        final long nanos = unit.toNanos(time);
        final long begin = System.nanoTime();
        if (!local.tryLock(time, unit)) {
            return false;
        }
        boolean done = false;
        try {
            long left;
            do {
                left = Math.max(nanos - (System.nanoTime() - begin), 0);
                done = local.getHoldCount() > 1 || take(Math.min(left, SLICE_NANOS));
                if (!done && Thread.interrupted()) {
                    throw new InterruptedException();
                }
            } while (!done && left > 0);
        } finally {
            if (!done) {
                local.unlock();
            }
        }
        return done;
    }

    /** Waits for the owner word to be free and takes it; {@code local} is held. */
    private boolean take(final long nanos) {
        final long spin = Math.min(nanos, TimeUnit.MICROSECONDS.toNanos(SPIN_MICROS));
        return memory.spinAndSet(owner, FREE, token, -1, spin, TimeUnit.NANOSECONDS)
            || memory.spinAndSet(
                owner, FREE, token, TimeUnit.MICROSECONDS.toNanos(PAUSE_MICROS), nanos - spin, TimeUnit.NANOSECONDS);
    }

    /**
     * Gives the lock back.
     *
     * @throws IllegalMonitorStateException if this thread does not hold it, or if somebody took it away with
     *     {@link #breakLock}; then what it guards may have been changed meanwhile, and this thread holds it no longer
     */
    @Override
    public void unlock() {
        if (!local.isHeldByCurrentThread()) {
            throw new IllegalMonitorStateException("this thread does not hold the lock");
        }
        try {
            if (local.getHoldCount() == 1 && !memory.compareAndSet(owner, token, FREE)) {
                throw new IllegalMonitorStateException("the lock was lost: somebody took it away while it was held");
            }
        } finally {
            local.unlock();
        }
    }

    /**
     * Not supported.
     *
     * @throws UnsupportedOperationException always
     */
    @Override
    public Condition newCondition() {
        throw new UnsupportedOperationException("a lock in shared memory has no conditions");
    }

    /**
     * Whether the calling thread holds the lock, and nobody took it away.
     *
     * @return true if it does
     * @throws IllegalStateException if the memory is closed
     */
    public boolean isHeldByCurrentThread() {
        return local.isHeldByCurrentThread() && owner() == token;
    }

    /**
     * Who holds the lock.
     *
     * @return the holder's random number; 0 if nobody holds it
     * @throws IllegalStateException if the memory is closed
     */
    public long owner() {
        return memory.readLongVolatile(owner);
    }

    /**
     * Takes the lock away from a holder that is known to be dead, so that somebody else can have it.
     *
     * @param deadOwner what {@link #owner()} gave
     * @return true if it was taken away; false if that one does not hold it any more
     * @throws IllegalArgumentException if {@code deadOwner} is 0
     * @throws IllegalStateException if the memory is closed
     */
    public boolean breakLock(final long deadOwner) {
        if (deadOwner == FREE) {
            throw new IllegalArgumentException("0 is not an owner");
        }
        return memory.compareAndSet(owner, deadOwner, FREE);
    }

    @Override
    public String toString() {
        final long holder = owner();
        return "SharedMemoryLock[" + (holder == FREE ? "free]" : "held by " + Long.toHexString(holder) + "]");
    }
}
