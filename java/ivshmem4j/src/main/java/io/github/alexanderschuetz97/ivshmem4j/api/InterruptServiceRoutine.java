package io.github.alexanderschuetz97.ivshmem4j.api;

/** Is called when a peer has sent an interrupt. */
@FunctionalInterface
public interface InterruptServiceRoutine {

    /**
     * Is called at least once after the last interrupt of a vector. Interrupts that come close together may be one
     * call, and a call may come although nothing has changed: look into the memory.
     *
     * <p>Calls for one vector come one after another, in a thread of the library or of the executor that the device
     * was opened with. A call that takes long delays its own vector only. What it throws goes to the exception handler
     * that the device was opened with. It may close the device.
     *
     * @param vector number of the vector, from 0
     */
    void onInterrupt(int vector);
}
