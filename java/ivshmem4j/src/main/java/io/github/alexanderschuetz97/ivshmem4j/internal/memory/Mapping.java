package io.github.alexanderschuetz97.ivshmem4j.internal.memory;

import io.github.alexanderschuetz97.ivshmem4j.api.CacheMode;

/** The properties of a mapping, from the native library. */
final class Mapping {

    /** The target string, for messages. */
    final String target;
    final long handle;
    /** The address of the first byte. */
    final long address;
    /** The size in bytes. */
    final long size;
    final boolean writeable;
    /** Whether no other process can remove pages. */
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
