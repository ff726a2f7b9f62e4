package io.github.alexanderschuetz97.ivshmem4j.examples;

import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.ANSWER;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.COUNTER;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.QUESTION;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.ROUND;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.ROUND_ANSWERED;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.TEXT;

/**
 * Answers the question in shared memory with the same text backwards, then answers each interrupt with another interrupt.
 */
public final class Answer {

    private Answer() {}

    /**
     * Runs the program.
     *
     * @param arguments the target string, the number of rounds
     * @throws Exception if the other program violates the agreed protocol
     */
    public static void main(final String[] arguments) throws Exception {
        final long rounds = Long.parseLong(arguments[1]);
        try (Partner partner = new Partner(arguments[0])) {
            partner.await(TEXT);
            final String question = partner.readText(QUESTION);
            System.out.println("read:  " + question);
            partner.writeText(ANSWER, new StringBuilder(question).reverse().toString());
            partner.ring(TEXT);

            for (long expected = 1; expected <= rounds; expected++) {
                partner.await(COUNTER);
                final long round = partner.memory().readLongAcquire(ROUND);
                if (round != expected) {
                    throw new IllegalStateException("interrupt " + expected + " came with round " + round);
                }
                partner.memory().writeLongRelease(ROUND_ANSWERED, round);
                partner.ring(COUNTER);
            }
            System.out.println(rounds + " interrupts taken and answered");
        }
    }
}
