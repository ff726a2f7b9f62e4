package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * Plain copies between arrays and memory: the part of {@link NativeMemory} that transfers arrays of numbers. The rules of
 * {@link NativeMemory} apply.
 *
 * <p>Each call is one bulk copy. Numbers are stored in the processor's byte order, one after the other. Offsets into the
 * memory are in bytes and may have any alignment; indexes and lengths of arrays are in elements. All methods may be called
 * from any thread.
 *
 * <p>A boolean is one byte, 1 for true and 0 for false. Any other byte is read as true, so arrays of booleans are converted
 * element by element.
 */
public interface ArrayAccess {

    /**
     * Writes a part of an array of booleans: 1 byte each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, boolean[] buffer, int bufferOff, int len);

    /**
     * Writes an array of booleans: 1 byte each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final boolean[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of booleans: 1 byte each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, boolean[] buffer, int bufferOff, int len);

    /**
     * Fills an array of booleans: 1 byte each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final boolean[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Writes a part of an array of chars: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, char[] buffer, int bufferOff, int len);

    /**
     * Writes an array of chars: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final char[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of chars: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, char[] buffer, int bufferOff, int len);

    /**
     * Fills an array of chars: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final char[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Writes a part of an array of shorts: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, short[] buffer, int bufferOff, int len);

    /**
     * Writes an array of shorts: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final short[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of shorts: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, short[] buffer, int bufferOff, int len);

    /**
     * Fills an array of shorts: 2 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final short[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Writes a part of an array of ints: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, int[] buffer, int bufferOff, int len);

    /**
     * Writes an array of ints: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final int[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of ints: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, int[] buffer, int bufferOff, int len);

    /**
     * Fills an array of ints: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final int[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Writes a part of an array of longs: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, long[] buffer, int bufferOff, int len);

    /**
     * Writes an array of longs: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final long[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of longs: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, long[] buffer, int bufferOff, int len);

    /**
     * Fills an array of longs: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final long[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Writes a part of an array of floats: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, float[] buffer, int bufferOff, int len);

    /**
     * Writes an array of floats: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final float[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of floats: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, float[] buffer, int bufferOff, int len);

    /**
     * Fills an array of floats: 4 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final float[] buffer) {
        read(off, buffer, 0, buffer.length);
    }

    /**
     * Writes a part of an array of doubles: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, double[] buffer, int bufferOff, int len);

    /**
     * Writes an array of doubles: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to copy from
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void write(final long off, final double[] buffer) {
        write(off, buffer, 0, buffer.length);
    }

    /**
     * Reads into a part of an array of doubles: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @param bufferOff index of the first element in the array
     * @param len number of elements; 0 does nothing
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws ArrayIndexOutOfBoundsException if the elements are not inside the array; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    void read(long off, double[] buffer, int bufferOff, int len);

    /**
     * Fills an array of doubles: 8 bytes each. Plain.
     *
     * @param off offset of the first byte in the memory
     * @param buffer the array to fill
     * @throws IllegalArgumentException if the bytes are not inside the memory; nothing is read
     * @throws IllegalStateException if the memory is closed
     */
    default void read(final long off, final double[] buffer) {
        read(off, buffer, 0, buffer.length);
    }
}
