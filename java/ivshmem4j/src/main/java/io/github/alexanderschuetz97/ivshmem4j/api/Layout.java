package io.github.alexanderschuetz97.ivshmem4j.api;

/** What the structures in shared memory have in common: they begin with 8 bytes that tell what they are. */
final class Layout {

    private Layout() {}

    /** Checks where a structure is to stand. */
    static void check(final NativeMemory memory, final long off, final long len) {
        if (off % 8 != 0) {
            throw new IllegalArgumentException("offset " + off + " is not a multiple of 8");
        }
        memory.readLong(off);
        if (!memory.isValid(off, len)) {
            throw new IllegalArgumentException(
                len + " bytes at offset " + off + " are not inside a memory of " + memory.size() + " bytes");
        }
    }

    /** Puts a word into the place of zeroes; it is right if the same word stands there, from whomever. */
    static void claim(final NativeMemory memory, final long off, final long word, final String what) {
        final long found = memory.readLongVolatile(off);
        if (found != word && (found != 0 || !memory.compareAndSet(off, 0L, word))
            && memory.readLongVolatile(off) != word) {
            throw new IvshmemException(
                IvshmemException.Code.PROTOCOL,
                "there is something else at offset " + off + " than such a " + what + ": " + Long.toHexString(found)
                    + " in the place of " + Long.toHexString(word) + "; use another offset, or clear the memory");
        }
    }
}
