package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.Objects;

/**
 * A failure of the operating system, of the server, or of another peer.
 *
 * <p>Programs decide by the {@linkplain #getCode() code}; people read the message, which names the thing, the value, the
 * limit and the remedy. Mistakes of the caller are other exceptions: {@link IllegalArgumentException} for offsets and
 * other arguments, {@link IllegalStateException} for what was closed, {@link UnsupportedOperationException} for what
 * this kind of memory or this platform cannot do.
 */
public class IvshmemException extends RuntimeException {

    private static final long serialVersionUID = 2L;

    /** What kind of failure it is. */
    private final Code code;

    /** Makes an exception with the code {@link Code#IO} and no message. */
    public IvshmemException() {
        code = Code.IO;
    }

    /**
     * Makes an exception with the code {@link Code#IO}.
     *
     * @param message what happened, for people
     */
    public IvshmemException(final String message) {
        super(message);
        code = Code.IO;
    }

    /**
     * Makes an exception with the code {@link Code#IO}.
     *
     * @param cause what caused it, or null
     */
    public IvshmemException(final Throwable cause) {
        super(cause);
        code = Code.IO;
    }

    /**
     * Makes an exception with the code {@link Code#IO}.
     *
     * @param message what happened, for people
     * @param cause what caused it, or null
     */
    public IvshmemException(final String message, final Throwable cause) {
        super(message, cause);
        code = Code.IO;
    }

    /**
     * Makes an exception with the code {@link Code#IO} for a class of the program's own.
     *
     * @param message what happened, for people
     * @param cause what caused it, or null
     * @param enableSuppression whether other exceptions can be added to it
     * @param writableStackTrace whether it has a stack trace
     */
    protected IvshmemException(
        final String message, final Throwable cause, final boolean enableSuppression, final boolean writableStackTrace) {
        super(message, cause, enableSuppression, writableStackTrace);
        code = Code.IO;
    }

    /**
     * Makes an exception.
     *
     * @param code the kind of the failure; not null
     * @param message what happened, for people
     */
    public IvshmemException(final Code code, final String message) {
        super(message);
        this.code = checked(code);
    }

    /**
     * Makes an exception that another one caused.
     *
     * @param code the kind of the failure; not null
     * @param message what happened, for people
     * @param cause what caused it, or null
     */
    public IvshmemException(final Code code, final String message, final Throwable cause) {
        super(message, cause);
        this.code = checked(code);
    }

    private static Code checked(final Code code) {
        return Objects.requireNonNull(code, "code");
    }

    /**
     * The kind of the failure.
     *
     * @return never null
     */
    public Code getCode() {
        return code;
    }

    /** What kind of failure it is. Later releases may add kinds. */
    public enum Code {
        /** A file, socket or device that was named does not exist. */
        NOT_FOUND,
        /** The operating system denies access to something that exists. */
        PERMISSION_DENIED,
        /** Something that was to be created exists. */
        ALREADY_EXISTS,
        /** An argument is wrong by itself, whatever the state of the region or the server. */
        INVALID_ARGUMENT,
        /** An access reaches outside the memory. Nothing was read or written. */
        OUT_OF_BOUNDS,
        /** An atomic access is not aligned where the processor demands it. Nothing was written. */
        MISALIGNED,
        /** The memory or the device was closed. */
        CLOSED,
        /** A write to memory that was opened for reading only. */
        READ_ONLY,
        /** This kind of device, platform or processor cannot do it. */
        UNSUPPORTED,
        /** Not enough memory, huge pages, disk space or descriptors. */
        NO_SPACE,
        /** Somebody else holds what can be held once. */
        BUSY,
        /** No peer with this id is connected. */
        UNKNOWN_PEER,
        /** The peer, or this device, has no such vector. */
        UNKNOWN_VECTOR,
        /** The server turned the connection down. */
        REFUSED,
        /** The other side broke the protocol. */
        PROTOCOL,
        /** The server is gone. Memory and the peers known so far go on working. */
        SERVER_GONE,
        /** Something that was waited for did not come in the time that was given. */
        TIMED_OUT,
        /** Any other failure of the operating system. */
        IO
    }
}
