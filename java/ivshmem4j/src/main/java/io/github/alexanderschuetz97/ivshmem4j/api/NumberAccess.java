package io.github.alexanderschuetz97.ivshmem4j.api;

/**
 * Plain reads and writes of numbers in the processor's byte order: the part of {@link NativeMemory} that transfers a single
 * number. The rules of {@link NativeMemory} apply.
 *
 * <p>Offsets are in bytes and may have any alignment. All methods may be called from any thread.
 */
public interface NumberAccess {

    /**
     * Writes a byte: 1 byte. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, byte value);

    /**
     * Writes a short: 2 bytes. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, short value);

    /**
     * Writes an int: 4 bytes. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, int value);

    /**
     * Writes a long: 8 bytes. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, long value);

    /**
     * Writes a float: 4 bytes. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, float value);

    /**
     * Writes a double: 8 bytes. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void write(long off, double value);

    /**
     * Reads a byte. Plain.
     *
     * @param off offset in bytes
     * @return -128 to 127
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    byte read(long off);

    /**
     * Reads an unsigned byte. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 255
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default int readUnsignedByte(final long off) {
        return read(off) & 0xff;
    }

    /**
     * Reads a short: 2 bytes. Plain.
     *
     * @param off offset in bytes
     * @return -32768 to 32767
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    short readShort(long off);

    /**
     * Reads an unsigned short: 2 bytes. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 65535
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default int readUnsignedShort(final long off) {
        return readShort(off) & 0xffff;
    }

    /**
     * Reads an int: 4 bytes. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    int readInt(long off);

    /**
     * Reads an unsigned int: 4 bytes. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 4294967295
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default long readUnsignedInt(final long off) {
        return readInt(off) & 0xffff_ffffL;
    }

    /**
     * Reads a long: 8 bytes. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    long readLong(long off);

    /**
     * Reads a float: 4 bytes. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    float readFloat(long off);

    /**
     * Reads a double: 8 bytes. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    double readDouble(long off);

    /**
     * Writes an address: 8 bytes, or 4 in a 32-bit JVM. Plain.
     *
     * @param off offset in bytes
     * @param value the address; a 32-bit JVM writes the lower half
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    void writePointer(long off, long value);

    /**
     * Reads an address: 8 bytes, or 4 in a 32-bit JVM. Plain.
     *
     * @param off offset in bytes
     * @return the address
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    long readPointer(long off);

    /**
     * Reads a byte: {@link #read(long)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @return -128 to 127
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default byte readByte(final long off) {
        return read(off);
    }

    /**
     * Writes a byte: {@link #write(long, byte)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeByte(final long off, final byte value) {
        write(off, value);
    }

    /**
     * Writes a short: {@link #write(long, short)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeShort(final long off, final short value) {
        write(off, value);
    }

    /**
     * Writes an int: {@link #write(long, int)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeInt(final long off, final int value) {
        write(off, value);
    }

    /**
     * Writes a long: {@link #write(long, long)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeLong(final long off, final long value) {
        write(off, value);
    }

    /**
     * Writes a float: {@link #write(long, float)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeFloat(final long off, final float value) {
        write(off, value);
    }

    /**
     * Writes a double: {@link #write(long, double)} under an explicit name. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeDouble(final long off, final double value) {
        write(off, value);
    }

    /**
     * Reads a boolean: 1 byte, false if it is 0. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default boolean readBoolean(final long off) {
        return read(off) != 0;
    }

    /**
     * Writes a boolean: 1 byte, 1 for true and 0 for false. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeBoolean(final long off, final boolean value) {
        write(off, (byte) (value ? 1 : 0));
    }

    /**
     * Reads a char: 2 bytes. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default char readChar(final long off) {
        return (char) readShort(off);
    }

    /**
     * Writes a char: 2 bytes. Plain. A char passed to {@code write} is an int, so that such a call writes 4 bytes: there is
     * no {@code write(long, char)}.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeChar(final long off, final char value) {
        write(off, (short) value);
    }
}
