package io.github.alexanderschuetz97.ivshmem4j.examples;

import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.ANSWER;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.COUNTER;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.QUESTION;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.ROUND;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.ROUND_ANSWERED;
import static io.github.alexanderschuetz97.ivshmem4j.examples.Partner.TEXT;

/** Puts a question into shared memory and checks the answer; then sends an interrupt and waits for one, round by round. */
public final class Ask {

    private Ask() {}

    /**
     * Runs the program.
     *
     * @param arguments the target string, a token for the question, the number of rounds
     * @throws Exception if the other program violates the agreed protocol
     */
    public static void main(final String[] arguments) throws Exception {
        final long rounds = Long.parseLong(arguments[2]);
        try (Partner partner = new Partner(arguments[0])) {
            final String question = "Hello World! " + arguments[1];
            partner.writeText(QUESTION, question);
            partner.ring(TEXT);
            System.out.println("wrote: " + question);
            partner.await(TEXT);
            final String answer = partner.readText(ANSWER);
            System.out.println("read:  " + answer);
            if (!new StringBuilder(answer).reverse().toString().equals(question)) {
                throw new IllegalStateException("the answer is not the question backwards");
            }

            final long began = System.nanoTime();
            for (long round = 1; round <= rounds; round++) {
                partner.memory().writeLongRelease(ROUND, round);
                partner.ring(COUNTER);
                partner.await(COUNTER);
                final long answered = partner.memory().readLongAcquire(ROUND_ANSWERED);
                if (answered != round) {
                    throw new IllegalStateException("round " + round + " was answered as " + answered);
                }
            }
            final long each = (System.nanoTime() - began) / Math.max(rounds, 1);
            System.out.println(rounds + " interrupts each way, " + each / 1000.0 + " us for there and back");
        }
    }
}
