package io.github.alexanderschuetz97.ivshmem4j.api;

import java.nio.ByteOrder;

/**
 * Plain reads and writes of numbers in a byte order that the name of the method contains: {@code LE}, lowest byte first, or
 * {@code BE}, highest byte first. The rules of {@link NativeMemory} apply.
 *
 * <p>Offsets are in bytes and may have any alignment. All methods may be called from any thread.
 */
public interface ByteOrderAccess extends NumberAccess {

    /**
     * Reads a short of 2 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default short readShortLE(final long off) {
        final short value = readShort(off);
        return ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Short.reverseBytes(value);
    }

    /**
     * Reads an int of 4 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default int readIntLE(final long off) {
        final int value = readInt(off);
        return ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Integer.reverseBytes(value);
    }

    /**
     * Reads a long of 8 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default long readLongLE(final long off) {
        final long value = readLong(off);
        return ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Long.reverseBytes(value);
    }

    /**
     * Reads an unsigned short of 2 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 65535
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default int readUnsignedShortLE(final long off) {
        return readShortLE(off) & 0xffff;
    }

    /**
     * Reads an unsigned int of 4 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 4294967295
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default long readUnsignedIntLE(final long off) {
        return readIntLE(off) & 0xffff_ffffL;
    }

    /**
     * Reads a float of 4 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default float readFloatLE(final long off) {
        return Float.intBitsToFloat(readIntLE(off));
    }

    /**
     * Reads a double of 8 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default double readDoubleLE(final long off) {
        return Double.longBitsToDouble(readLongLE(off));
    }

    /**
     * Writes a short of 2 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeShortLE(final long off, final short value) {
        write(off, ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Short.reverseBytes(value));
    }

    /**
     * Writes an int of 4 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeIntLE(final long off, final int value) {
        write(off, ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Integer.reverseBytes(value));
    }

    /**
     * Writes a long of 8 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeLongLE(final long off, final long value) {
        write(off, ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Long.reverseBytes(value));
    }

    /**
     * Writes a float of 4 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeFloatLE(final long off, final float value) {
        writeIntLE(off, Float.floatToRawIntBits(value));
    }

    /**
     * Writes a double of 8 bytes, lowest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeDoubleLE(final long off, final double value) {
        writeLongLE(off, Double.doubleToRawLongBits(value));
    }

    /**
     * Reads a short of 2 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default short readShortBE(final long off) {
        final short value = readShort(off);
        return ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? value : Short.reverseBytes(value);
    }

    /**
     * Reads an int of 4 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default int readIntBE(final long off) {
        final int value = readInt(off);
        return ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? value : Integer.reverseBytes(value);
    }

    /**
     * Reads a long of 8 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default long readLongBE(final long off) {
        final long value = readLong(off);
        return ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? value : Long.reverseBytes(value);
    }

    /**
     * Reads an unsigned short of 2 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 65535
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default int readUnsignedShortBE(final long off) {
        return readShortBE(off) & 0xffff;
    }

    /**
     * Reads an unsigned int of 4 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return 0 to 4294967295
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default long readUnsignedIntBE(final long off) {
        return readIntBE(off) & 0xffff_ffffL;
    }

    /**
     * Reads a float of 4 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default float readFloatBE(final long off) {
        return Float.intBitsToFloat(readIntBE(off));
    }

    /**
     * Reads a double of 8 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default double readDoubleBE(final long off) {
        return Double.longBitsToDouble(readLongBE(off));
    }

    /**
     * Writes a short of 2 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeShortBE(final long off, final short value) {
        write(off, ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? value : Short.reverseBytes(value));
    }

    /**
     * Writes an int of 4 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeIntBE(final long off, final int value) {
        write(off, ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? value : Integer.reverseBytes(value));
    }

    /**
     * Writes a long of 8 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeLongBE(final long off, final long value) {
        write(off, ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? value : Long.reverseBytes(value));
    }

    /**
     * Writes a float of 4 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeFloatBE(final long off, final float value) {
        writeIntBE(off, Float.floatToRawIntBits(value));
    }

    /**
     * Writes a double of 8 bytes, highest byte first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeDoubleBE(final long off, final double value) {
        writeLongBE(off, Double.doubleToRawLongBits(value));
    }

    /**
     * Reads a char: 2 bytes, the lowest first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default char readCharLE(final long off) {
        return (char) readShortLE(off);
    }

    /**
     * Writes a char: 2 bytes, the lowest first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeCharLE(final long off, final char value) {
        writeShortLE(off, (short) value);
    }

    /**
     * Reads a char: 2 bytes, the highest first. Plain.
     *
     * @param off offset in bytes
     * @return the value
     * @throws IllegalArgumentException if its bytes are not inside the memory
     * @throws IllegalStateException if the memory is closed
     */
    default char readCharBE(final long off) {
        return (char) readShortBE(off);
    }

    /**
     * Writes a char: 2 bytes, the highest first. Plain.
     *
     * @param off offset in bytes
     * @param value the value
     * @throws IllegalArgumentException if its bytes are not inside the memory; nothing is written
     * @throws IllegalStateException if the memory is closed
     * @throws UnsupportedOperationException if the memory is read-only
     */
    default void writeCharBE(final long off, final char value) {
        writeShortBE(off, (short) value);
    }
}
