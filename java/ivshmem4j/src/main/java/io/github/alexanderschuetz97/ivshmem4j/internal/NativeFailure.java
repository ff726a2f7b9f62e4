package io.github.alexanderschuetz97.ivshmem4j.internal;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;

/** Translates errors of the native library to exceptions. Called only by the native library. */
final class NativeFailure {

    private NativeFailure() {}

    /**
     * The exception for an error.
     *
     * @param kind the kind in the spelling of the native library, for example {@code UnknownPeer}
     * @param text the message
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

    /** The code of a kind; {@code IO} for a kind that a later release has added. */
    static IvshmemException.Code code(final String kind) {
        for (final IvshmemException.Code code : IvshmemException.Code.values()) {
            if (code.name().replace("_", "").equalsIgnoreCase(kind)) {
                return code;
            }
        }
        return IvshmemException.Code.IO;
    }
}
