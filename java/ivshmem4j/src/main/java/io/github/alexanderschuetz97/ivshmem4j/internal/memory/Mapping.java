package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;

/** What the native library tells of a mapping. */
final class Mapping {

    /** What was opened, for messages. */
    final String target;
    final long handle;
    /** Address of the first byte. */
    final long address;
    /** Bytes. */
    final long size;
    final boolean writeable;
    /** Whether no other process can take pages away. */
    final boolean sealed;
    final CacheMode cacheMode;

    Mapping(
        final String target,
        final long handle,
        final long address,
        final long size,
        final boolean writeable,
        final boolean sealed,
        final CacheMode cacheMode) {
        this.target = target;
        this.handle = handle;
        this.address = address;
        this.size = size;
        this.writeable = writeable;
        this.sealed = sealed;
        this.cacheMode = cacheMode;
    }
}
