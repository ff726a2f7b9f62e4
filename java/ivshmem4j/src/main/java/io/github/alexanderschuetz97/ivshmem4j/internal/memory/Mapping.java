package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

/** What the native library tells of a mapping. */
final class Mapping {

    final long handle;
    /** Address of the first byte. */
    final long address;
    /** Bytes. */
    final long size;
    final boolean writeable;

    Mapping(final long handle, final long address, final long size, final boolean writeable) {
        this.handle = handle;
        this.address = address;
        this.size = size;
        this.writeable = writeable;
    }
}
