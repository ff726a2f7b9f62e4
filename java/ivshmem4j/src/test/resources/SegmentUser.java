import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Uses memory as a segment, as a program for Java 22 does. ViewTest compiles and calls this class. */
public final class SegmentUser {

    private SegmentUser() {}

    /** Checks and closes two memories over the same bytes. */
    public static void check(final NativeMemory memory, final NativeMemory readOnly) {
        final MemorySegment all = memory.view(MemorySegment.class);
        that(all.byteSize() == memory.size(), "the size");
        that(all.address() == memory.getNativePointer(), "the address");
        all.set(ValueLayout.JAVA_LONG, 16, 77L);
        that(memory.readLong(16) == 77L, "what is written through the segment");
        memory.write(16, 78L);
        that(all.get(ValueLayout.JAVA_LONG, 16) == 78L, "what is read through the segment");

        final MemorySegment part = memory.slice(8, 64).view(7, 9, MemorySegment.class);
        that(part.byteSize() == 9 && part.get(ValueLayout.JAVA_LONG_UNALIGNED, 1) == 78L, "a part");
        throwing(IndexOutOfBoundsException.class, () -> part.get(ValueLayout.JAVA_BYTE, 9));
        throwing(UnsupportedOperationException.class, () -> memory.view(0, 8, Comparable.class));

        final MemorySegment fixed = readOnly.view(MemorySegment.class);
        that(fixed.isReadOnly() && !all.isReadOnly(), "which one is read-only");
        throwing(IllegalArgumentException.class, () -> fixed.set(ValueLayout.JAVA_BYTE, 0, (byte) 1));

        memory.close();
        readOnly.close();
        that(!all.scope().isAlive(), "the scope after closing");
        for (final MemorySegment each : new MemorySegment[] {all, part, fixed}) {
            throwing(IllegalStateException.class, () -> each.get(ValueLayout.JAVA_BYTE, 0));
        }
        throwing(IllegalStateException.class, () -> memory.view(MemorySegment.class));
    }

    private static void that(final boolean holds, final String what) {
        if (!holds) {
            throw new AssertionError("wrong: " + what);
        }
    }

    private static void throwing(final Class<? extends Exception> expected, final Runnable call) {
        try {
            call.run();
        } catch (final RuntimeException e) {
            that(e.getClass() == expected, "threw " + e + ", not " + expected);
            return;
        }
        throw new AssertionError("did not throw " + expected);
    }
}
