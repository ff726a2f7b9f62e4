package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.Objects;

/**
 * A failure of the operating system, of the server, or of another peer.
 *
 * <p>The {@linkplain #getCode() code} is for programs; the message is for people, and names the object, the value, the limit
 * and the remedy. Errors of the caller are other exceptions: {@link IllegalArgumentException} for offsets and other
 * arguments, {@link IllegalStateException} for closed objects, {@link UnsupportedOperationException} for operations that
 * this kind of memory or this platform does not support.
 */
public class IvshmemException extends RuntimeException {

    private static final long serialVersionUID = 2L;

    /** The kind of the failure. */
    private final Code code;

    /** Creates an exception with the code {@link Code#IO} and no message. */
    public IvshmemException() {
        code = Code.IO;
    }

    /**
     * Creates an exception with the code {@link Code#IO}.
     *
     * @param message the description, for people
     */
    public IvshmemException(final String message) {
        super(message);
        code = Code.IO;
    }

    /**
     * Creates an exception with the code {@link Code#IO}.
     *
     * @param cause the cause, or null
     */
    public IvshmemException(final Throwable cause) {
        super(cause);
        code = Code.IO;
    }

    /**
     * Creates an exception with the code {@link Code#IO}.
     *
     * @param message the description, for people
     * @param cause the cause, or null
     */
    public IvshmemException(final String message, final Throwable cause) {
        super(message, cause);
        code = Code.IO;
    }

    /**
     * Creates an exception with the code {@link Code#IO} for a subclass in the program.
     *
     * @param message the description, for people
     * @param cause the cause, or null
     * @param enableSuppression whether the exception accepts suppressed exceptions
     * @param writableStackTrace whether the exception has a stack trace
     */
    protected IvshmemException(
        final String message, final Throwable cause, final boolean enableSuppression, final boolean writableStackTrace) {
        super(message, cause, enableSuppression, writableStackTrace);
        code = Code.IO;
    }

    /**
     * Creates an exception.
     *
     * @param code the kind of the failure; not null
     * @param message the description, for people
     */
    public IvshmemException(final Code code, final String message) {
        super(message);
        this.code = checked(code);
    }

    /**
     * Creates an exception with a cause.
     *
     * @param code the kind of the failure; not null
     * @param message the description, for people
     * @param cause the cause, or null
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

    /** The kinds of failure. Later releases may add kinds. */
    public enum Code {
        /** The named file, socket or device does not exist. */
        NOT_FOUND,
        /** The operating system denies access to an existing file, socket or device. */
        PERMISSION_DENIED,
        /** The file or socket to be created already exists. */
        ALREADY_EXISTS,
        /** An argument is invalid in every state of the memory and the server. */
        INVALID_ARGUMENT,
        /** An access reaches outside the memory. Nothing was read or written. */
        OUT_OF_BOUNDS,
        /** An atomic access is not aligned where the processor demands it. Nothing was written. */
        MISALIGNED,
        /** The memory or the device is closed. */
        CLOSED,
        /** A write to memory that is read-only. */
        READ_ONLY,
        /** This kind of device, platform or processor does not support the operation. */
        UNSUPPORTED,
        /** The system has not enough memory, huge pages, disk space or descriptors. */
        NO_SPACE,
        /** Another holder, possibly in this process, has a resource that only one can hold. */
        BUSY,
        /** No peer with this id is connected. */
        UNKNOWN_PEER,
        /** The peer, or this device, has no such vector. */
        UNKNOWN_VECTOR,
        /** The server refused the connection. */
        REFUSED,
        /** The other side violated the protocol. */
        PROTOCOL,
        /** The server is gone. The memory and interrupts to and from the peers known so far continue to work. */
        SERVER_GONE,
        /** The timeout passed before the expected event. */
        TIMED_OUT,
        /** Any other failure of the operating system. */
        IO
    }
}
