package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.util.ArrayList;
import java.util.Collections;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/**
 * Runs of one row in turns, each in a separate JVM. For each means the best iteration counts, as a disturbance only makes a
 * run slower. Iterations are short, so that some of them run undisturbed.
 */
final class Turns {

    static final String OURS = "ours";

    private final Row row;
    private final Map<String, Double> best = new LinkedHashMap<>();
    private boolean backwards;

    Turns(final Row row) {
        this.row = row;
    }

    /** Runs each means once more; every second time in reverse order. */
    void run(final List<String> means) throws RunnerException {
        final List<String> order = new ArrayList<>(means);
        if (backwards) {
            Collections.reverse(order);
        }
        backwards = !backwards;
        for (final String one : order) {
            best.merge(one, nanos(one), Math::min);
        }
    }

    /** The nanoseconds of an operation; NaN for means without a run. */
    double best(final String means) {
        return best.getOrDefault(means, Double.NaN);
    }

    private double nanos(final String means) throws RunnerException {
        final OptionsBuilder options = new OptionsBuilder();
        options.include(row.benchmark + (Row.IS_OURS.contains(means) ? "_ours$" : "_rival$"))
            .forks(1)
            .warmupIterations(4).warmupTime(TimeValue.milliseconds(100))
            .measurementIterations(40).measurementTime(TimeValue.milliseconds(10))
            .verbosity(VerboseMode.SILENT)
            .shouldFailOnError(true)
            .jvmArgsAppend(jvmArguments(means))
            .param("means", means);
        final DoubleSummaryStatistics scores = new DoubleSummaryStatistics();
        for (final RunResult result : new Runner(options.build()).run()) {
            result.getBenchmarkResults().forEach(fork -> fork.getIterationResults()
                .forEach(iteration -> scores.accept(iteration.getPrimaryResult().getScore())));
        }
        if (scores.getCount() == 0) {
            throw new IllegalStateException("no result of " + row.name + " by " + means);
        }
        return scores.getMin();
    }

    private static String[] jvmArguments(final String means) {
        final List<String> arguments = new ArrayList<>();
        // Compiles in the thread that needs the code, so that the warm-up ends at the same point even on a loaded machine.
        arguments.add("-Xbatch");
        if (means.equals(Row.GUARDED)) {
            arguments.add("-Divshmem4j.memory=guarded");
        }
        if (Runtime.version().feature() >= 22) {
            arguments.add("--enable-native-access=ALL-UNNAMED");
        }
        if (Runtime.version().feature() >= 23) {
            // JMH and one of the rivals use Unsafe, and would print a warning for each run.
            arguments.add("--sun-misc-unsafe-memory-access=allow");
        }
        return arguments.toArray(new String[0]);
    }
}
