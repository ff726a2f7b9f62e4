package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

/** Searches for a sequence of bytes. */
final class Search {

    private Search() {}

    /**
     * The index of the first occurrence of {@code needle} in the first {@code len} bytes of {@code bytes}; -1 if there is
     * none.
     */
    static int indexOf(final byte[] bytes, final int len, final byte[] needle) {
        for (int at = 0; at <= len - needle.length; at++) {
            int same = 0;
            while (same < needle.length && bytes[at + same] == needle[same]) {
                same++;
            }
            if (same == needle.length) {
                return at;
            }
        }
        return -1;
    }
}
