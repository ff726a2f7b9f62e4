import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;

/** Prints each interrupt of this guest's device with the number in its memory, until standard input ends. */
public final class Receive {

    private Receive() {}

    public static void main(final String[] arguments) throws Exception {
        try (IvshmemMemory device = Ivshmem.open("auto")) {
            for (int vector = 0; vector < device.getOwnVectors(); vector++) {
                device.registerInterruptServiceRoutine(vector, number ->
                    System.out.println("vector " + number + " with " + device.getMemory().readIntAcquire(0)));
            }
            System.out.println("peer " + device.getOwnPeerID() + " of user " + System.getProperty("user.name"));
            while (System.in.read() >= 0) {
                // Until the test ends the input.
            }
        }
    }
}
