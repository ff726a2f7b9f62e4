package io.github.alexanderschuetz97.ivshmem4j.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * One method of NativeMemory that accesses bytes. A model, an array of bytes, determines its expected result and effect.
 */
final class Operation {

    /** Whether a pointer has 64 bits. */
    static final boolean WIDE = System.getProperty("os.arch").contains("64");

    /** The number of bytes of bulk accesses. */
    static final int BULK = 11;

    /** Calls the method. */
    interface Call {
        Object on(NativeMemory memory, long off) throws Exception;
    }

    /** Applies the expected effect of the method to the model, and returns the expected result. */
    interface Model {
        Object on(ByteBuffer model, int off);
    }

    final String name;
    final int size;
    /** The required alignment of offsets. */
    final int alignment;
    final boolean writes;
    final Call call;
    final Model model;

    private Operation(
        final String name,
        final int size,
        final int alignment,
        final boolean writes,
        final Call call,
        final Model model) {
        this.name = name;
        this.size = size;
        this.alignment = alignment;
        this.writes = writes;
        this.call = call;
        this.model = model;
    }

    @Override
    public String toString() {
        return name;
    }

    /** All operations that this processor supports; several for a method if its arguments matter. */
    static List<Operation> all() {
        final List<Operation> all = new ArrayList<>();
        bulk(all);
        BulkOperations.addTo(all);
        numbers(all);
        byteOrders(all);
        final List<Operation> atomic = new ArrayList<>();
        ordered(atomic);
        atomics(atomic);
        waits(atomic);
        if (!WIDE) {
            atomic.removeIf(operation -> operation.size > 8);
            atomic.replaceAll(Operation::alignedAsOn32Bits);
        }
        all.addAll(atomic);
        return all;
    }

    private Operation alignedAsOn32Bits() {
        return size < 8 ? this : new Operation(name, size, 8, writes, call, model);
    }

    static void read(
        final List<Operation> all, final String name, final int size, final Call call, final Model model) {
        all.add(new Operation(name, size, 1, false, call, model));
    }

    private static void write(
        final List<Operation> all, final String name, final int size, final Call call, final Model model) {
        all.add(new Operation(name, size, 1, true, call, model));
    }

    /** A call without a result. */
    interface Action {
        void on(NativeMemory memory, long off) throws Exception;
    }

    /** A change of the model without a result. */
    interface Change {
        void on(ByteBuffer model, int off);
    }

    static void put(
        final List<Operation> all, final String name, final int size, final Action action, final Change change) {
        write(all, name, size, (m, o) -> {
            action.on(m, o);
            return null;
        }, (m, o) -> {
            change.on(m, o);
            return null;
        });
    }

    static byte[] bytes(final ByteBuffer model, final int off, final int len) {
        final byte[] bytes = new byte[len];
        for (int i = 0; i < len; i++) {
            bytes[i] = model.get(off + i);
        }
        return bytes;
    }

    static void put(final ByteBuffer model, final int off, final byte[] bytes) {
        for (int i = 0; i < bytes.length; i++) {
            model.put(off + i, bytes[i]);
        }
    }

    private static byte[] sample() {
        final byte[] bytes = new byte[BULK];
        for (int i = 0; i < BULK; i++) {
            bytes[i] = (byte) (0xa0 + i);
        }
        return bytes;
    }

    private static void bulk(final List<Operation> all) {
        put(all, "set", BULK, (m, o) -> m.set(o, (byte) 0x5a, BULK), (m, o) -> {
            final byte[] bytes = new byte[BULK];
            Arrays.fill(bytes, (byte) 0x5a);
            put(m, o, bytes);
        });
        put(all, "zero", BULK, (m, o) -> m.zero(o, BULK), (m, o) -> put(m, o, new byte[BULK]));
        put(all, "write(byte[])", BULK, (m, o) -> m.write(o, sample()), (m, o) -> put(m, o, sample()));
        put(all, "write(byte[], int, int)", BULK, (m, o) -> {
            final byte[] wide = new byte[BULK + 9];
            System.arraycopy(sample(), 0, wide, 4, BULK);
            m.write(o, wide, 4, BULK);
        }, (m, o) -> put(m, o, sample()));
        put(all, "write(heap buffer)", BULK, (m, o) -> m.write(o, ByteBuffer.wrap(sample())),
            (m, o) -> put(m, o, sample()));
        put(all, "write(direct buffer)", BULK, (m, o) -> {
            final ByteBuffer direct = ByteBuffer.allocateDirect(BULK + 3);
            direct.position(3);
            direct.put(sample()).position(3);
            m.write(o, direct);
            if (direct.hasRemaining()) {
                throw new AssertionError("the position must be at the limit");
            }
        }, (m, o) -> put(m, o, sample()));
        read(all, "read(byte[])", BULK, (m, o) -> {
            final byte[] bytes = new byte[BULK];
            m.read(o, bytes);
            return bytes;
        }, (m, o) -> bytes(m, o, BULK));
        read(all, "read(byte[], int, int)", BULK, (m, o) -> {
            final byte[] wide = new byte[BULK + 9];
            m.read(o, wide, 4, BULK);
            return Arrays.copyOfRange(wide, 4, 4 + BULK);
        }, (m, o) -> bytes(m, o, BULK));
        read(all, "read(heap buffer)", BULK, (m, o) -> {
            final ByteBuffer heap = ByteBuffer.allocate(BULK + 2);
            heap.position(2);
            m.read(o, heap.slice());
            return Arrays.copyOfRange(heap.array(), 2, 2 + BULK);
        }, (m, o) -> bytes(m, o, BULK));
        read(all, "read(direct buffer)", BULK, (m, o) -> {
            final ByteBuffer direct = ByteBuffer.allocateDirect(BULK);
            m.read(o, direct);
            direct.flip();
            final byte[] bytes = new byte[BULK];
            direct.get(bytes);
            return bytes;
        }, (m, o) -> bytes(m, o, BULK));
        read(all, "indexOf(byte[])", BULK, (m, o) -> {
            final byte[] needle = new byte[BULK];
            m.read(o, needle);
            return m.indexOf(o, BULK, needle);
        }, (m, o) -> (long) o);
        read(all, "indexOf(byte)", BULK, (m, o) -> m.indexOf(o, BULK, (byte) 0x77), (m, o) -> {
            for (int i = o; i < o + BULK; i++) {
                if (m.get(i) == 0x77) {
                    return (long) i;
                }
            }
            return -1L;
        });
        read(all, "sync", BULK, (m, o) -> {
            m.sync(o, BULK, true);
            return null;
        }, (m, o) -> null);
        read(all, "getNativePointer(long)", 1, (m, o) -> m.getNativePointer(o) - m.getNativePointer(),
            (m, o) -> (long) o);
    }

    private static void numbers(final List<Operation> all) {
        put(all, "write(byte)", 1, (m, o) -> m.write(o, (byte) -3), (m, o) -> m.put(o, (byte) -3));
        put(all, "write(short)", 2, (m, o) -> m.write(o, (short) -30001), (m, o) -> m.putShort(o, (short) -30001));
        put(all, "write(int)", 4, (m, o) -> m.write(o, 0x81234567), (m, o) -> m.putInt(o, 0x81234567));
        put(all, "write(long)", 8, (m, o) -> m.write(o, -81985529216486896L),
            (m, o) -> m.putLong(o, -81985529216486896L));
        put(all, "write(float)", 4, (m, o) -> m.write(o, 1.25e-7f), (m, o) -> m.putFloat(o, 1.25e-7f));
        put(all, "write(double)", 8, (m, o) -> m.write(o, Math.PI), (m, o) -> m.putDouble(o, Math.PI));
        put(all, "writeByte", 1, (m, o) -> m.writeByte(o, (byte) 9), (m, o) -> m.put(o, (byte) 9));
        put(all, "writeShort", 2, (m, o) -> m.writeShort(o, (short) 30001), (m, o) -> m.putShort(o, (short) 30001));
        put(all, "writeInt", 4, (m, o) -> m.writeInt(o, 0x1234567), (m, o) -> m.putInt(o, 0x1234567));
        put(all, "writeLong", 8, (m, o) -> m.writeLong(o, 0x123456789abcdefL),
            (m, o) -> m.putLong(o, 0x123456789abcdefL));
        put(all, "writeFloat", 4, (m, o) -> m.writeFloat(o, -0f), (m, o) -> m.putFloat(o, -0f));
        put(all, "writeDouble", 8, (m, o) -> m.writeDouble(o, -Math.E), (m, o) -> m.putDouble(o, -Math.E));
        put(all, "writeBoolean", 1, (m, o) -> m.writeBoolean(o, true), (m, o) -> m.put(o, (byte) 1));
        put(all, "writeBoolean(false)", 1, (m, o) -> m.writeBoolean(o, false), (m, o) -> m.put(o, (byte) 0));
        put(all, "writeChar", 2, (m, o) -> m.writeChar(o, '\u8765'), (m, o) -> m.putChar(o, '\u8765'));
        read(all, "readBoolean", 1, NativeMemory::readBoolean, (m, o) -> m.get(o) != 0);
        read(all, "readChar", 2, NativeMemory::readChar, (m, o) -> m.getChar(o));
        read(all, "read", 1, NativeMemory::read, (m, o) -> m.get(o));
        read(all, "readByte", 1, NativeMemory::readByte, (m, o) -> m.get(o));
        read(all, "readUnsignedByte", 1, NativeMemory::readUnsignedByte, (m, o) -> m.get(o) & 0xff);
        read(all, "readShort", 2, NativeMemory::readShort, (m, o) -> m.getShort(o));
        read(all, "readUnsignedShort", 2, NativeMemory::readUnsignedShort, (m, o) -> m.getShort(o) & 0xffff);
        read(all, "readInt", 4, NativeMemory::readInt, (m, o) -> m.getInt(o));
        read(all, "readUnsignedInt", 4, NativeMemory::readUnsignedInt, (m, o) -> m.getInt(o) & 0xffffffffL);
        read(all, "readLong", 8, NativeMemory::readLong, (m, o) -> m.getLong(o));
        read(all, "readFloat", 4, (m, o) -> Float.floatToRawIntBits(m.readFloat(o)), (m, o) -> m.getInt(o));
        read(all, "readDouble", 8, (m, o) -> Double.doubleToRawLongBits(m.readDouble(o)), (m, o) -> m.getLong(o));
        final boolean wide = System.getProperty("os.arch").contains("64");
        put(all, "writePointer", wide ? 8 : 4, (m, o) -> m.writePointer(o, 0xfedcba98L), (m, o) -> {
            if (wide) {
                m.putLong(o, 0xfedcba98L);
            } else {
                m.putInt(o, 0xfedcba98);
            }
        });
        read(all, "readPointer", wide ? 8 : 4, NativeMemory::readPointer,
            (m, o) -> wide ? m.getLong(o) : m.getInt(o) & 0xffffffffL);
    }

    private static void byteOrders(final List<Operation> all) {
        read(all, "readShortLE", 2, NativeMemory::readShortLE, (m, o) -> le(m).getShort(o));
        read(all, "readIntLE", 4, NativeMemory::readIntLE, (m, o) -> le(m).getInt(o));
        read(all, "readLongLE", 8, NativeMemory::readLongLE, (m, o) -> le(m).getLong(o));
        read(all, "readUnsignedShortLE", 2, NativeMemory::readUnsignedShortLE,
            (m, o) -> le(m).getShort(o) & 0xffff);
        read(all, "readUnsignedIntLE", 4, NativeMemory::readUnsignedIntLE,
            (m, o) -> le(m).getInt(o) & 0xffffffffL);
        read(all, "readFloatLE", 4, (m, o) -> Float.floatToRawIntBits(m.readFloatLE(o)),
            (m, o) -> le(m).getInt(o));
        read(all, "readDoubleLE", 8, (m, o) -> Double.doubleToRawLongBits(m.readDoubleLE(o)),
            (m, o) -> le(m).getLong(o));
        read(all, "readCharLE", 2, NativeMemory::readCharLE, (m, o) -> le(m).getChar(o));
        put(all, "writeCharLE", 2, (m, o) -> m.writeCharLE(o, '\u8765'), (m, o) -> le(m).putChar(o, '\u8765'));
        put(all, "writeShortLE", 2, (m, o) -> m.writeShortLE(o, (short) -12345),
            (m, o) -> le(m).putShort(o, (short) -12345));
        put(all, "writeIntLE", 4, (m, o) -> m.writeIntLE(o, -123456789),
            (m, o) -> le(m).putInt(o, -123456789));
        put(all, "writeLongLE", 8, (m, o) -> m.writeLongLE(o, -1234567890123456789L),
            (m, o) -> le(m).putLong(o, -1234567890123456789L));
        put(all, "writeFloatLE", 4, (m, o) -> m.writeFloatLE(o, 3.5f),
            (m, o) -> le(m).putFloat(o, 3.5f));
        put(all, "writeDoubleLE", 8, (m, o) -> m.writeDoubleLE(o, -2.75d),
            (m, o) -> le(m).putDouble(o, -2.75d));
        read(all, "readShortBE", 2, NativeMemory::readShortBE, (m, o) -> be(m).getShort(o));
        read(all, "readIntBE", 4, NativeMemory::readIntBE, (m, o) -> be(m).getInt(o));
        read(all, "readLongBE", 8, NativeMemory::readLongBE, (m, o) -> be(m).getLong(o));
        read(all, "readUnsignedShortBE", 2, NativeMemory::readUnsignedShortBE,
            (m, o) -> be(m).getShort(o) & 0xffff);
        read(all, "readUnsignedIntBE", 4, NativeMemory::readUnsignedIntBE,
            (m, o) -> be(m).getInt(o) & 0xffffffffL);
        read(all, "readFloatBE", 4, (m, o) -> Float.floatToRawIntBits(m.readFloatBE(o)),
            (m, o) -> be(m).getInt(o));
        read(all, "readDoubleBE", 8, (m, o) -> Double.doubleToRawLongBits(m.readDoubleBE(o)),
            (m, o) -> be(m).getLong(o));
        read(all, "readCharBE", 2, NativeMemory::readCharBE, (m, o) -> be(m).getChar(o));
        put(all, "writeCharBE", 2, (m, o) -> m.writeCharBE(o, '\u8765'), (m, o) -> be(m).putChar(o, '\u8765'));
        put(all, "writeShortBE", 2, (m, o) -> m.writeShortBE(o, (short) -12345),
            (m, o) -> be(m).putShort(o, (short) -12345));
        put(all, "writeIntBE", 4, (m, o) -> m.writeIntBE(o, -123456789),
            (m, o) -> be(m).putInt(o, -123456789));
        put(all, "writeLongBE", 8, (m, o) -> m.writeLongBE(o, -1234567890123456789L),
            (m, o) -> be(m).putLong(o, -1234567890123456789L));
        put(all, "writeFloatBE", 4, (m, o) -> m.writeFloatBE(o, 3.5f),
            (m, o) -> be(m).putFloat(o, 3.5f));
        put(all, "writeDoubleBE", 8, (m, o) -> m.writeDoubleBE(o, -2.75d),
            (m, o) -> be(m).putDouble(o, -2.75d));
    }

    private static ByteBuffer le(final ByteBuffer model) {
        return model.duplicate().order(java.nio.ByteOrder.LITTLE_ENDIAN);
    }

    private static ByteBuffer be(final ByteBuffer model) {
        return model.duplicate().order(java.nio.ByteOrder.BIG_ENDIAN);
    }

    private static void ordered(final List<Operation> all) {
        read(all, "readByteAcquire", 1, NativeMemory::readByteAcquire, (m, o) -> m.get(o));
        read(all, "readByteVolatile", 1, NativeMemory::readByteVolatile, (m, o) -> m.get(o));
        put(all, "writeByteRelease", 1, (m, o) -> m.writeByteRelease(o, (byte) 101),
            (m, o) -> m.put(o, (byte) 101));
        put(all, "writeByteVolatile", 1, (m, o) -> m.writeByteVolatile(o, (byte) -102),
            (m, o) -> m.put(o, (byte) -102));
        read(all, "readShortAcquire", 2, NativeMemory::readShortAcquire, (m, o) -> m.getShort(o));
        read(all, "readShortVolatile", 2, NativeMemory::readShortVolatile, (m, o) -> m.getShort(o));
        put(all, "writeShortRelease", 2, (m, o) -> m.writeShortRelease(o, (short) 101),
            (m, o) -> m.putShort(o, (short) 101));
        put(all, "writeShortVolatile", 2, (m, o) -> m.writeShortVolatile(o, (short) -102),
            (m, o) -> m.putShort(o, (short) -102));
        read(all, "readIntAcquire", 4, NativeMemory::readIntAcquire, (m, o) -> m.getInt(o));
        read(all, "readIntVolatile", 4, NativeMemory::readIntVolatile, (m, o) -> m.getInt(o));
        put(all, "writeIntRelease", 4, (m, o) -> m.writeIntRelease(o, 101),
            (m, o) -> m.putInt(o, 101));
        put(all, "writeIntVolatile", 4, (m, o) -> m.writeIntVolatile(o, -102),
            (m, o) -> m.putInt(o, -102));
        read(all, "readLongAcquire", 8, NativeMemory::readLongAcquire, (m, o) -> m.getLong(o));
        read(all, "readLongVolatile", 8, NativeMemory::readLongVolatile, (m, o) -> m.getLong(o));
        put(all, "writeLongRelease", 8, (m, o) -> m.writeLongRelease(o, 101L),
            (m, o) -> m.putLong(o, 101L));
        put(all, "writeLongVolatile", 8, (m, o) -> m.writeLongVolatile(o, -102L),
            (m, o) -> m.putLong(o, -102L));
    }

    private static void atomics(final List<Operation> all) {
        write(all, "getAndAdd(byte)", 1, (m, o) -> m.getAndAdd(o, (byte) 77), (m, o) -> {
            final byte before = m.get(o);
            m.put(o, (byte) (before + 77));
            return before;
        });
        write(all, "getAndSet(byte)", 1, (m, o) -> m.getAndSet(o, (byte) -77), (m, o) -> {
            final byte before = m.get(o);
            m.put(o, (byte) -77);
            return before;
        });
        write(all, "compareAndSet(byte) that meets", 1,
            (m, o) -> m.compareAndSet(o, m.read(o), (byte) 55), (m, o) -> {
                m.put(o, (byte) 55);
                return true;
            });
        write(all, "compareAndSet(byte) that fails", 1,
            (m, o) -> m.compareAndSet(o, (byte) (m.read(o) + 1), (byte) 55), (m, o) -> false);
        write(all, "getAndAdd(short)", 2, (m, o) -> m.getAndAdd(o, (short) 77), (m, o) -> {
            final short before = m.getShort(o);
            m.putShort(o, (short) (before + 77));
            return before;
        });
        write(all, "getAndSet(short)", 2, (m, o) -> m.getAndSet(o, (short) -77), (m, o) -> {
            final short before = m.getShort(o);
            m.putShort(o, (short) -77);
            return before;
        });
        write(all, "compareAndSet(short) that meets", 2,
            (m, o) -> m.compareAndSet(o, m.readShort(o), (short) 55), (m, o) -> {
                m.putShort(o, (short) 55);
                return true;
            });
        write(all, "compareAndSet(short) that fails", 2,
            (m, o) -> m.compareAndSet(o, (short) (m.readShort(o) + 1), (short) 55), (m, o) -> false);
        write(all, "getAndAdd(int)", 4, (m, o) -> m.getAndAdd(o, 77), (m, o) -> {
            final int before = m.getInt(o);
            m.putInt(o, (before + 77));
            return before;
        });
        write(all, "getAndSet(int)", 4, (m, o) -> m.getAndSet(o, -77), (m, o) -> {
            final int before = m.getInt(o);
            m.putInt(o, -77);
            return before;
        });
        write(all, "compareAndSet(int) that meets", 4,
            (m, o) -> m.compareAndSet(o, m.readInt(o), 55), (m, o) -> {
                m.putInt(o, 55);
                return true;
            });
        write(all, "compareAndSet(int) that fails", 4,
            (m, o) -> m.compareAndSet(o, (m.readInt(o) + 1), 55), (m, o) -> false);
        write(all, "getAndAdd(long)", 8, (m, o) -> m.getAndAdd(o, 77L), (m, o) -> {
            final long before = m.getLong(o);
            m.putLong(o, (before + 77));
            return before;
        });
        write(all, "getAndSet(long)", 8, (m, o) -> m.getAndSet(o, -77L), (m, o) -> {
            final long before = m.getLong(o);
            m.putLong(o, -77L);
            return before;
        });
        write(all, "compareAndSet(long) that meets", 8,
            (m, o) -> m.compareAndSet(o, m.readLong(o), 55L), (m, o) -> {
                m.putLong(o, 55L);
                return true;
            });
        write(all, "compareAndSet(long) that fails", 8,
            (m, o) -> m.compareAndSet(o, (m.readLong(o) + 1), 55L), (m, o) -> false);
        all.add(new Operation("compareAndSet(16 bytes) that meets", 16, 16, true, (m, o) -> {
            final byte[] data = new byte[32];
            m.read(o, data, 0, 16);
            System.arraycopy(wide(), 0, data, 16, 16);
            return m.compareAndSet(o, data);
        }, (m, o) -> {
            put(m, o, wide());
            return true;
        }));
        all.add(new Operation("compareAndSet(16 bytes) that fails", 16, 16, true, (m, o) -> {
            final byte[] data = new byte[32];
            m.read(o, data, 0, 16);
            data[15]++;
            return m.compareAndSet(o, data);
        }, (m, o) -> false));
    }

    private static byte[] wide() {
        return new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    }

    private static void waits(final List<Operation> all) {
        read(all, "spin(byte) that meets", 1, (m, o) -> m.spin(o, m.read(o), 1, 1, TimeUnit.HOURS), (m, o) -> true);
        read(all, "spin(byte) that times out", 1,
            (m, o) -> m.spin(o, (byte) (m.read(o) + 1), -1, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        read(all, "spin(byte) without end", 1, (m, o) -> {
            m.spin(o, m.read(o), 0, TimeUnit.SECONDS);
            return null;
        }, (m, o) -> null);
        write(all, "spinAndSet(byte) that meets", 1,
            (m, o) -> m.spinAndSet(o, m.read(o), (byte) 33, 1, 1, TimeUnit.HOURS), (m, o) -> {
                m.put(o, (byte) 33);
                return true;
            });
        write(all, "spinAndSet(byte) that times out", 1,
            (m, o) -> m.spinAndSet(o, (byte) (m.read(o) + 1), (byte) 33, 0, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        put(all, "spinAndSet(byte) without end", 1,
            (m, o) -> m.spinAndSet(o, m.read(o), (byte) 33, -1, TimeUnit.SECONDS), (m, o) -> m.put(o, (byte) 33));
        read(all, "spin(short) that meets", 2, (m, o) -> m.spin(o, m.readShort(o), 1, 1, TimeUnit.HOURS),
            (m, o) -> true);
        read(all, "spin(short) that times out", 2,
            (m, o) -> m.spin(o, (short) (m.readShort(o) + 1), -1, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        read(all, "spin(short) without end", 2, (m, o) -> {
            m.spin(o, m.readShort(o), 0, TimeUnit.SECONDS);
            return null;
        }, (m, o) -> null);
        write(all, "spinAndSet(short) that meets", 2,
            (m, o) -> m.spinAndSet(o, m.readShort(o), (short) 33, 1, 1, TimeUnit.HOURS), (m, o) -> {
                m.putShort(o, (short) 33);
                return true;
            });
        write(all, "spinAndSet(short) that times out", 2,
            (m, o) -> m.spinAndSet(o, (short) (m.readShort(o) + 1), (short) 33, 0, 3, TimeUnit.MICROSECONDS),
            (m, o) -> false);
        put(all, "spinAndSet(short) without end", 2,
            (m, o) -> m.spinAndSet(o, m.readShort(o), (short) 33, -1, TimeUnit.SECONDS),
            (m, o) -> m.putShort(o, (short) 33));
        read(all, "spin(int) that meets", 4, (m, o) -> m.spin(o, m.readInt(o), 1, 1, TimeUnit.HOURS), (m, o) -> true);
        read(all, "spin(int) that times out", 4,
            (m, o) -> m.spin(o, (m.readInt(o) + 1), -1, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        read(all, "spin(int) without end", 4, (m, o) -> {
            m.spin(o, m.readInt(o), 0, TimeUnit.SECONDS);
            return null;
        }, (m, o) -> null);
        write(all, "spinAndSet(int) that meets", 4,
            (m, o) -> m.spinAndSet(o, m.readInt(o), 33, 1, 1, TimeUnit.HOURS), (m, o) -> {
                m.putInt(o, 33);
                return true;
            });
        write(all, "spinAndSet(int) that times out", 4,
            (m, o) -> m.spinAndSet(o, (m.readInt(o) + 1), 33, 0, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        put(all, "spinAndSet(int) without end", 4,
            (m, o) -> m.spinAndSet(o, m.readInt(o), 33, -1, TimeUnit.SECONDS), (m, o) -> m.putInt(o, 33));
        read(all, "spin(long) that meets", 8, (m, o) -> m.spin(o, m.readLong(o), 1, 1, TimeUnit.HOURS), (m, o) -> true);
        read(all, "spin(long) that times out", 8,
            (m, o) -> m.spin(o, (m.readLong(o) + 1), -1, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        read(all, "spin(long) without end", 8, (m, o) -> {
            m.spin(o, m.readLong(o), 0, TimeUnit.SECONDS);
            return null;
        }, (m, o) -> null);
        write(all, "spinAndSet(long) that meets", 8,
            (m, o) -> m.spinAndSet(o, m.readLong(o), 33L, 1, 1, TimeUnit.HOURS), (m, o) -> {
                m.putLong(o, 33L);
                return true;
            });
        write(all, "spinAndSet(long) that times out", 8,
            (m, o) -> m.spinAndSet(o, (m.readLong(o) + 1), 33L, 0, 3, TimeUnit.MICROSECONDS), (m, o) -> false);
        put(all, "spinAndSet(long) without end", 8,
            (m, o) -> m.spinAndSet(o, m.readLong(o), 33L, -1, TimeUnit.SECONDS), (m, o) -> m.putLong(o, 33L));
    }
}
