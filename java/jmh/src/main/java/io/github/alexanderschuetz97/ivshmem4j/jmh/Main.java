package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.openjdk.jmh.runner.RunnerException;

/**
 * Measures all rows, prints one table and returns whether the goals are met: exit code 0, or 1 if not.
 *
 * <p>A row has {@link #RUNS} runs of this library and of each rival that a goal depends on, in turns. A row that misses its
 * goal gets the same number of further runs, at most twice, and is judged by all its runs. Both sides get the same number of
 * runs, so chance favours neither, and the slower side stays slower.
 */
public final class Main {

    private static final int RUNS = 4;
    private static final int ATTEMPTS = 3;
    /** The number of runs of rivals that no goal depends on. */
    private static final int RUNS_FOR_INFORMATION = 2;

    private Main() {}

    /** Argument: a prefix of the names of the rows to measure; without it, all rows are measured. */
    public static void main(final String[] arguments) throws RunnerException {
        final String only = arguments.length == 0 ? "" : arguments[0];
        System.out.println("Java " + Runtime.version() + "; nanoseconds, the best of " + RUNS + " to " + RUNS * ATTEMPTS
            + " runs in turns, each in a JVM of its own");
        if (!Row.RIVALS.contains(Row.OLDER)) {
            System.out.println("Ivshmem4j 1.2 is not measured: -D" + OlderRival.PROPERTY + "=JAR:JAR names its jars."
                + " The column JNI is a lower bound: one call for each access, which does nothing else.");
        }
        System.out.print(String.format("%-18s %8s", "", Turns.OURS));
        Row.RIVALS.forEach(rival -> System.out.print(String.format(" %13s", rival)));
        System.out.println();
        int missed = 0;
        for (final Row row : Row.ALL) {
            if (row.name.startsWith(only)) {
                missed += measure(row) ? 0 : 1;
            }
        }
        System.out.println(missed == 0 ? "all goals met" : missed + " rows with goals NOT MET");
        System.exit(missed == 0 ? 0 : 1);
    }

    private static boolean measure(final Row row) throws RunnerException {
        final Turns turns = new Turns(row);
        final List<String> deciding = row.rivals.stream().filter(row::decides).collect(Collectors.toList());
        final List<String> others = new ArrayList<>(row.rivals);
        others.removeAll(deciding);
        deciding.add(0, Turns.OURS);
        for (int run = 0; run < RUNS_FOR_INFORMATION; run++) {
            turns.run(others);
        }
        int runs = 0;
        do {
            for (int run = 0; run < RUNS; run++, runs++) {
                turns.run(deciding);
            }
        } while (!isMet(row, turns, deciding) && runs < RUNS * ATTEMPTS);

        final StringBuilder line = new StringBuilder(cell("%-18s %8.2f", row.name, turns.best(Turns.OURS)));
        for (final String rival : Row.RIVALS) {
            line.append(row.rivals.contains(rival) ? cell(" %13.2f", turns.best(rival)) : cell(" %13s", "-"));
        }
        for (final String rival : row.rivals) {
            line.append(verdict(row, turns, rival));
        }
        System.out.println(line);
        return isMet(row, turns, deciding);
    }

    private static boolean isMet(final Row row, final Turns turns, final List<String> deciding) {
        return deciding.stream().allMatch(rival -> isMet(row, turns, rival));
    }

    private static boolean isMet(final Row row, final Turns turns, final String rival) {
        if (!row.decides(rival)) {
            return true;
        }
        final double ratio = turns.best(Turns.OURS) / turns.best(rival);
        return rival.equals(Row.OWN) ? ratio <= row.atMost : 1 / ratio >= row.fasterThan(rival);
    }

    /** The text after the numbers: each goal, or the comparison. */
    private static String verdict(final Row row, final Turns turns, final String rival) {
        final double ratio = turns.best(Turns.OURS) / turns.best(rival);
        final String word = isMet(row, turns, rival) ? "met" : "NOT MET";
        if (!row.decides(rival)) {
            return "";
        }
        return rival.equals(Row.OWN) ? cell("  %.3f of %s, goal <= %.2f %s", ratio, rival, row.atMost, word)
            : cell("  %.2f times as fast as %s, goal >= %.1f %s", 1 / ratio, rival, row.fasterThan(rival), word);
    }

    private static String cell(final String format, final Object... values) {
        return String.format(Locale.ROOT, format, values);
    }
}
