package io.github.alexanderschuetz97.ivshmem4j.jmh;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** One operation: its rivals and its goals. */
final class Row {

    private static final boolean SEGMENTS = Runtime.version().feature() >= 22;
    /** The best access that the JIT compiler itself offers on this JVM. */
    static final String OWN = SEGMENTS ? "MemorySegment" : "Unsafe";
    static final String JNI = "JNI";
    static final String OLDER = "1.2";
    /** This library with a guard around each access, as before Java 22 in Windows guests. */
    static final String GUARDED = "guarded";
    /**
     * This library on a file, from which another process could remove pages: small numbers are limited to the range of
     * their type.
     */
    static final String FILE = "file";
    static final Set<String> IS_OURS = Set.of(Turns.OURS, GUARDED, FILE);

    static final List<String> RIVALS = Stream.of(FILE, SEGMENTS ? OWN : GUARDED, "Unsafe", "ByteBuffer", JNI,
        System.getProperty(OlderRival.PROPERTY) == null ? "" : OLDER).filter(name -> !name.isEmpty())
        .collect(Collectors.toList());

    /** All rows, in the order of the table. */
    static final List<Row> ALL = List.of(
        access("longs", without(FILE), true, false),
        access("ints", RIVALS, true, false),
        access("bytes", without(JNI, OLDER), true, false),
        access("writesAndReads", without(FILE), true, false),
        access("words", without(FILE), true, true),
        access("publishes", without(FILE, JNI, OLDER), true, false),
        access("addInt", without(FILE), true, false),
        access("addLong", without(FILE), true, false),
        access("compareAndSetInt", without(FILE, JNI), true, false),
        access("compareAndSetLong", without(FILE, JNI), true, false),
        partOfWord("addByte"),
        partOfWord("addShort"),
        partOfWord("addUnalignedInt"),
        // From Java 22 on it is also a call, with a check. A call with a look-up of a handle would miss this goal.
        new Row(AccessBenchmark.class, "addUnalignedLong", only(JNI, OLDER), Double.POSITIVE_INFINITY, 0.6),
        // About 1.03 on Java 25: a failure names its offset and length, so these outlive the copy and have to be saved before it.
        access("read64B", without(FILE, JNI), true, false),
        access("write64B", without(FILE, JNI), true, false),
        access("read4KiB", without(FILE, JNI), true, false),
        access("write4KiB", without(FILE, JNI), true, false),
        new Row(AccessBenchmark.class, "spin", only(OWN), Double.POSITIVE_INFINITY, 0),
        new Row(InterruptBenchmark.class, "roundTrip", only(OLDER), Double.POSITIVE_INFINITY, 0));

    final String benchmark;
    final String name;
    final List<String> rivals;
    /**
     * The maximum ratio of the time of this library to the time of the JIT compiler's own access; infinity if there is no
     * such goal.
     */
    final double atMost;
    /** The minimum ratio of the time of a JNI call to the time of this library; 0 if there is no such goal. */
    private final double fasterThanCalls;

    private Row(
        final Class<?> benchmark,
        final String name,
        final List<String> rivals,
        final double atMost,
        final double fasterThanCalls) {
        this.benchmark = benchmark.getSimpleName() + "\\." + name;
        this.name = name;
        this.rivals = rivals;
        this.atMost = atMost;
        this.fasterThanCalls = fasterThanCalls;
    }

    private static Row access(
        final String name, final List<String> rivals, final boolean likeOwn, final boolean fasterThanCalls) {
        return new Row(AccessBenchmark.class, name, rivals, likeOwn ? 1.05 : Double.POSITIVE_INFINITY,
            fasterThanCalls ? 10 : 0);
    }

    /**
     * Exchanges the word around a number. In addition to the rival's steps, this library checks two bounds, as a slice may
     * begin at any byte: the bound of the slice, and that the word is inside the mapping, to which its offset is converted.
     * That takes 1.19 to 1.24 times the rival's 5.5 nanoseconds; a call of the native library would take 5 to 10 times as
     * long.
     */
    private static Row partOfWord(final String name) {
        return new Row(AccessBenchmark.class, name, without(FILE, JNI, OLDER), 1.3, 0);
    }

    /** The available rivals among the names. */
    private static List<String> only(final String... names) {
        return RIVALS.stream().filter(List.of(names)::contains).collect(Collectors.toList());
    }

    private static List<String> without(final String... names) {
        return RIVALS.stream().filter(rival -> !List.of(names).contains(rival)).collect(Collectors.toList());
    }

    /** The least ratio of the time of a rival that uses native calls to the time of this library; at least 1 for Ivshmem4j 1.2. */
    double fasterThan(final String rival) {
        return rival.equals(OLDER) ? Math.max(fasterThanCalls, 1) : fasterThanCalls;
    }

    /** Whether a goal depends on this rival. */
    boolean decides(final String rival) {
        return rival.equals(OWN) ? atMost < Double.POSITIVE_INFINITY
            : (rival.equals(JNI) || rival.equals(OLDER)) && fasterThanCalls > 0;
    }
}
