package io.github.alexanderschuetz97.ivshmem4j.api;

/** A callback for the interrupts that peers send to a vector. */
@FunctionalInterface
public interface InterruptServiceRoutine {

    /**
     * Called at least once after the last interrupt of a vector. Several interrupts in a short time may result in one call,
     * and a call may occur although nothing has changed: read the memory to find out.
     *
     * <p>Calls for one vector come one after another, in a thread of the library or of the executor that the device
     * was opened with. A slow call delays only its own vector. An exception that it throws goes to the exception handler
     * that the device was opened with. The routine may close the device.
     *
     * @param vector number of the vector, 0 or more
     */
    void onInterrupt(int vector);
}
