package io.github.alexanderschuetz97.ivshmem4j.examples;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;

/**
 * In a virtual machine: opens its only device and prints the features. Run it as root in a Linux guest.
 *
 * <pre>
 * java -cp ivshmem4j.jar Guest.java
 * </pre>
 *
 * <p>To receive interrupts, a Linux guest needs {@code ivshmem bind auto} first. The program also runs on the host with
 * {@code doorbell:PATH} or {@code plain:PATH}.
 */
public final class Guest {

    private Guest() {}

    /**
     * Runs the program.
     *
     * @param arguments the target string; {@code auto} if it is omitted
     */
    public static void main(final String[] arguments) {
        try (IvshmemMemory device = Ivshmem.open(arguments.length == 0 ? "auto" : arguments[0])) {
            System.out.println(device.getMemory().size() + " bytes of memory");
            System.out.println(device.hasOwnPeerID() ? "peer " + device.getOwnPeerID() : "no peer id");
            System.out.println(device.getOwnVectors() + " vectors");
            try {
                device.registerInterruptServiceRoutine(0, vector -> System.out.println("rung"));
                System.out.println(device.supportsInterrupts() ? "can be interrupted" : "has no interrupts");
            } catch (final UnsupportedOperationException e) {
                System.out.println("cannot be interrupted: " + e.getMessage());
            }
        } catch (final IvshmemException e) {
            // The code is for programs; the message contains the remedy.
            System.out.println(e.getCode() + ": " + e.getMessage());
        }
    }
}
