package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.CopyOnWriteArrayList;

/** Waits for the interrupts of one vector and signals its routines. */
final class VectorLoop implements Runnable {

    private final long device;
    private final int vector;
    private final Dispatch dispatch;
    private final CopyOnWriteArrayList<Registered> routines = new CopyOnWriteArrayList<>();
    /** An interrupt may have come while there was no routine. */
    private volatile boolean missed;

    VectorLoop(final long device, final int vector, final Dispatch dispatch) {
        this.device = device;
        this.vector = vector;
        this.dispatch = dispatch;
    }

    /** A routine that is registered already stays registered once. What nobody has heard yet, a new one hears. */
    void add(final InterruptServiceRoutine routine) {
        for (final Registered registered : routines) {
            if (registered.routine.equals(routine)) {
                return;
            }
        }
        routines.add(new Registered(routine));
        if (missed) {
            // Wakes the thread of this vector, in which routines have to run.
            NativeLibrary.deviceRing(device, NativeLibrary.deviceOwnId(device), vector);
        }
    }

    void remove(final InterruptServiceRoutine routine) {
        for (final Registered registered : routines) {
            if (registered.routine.equals(routine)) {
                registered.repeater.stop();
                routines.remove(registered);
            }
        }
    }

    boolean isEmpty() {
        return routines.isEmpty();
    }

    @Override
    public void run() {
        try {
            while (NativeLibrary.deviceWait(device, vector)) {
                // Before the look at the routines, as add() does it the other way round: one of both sees the other.
                missed = true;
                for (final Registered registered : routines) {
                    registered.repeater.signal();
                    missed = false;
                }
            }
        } catch (final Throwable e) {
            dispatch.handler().accept(e);
        }
    }

    private final class Registered {

        private final InterruptServiceRoutine routine;
        private final Repeater repeater;

        Registered(final InterruptServiceRoutine routine) {
            this.routine = routine;
            repeater = dispatch.repeater(() -> routine.onInterrupt(vector));
        }
    }
}
