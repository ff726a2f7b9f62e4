package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Runs the benchmarks in turns, compares both sides and says whether the goal is met: exit code 0, or 1. */
public final class Main {

    private static final double GOAL = 1.1;
    private static final int ROUNDS = 6;
    private static final String[] WITH_GOAL = {
        "longs", "ints", "writesAndReads", "publishes", "addInt", "addLong", "compareAndSetInt", "compareAndSetLong",
        "read4KiB", "write4KiB"};
    /** What goes to the native library, beside the aligned int of the rival. */
    private static final String[] WITHOUT_GOAL = {"addByte", "addShort", "addUnalignedInt", "addUnalignedLong"};

    private Main() {}

    public static void main(final String[] arguments) throws RunnerException {
        final String only = arguments.length == 0 ? "" : arguments[0];
        System.out.println("Java " + Runtime.version() + ", rival: "
            + (Runtime.version().feature() < 22 ? "Unsafe" : "MemorySegment") + ", best of " + ROUNDS
            + " runs of each side, in turns");
        boolean met = true;
        double alignedInt = Double.NaN;
        for (final String name : WITH_GOAL) {
            if (name.startsWith(only)) {
                final Map<String, Double> best = best(name + "_ours", name + "_rival");
                final double rival = best.get(name + "_rival");
                final double ratio = best.get(name + "_ours") / rival;
                met &= ratio <= GOAL;
                alignedInt = name.equals("addInt") ? rival : alignedInt;
                print(name, best.get(name + "_ours"), rival, ratio,
                    "goal <= " + GOAL + (ratio <= GOAL ? "  met" : "  NOT MET"));
            }
        }
        for (final String name : WITHOUT_GOAL) {
            if (name.startsWith(only)) {
                final double ours = best(name + "_ours").get(name + "_ours");
                print(name, ours, alignedInt, ours / alignedInt, "no goal; beside an aligned int of the rival");
            }
        }
        System.out.println(met ? "all goals met" : "NOT all goals MET");
        System.exit(met ? 0 : 1);
    }

    private static void print(
        final String name, final double ours, final double rival, final double ratio, final String goal) {
        System.out.println(String.format(
            Locale.ROOT, "%-18s %8.2f ns %8.2f ns  ratio %5.2f  %s", name, ours, rival, ratio, goal));
    }

    /** Nanoseconds of the best iteration of each: what disturbs a run only ever makes it slower. */
    private static Map<String, Double> best(final String... names) throws RunnerException {
        final Map<String, Double> best = new LinkedHashMap<>();
        final List<String> order = new ArrayList<>(Arrays.asList(names));
        for (int round = 0; round < ROUNDS; round++) {
            for (final String name : order) {
                best.merge(name, run(name), Math::min);
            }
            Collections.reverse(order);
        }
        return best;
    }

    private static double run(final String name) throws RunnerException {
        final OptionsBuilder options = new OptionsBuilder();
        options.include(AccessBenchmark.class.getSimpleName() + "\\." + name + "$")
            .forks(1)
            .warmupIterations(4).warmupTime(TimeValue.milliseconds(200))
            .measurementIterations(5).measurementTime(TimeValue.milliseconds(100))
            .verbosity(VerboseMode.SILENT)
            .shouldFailOnError(true);
        final List<String> jvm = new ArrayList<>();
        if (Runtime.version().feature() >= 22) {
            jvm.add("--enable-native-access=ALL-UNNAMED");
        }
        if (Runtime.version().feature() >= 23) {
            // JMH uses it, and so would print a warning for each run.
            jvm.add("--sun-misc-unsafe-memory-access=allow");
        }
        options.jvmArgsAppend(jvm.toArray(new String[0]));
        final Collection<RunResult> results = new Runner(options.build()).run();
        final DoubleSummaryStatistics scores = new DoubleSummaryStatistics();
        for (final RunResult result : results) {
            result.getBenchmarkResults().forEach(forks -> forks.getIterationResults()
                .forEach(iteration -> scores.accept(iteration.getPrimaryResult().getScore())));
        }
        if (scores.getCount() == 0) {
            throw new IllegalStateException("no result of " + name);
        }
        return scores.getMin();
    }
}
