package io.github.alexanderschuetz97.ivshmem4j.api;

import io.github.alexanderschuetz97.ivshmem4j.internal.device.Devices;
import java.lang.Thread.UncaughtExceptionHandler;
import java.util.Arrays;

/**
 * How {@link Ivshmem#plain(String, PlainOptions)} opens a file. Objects are immutable: each method returns new options.
 *
 * <pre>{@code
 * PlainOptions options = PlainOptions.defaults().size(1 << 20).createNew().mode(0660);
 * }</pre>
 */
public final class PlainOptions {

    private static final int MAX_MODE = 0777;
    /** The highest id. The next value means "no id" to the operating system. */
    private static final long MAX_ID = 0xffff_fffeL;

    // Places in the values, in the order in which the native library takes them.
    private static final int SIZE = 0;
    private static final int OFFSET = 1;
    private static final int LENGTH = 2;
    private static final int MODE = 3;
    private static final int USER = 4;
    private static final int GROUP = 5;
    private static final int CREATE_NEW = 6;
    private static final int PREFAULT = 7;
    private static final int HUGE_PAGES = 8;
    private static final int READ_ONLY = 9;
    private static final int COUNT = 10;

    /** The value of an option that is not set. */
    private static final long NONE = -1;
    private static final long YES = 1;

    private static final PlainOptions DEFAULTS = new PlainOptions();

    private final long[] values;

    private PlainOptions() {
        values = new long[COUNT];
        Arrays.fill(values, NONE);
    }

    private PlainOptions(final PlainOptions others, final int place, final long value) {
        values = others.values.clone();
        values[place] = value;
    }

    /**
     * Options that open an existing file for reading and writing and map all of its bytes.
     *
     * @return options with nothing set
     */
    public static PlainOptions defaults() {
        return DEFAULTS;
    }

    /**
     * Sets the minimum size of the file. A file that does not exist is created, a shorter file grows, and a longer file is
     * mapped completely. Unless set, the file must exist.
     *
     * @param bytes 1 or more; a multiple of the page size on hugetlbfs
     * @return new options
     * @throws IllegalArgumentException if the size is less than 1
     */
    public PlainOptions size(final long bytes) {
        if (bytes < 1) {
            throw new IllegalArgumentException("a size of " + bytes + " bytes; a size is 1 or more");
        }
        return with(SIZE, bytes);
    }

    /**
     * Maps only a part of the file. The offset may have any alignment. Opening a part that is not inside the file throws
     * {@link IllegalArgumentException}.
     *
     * @param offset start of the part in bytes, 0 or more
     * @param length length of the part in bytes, 1 or more
     * @return new options
     * @throws IllegalArgumentException if the offset is negative, the length less than 1 or their sum too large for a long
     */
    public PlainOptions window(final long offset, final long length) {
        if (offset < 0 || length < 1 || length > Long.MAX_VALUE - offset) {
            throw new IllegalArgumentException("a window of " + length + " bytes from " + offset
                + "; an offset is 0 or more, a length 1 or more, and their sum at most " + Long.MAX_VALUE);
        }
        return with(OFFSET, offset).with(LENGTH, length);
    }

    /**
     * Requires that the file does not exist. Needs a size.
     *
     * @return new options; opening an existing file throws an {@link IvshmemException} with the code
     *     {@link IvshmemException.Code#ALREADY_EXISTS}
     */
    public PlainOptions createNew() {
        return with(CREATE_NEW, YES);
    }

    /**
     * Sets the permissions of a new file, without applying the umask; 0600 unless set. The permissions of an existing file
     * do not change.
     *
     * @param permissions bits as for chmod, 0 to 0777, for example 0660
     * @return new options
     * @throws IllegalArgumentException if other bits are set
     */
    public PlainOptions mode(final int permissions) {
        checkMode(permissions);
        return with(MODE, permissions);
    }

    /**
     * Sets the user and the group of a new file; those of this process unless set. Setting another user needs root.
     *
     * @param user id of the user, 0 to 4294967294
     * @param group id of the group, 0 to 4294967294
     * @return new options
     * @throws IllegalArgumentException if an id is outside this range
     */
    public PlainOptions owner(final long user, final long group) {
        for (final long id : new long[] {user, group}) {
            if (id < 0 || id > MAX_ID) {
                throw new IllegalArgumentException("an id of " + id + "; ids of users and groups are 0 to " + MAX_ID);
            }
        }
        return with(USER, user).with(GROUP, group);
    }

    /**
     * Allocates all pages when the file is opened, so that no later access waits for the system.
     *
     * @return new options
     */
    public PlainOptions prefault() {
        return with(PREFAULT, YES);
    }

    /**
     * Requests transparent huge pages. If the system does not support them for the file, opening fails with the code
     * {@link IvshmemException.Code#INVALID_ARGUMENT}. A file on hugetlbfs has huge pages without this option.
     *
     * @return new options
     */
    public PlainOptions hugePages() {
        return with(HUGE_PAGES, YES);
    }

    /**
     * Opens the file read-only: no file is created, and every write throws {@link UnsupportedOperationException}.
     *
     * @return new options
     */
    public PlainOptions readOnly() {
        return with(READ_ONLY, YES);
    }

    /** Rejects a value that is not a set of permissions: most often a decimal number. */
    static void checkMode(final int permissions) {
        if ((permissions & ~MAX_MODE) != 0) {
            throw new IllegalArgumentException("a mode of 0" + Integer.toOctalString(permissions) + ", which is "
                + permissions + " in decimal; permissions are 0 to 0777, in octal: 0660, not 660");
        }
    }

    /** Opens a file with these options. */
    IvshmemMemory open(final String path, final UncaughtExceptionHandler handler) {
        return Devices.plain(path, values, handler);
    }

    private PlainOptions with(final int place, final long value) {
        return new PlainOptions(this, place, value);
    }
}
