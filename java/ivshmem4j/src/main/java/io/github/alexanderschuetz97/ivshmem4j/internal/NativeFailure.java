package io.github.alexanderschuetz97.ivshmem4j.internal;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;

/** Decides which exception an error of the native library becomes. Called by the native library only. */
final class NativeFailure {

    private NativeFailure() {}

    /**
     * The exception for an error.
     *
     * @param kind its kind as the native library spells it, for example {@code UnknownPeer}
     * @param text what happened
     */
    static RuntimeException exception(final String kind, final String text) {
        switch (kind) {
            case "Argument":
            case "OutOfBounds":
            case "Misaligned":
                return new IllegalArgumentException(text);
            case "Closed":
                return new IllegalStateException(text);
            case "Unsupported":
            case "ReadOnly":
                return new UnsupportedOperationException(text);
            case "Panic":
                return new IllegalStateException("this is a defect of Ivshmem4j, please report it: " + text);
            default:
                return new IvshmemException(code(kind), text);
        }
    }

    /** The code of a kind; a kind that this release does not know, as it came later, is {@code IO}. */
    static IvshmemException.Code code(final String kind) {
        for (final IvshmemException.Code code : IvshmemException.Code.values()) {
            if (code.name().replace("_", "").equalsIgnoreCase(kind)) {
                return code;
            }
        }
        return IvshmemException.Code.IO;
    }
}
