package io.github.alexanderschuetz97.ivshmem4j.api;

import io.github.alexanderschuetz97.ivshmem4j.internal.device.Devices;
import java.lang.Thread.UncaughtExceptionHandler;
import java.util.Collection;
import java.util.concurrent.Executor;

/**
 * Opens shared memory. All methods may be called from any thread.
 *
 * <p>The program closes what it has opened; memory that is forgotten is closed when the garbage collector finds it, unless
 * routines or listeners are registered or a future waits for an interrupt.
 *
 * <p>Parameters that several methods have:
 * <ul>
 *   <li>{@code executor} runs the callbacks of the program; null stands for daemon threads of the library, one for each
 *       vector that has routines or futures. An executor must run every job that it accepts; one that throws is tried again with the
 *       next interrupt.
 *   <li>{@code handler} gets what callbacks of the program and the dispatch itself throw, with the thread it happened
 *       in; null, and leaving it out, stands for printing to {@link System#err}. When the server goes away it gets one
 *       {@link IvshmemException} with the code {@link IvshmemException.Code#SERVER_GONE}; without a handler that is a warning in
 *       the log, by {@code System.Logger} or, on Java 8, {@code java.util.logging}. Memory and the peers known so far go on
 *       working.
 *   <li>{@code grace} is how long a server may take to introduce itself, in milliseconds; less than
 *       1000 counts as 1000, and 5000 if it is left out. Connecting takes no longer than the server does.
 * </ul>
 *
 * <h2>The native library</h2>
 * <p>It is loaded by the first call: the file that the system property {@code ivshmem4j.native.path} names, and nothing else
 * then; or one with its name in a folder of {@code java.library.path}; or the one in the jar. That one is unpacked into
 * {@code ivshmem4j/native} under {@code $XDG_CACHE_HOME} or {@code ~/.cache}, where only this user may enter, and compared
 * with the jar's before each use; where that cannot be, into a temporary folder that is gone again at once, with a warning in
 * the log that says why. From Java 24 on the JVM
 * wants {@code --enable-native-access=io.github.alexanderschuetz97.ivshmem4j}, or {@code ALL-UNNAMED} for a class path.
 */
public class Ivshmem {

    /** Nobody needs one, as all methods are static; programs for 1.2 may have classes that extend this one. */
    public Ivshmem() {}

    /**
     * Opens a file that exists, with all of its bytes: one in {@code /dev/shm} on the host, or, inside a Linux virtual
     * machine, the resource of the PCI device, such as
     * {@code /sys/bus/pci/devices/0000:00:0e.0/resource2_wc}. There are no interrupts.
     *
     * @param path path of the file
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened; the code tells the kind
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory plain(final String path) {
        return plain(path, PlainOptions.defaults());
    }

    /**
     * Opens a file, or creates it with the size given. A shorter file grows to that size; of a longer one all is mapped.
     * There are no interrupts.
     *
     * @param path path of the file
     * @param size the least size in bytes; 0 for a file that exists, whatever its size
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened, created or grown; the code tells the kind
     * @throws IllegalArgumentException if the size is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory plain(final String path, final long size) {
        return plain(path, size, null);
    }

    /**
     * As {@link #plain(String, long)}, with an exception handler, which such memory never needs.
     *
     * @param path path of the file
     * @param size the least size in bytes; 0 for a file that exists, whatever its size
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened, created or grown; the code tells the kind
     * @throws IllegalArgumentException if the size is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory plain(final String path, final long size, final UncaughtExceptionHandler handler) {
        if (size < 0) {
            throw new IllegalArgumentException("a size of " + size + " bytes; a size is 0 or more");
        }
        final PlainOptions options = PlainOptions.defaults();
        return plain(path, size == 0 ? options : options.size(size), handler);
    }

    /**
     * Opens or creates a file as options say. There are no interrupts.
     *
     * @param path path of the file
     * @param options size, permissions, pages and more; see there
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened, created or grown, or options exclude each other; the code tells the
     *     kind. Nothing is left behind then
     * @throws IllegalArgumentException if the window is not inside of the file
     * @throws NullPointerException if {@code path} or {@code options} is null
     */
    public static IvshmemMemory plain(final String path, final PlainOptions options) {
        return options.open(path, null);
    }

    /**
     * As {@link #plain(String, PlainOptions)}, with an exception handler, which such memory never needs.
     *
     * @param path path of the file
     * @param options size, permissions, pages and more; see there
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened, created or grown, or options exclude each other; the code tells the
     *     kind. Nothing is left behind then
     * @throws IllegalArgumentException if the window is not inside of the file
     * @throws NullPointerException if {@code path} or {@code options} is null
     */
    public static IvshmemMemory plain(
        final String path, final PlainOptions options, final UncaughtExceptionHandler handler) {
        return options.open(path, handler);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol or takes
     *     longer than the grace; the code tells the kind
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(final String path) {
        return DoorbellOptions.defaults().connect(path, null, null);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @param grace milliseconds, from 0 on
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol or takes
     *     longer than the grace; the code tells the kind
     * @throws IllegalArgumentException if the grace is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(final String path, final long grace) {
        return DoorbellOptions.defaults().grace(grace).connect(path, null, null);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @param grace milliseconds, from 0 on
     * @param executor runs the callbacks; null for threads of the library
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol or takes
     *     longer than the grace; the code tells the kind
     * @throws IllegalArgumentException if the grace is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(final String path, final long grace, final Executor executor) {
        return DoorbellOptions.defaults().grace(grace).connect(path, executor, null);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol or takes
     *     longer than the grace; the code tells the kind
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(final String path, final UncaughtExceptionHandler handler) {
        return DoorbellOptions.defaults().connect(path, null, handler);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @param executor runs the callbacks; null for threads of the library
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol or takes
     *     longer than the grace; the code tells the kind
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(
        final String path, final Executor executor, final UncaughtExceptionHandler handler) {
        return DoorbellOptions.defaults().connect(path, executor, handler);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @param grace milliseconds, from 0 on
     * @param executor runs the callbacks; null for threads of the library
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol or takes
     *     longer than the grace; the code tells the kind
     * @throws IllegalArgumentException if the grace is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(
        final String path, final long grace, final Executor executor, final UncaughtExceptionHandler handler) {
        return DoorbellOptions.defaults().grace(grace).connect(path, executor, handler);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host as options say, for instance to come back to it after it was started
     * anew.
     *
     * @param path path of the Unix socket of the server
     * @param options grace, vectors and more; see there
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol, takes
     *     longer than the grace or gives fewer vectors than demanded; the code tells the kind
     * @throws NullPointerException if {@code path} or {@code options} is null
     */
    public static IvshmemMemory doorbell(final String path, final DoorbellOptions options) {
        return options.connect(path, null, null);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host as options say, for instance to come back to it after it was started
     * anew.
     *
     * @param path path of the Unix socket of the server
     * @param options grace, vectors and more; see there
     * @param executor runs the callbacks; null for threads of the library
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, turns the connection down, breaks the protocol, takes
     *     longer than the grace or gives fewer vectors than demanded; the code tells the kind
     * @throws NullPointerException if {@code path} or {@code options} is null
     */
    public static IvshmemMemory doorbell(
        final String path,
        final DoorbellOptions options,
        final Executor executor,
        final UncaughtExceptionHandler handler) {
        return options.connect(path, executor, handler);
    }

    /**
     * Opens whatever a text names, so that one setting of a program is enough: {@code plain:PATH},
     * {@code plain:PATH?size=64M}, {@code doorbell:PATH}; in a Linux virtual machine {@code pci:0000:00:05.0},
     * {@code pci:size=64M}, {@code pci:0} for the first one, with {@code ?cache=uncached} or {@code ?memory-only} behind
     * it, or {@code auto} for the only device there is.
     *
     * @param target what to open
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened; the code tells the kind
     * @throws IllegalArgumentException if the target does not say what to open
     * @throws UnsupportedOperationException if this platform has no such devices
     * @throws NullPointerException if {@code target} is null
     */
    public static IvshmemMemory open(final String target) {
        return Devices.open(target, null, null);
    }

    /**
     * Opens whatever a text names, so that one setting of a program is enough: {@code plain:PATH},
     * {@code plain:PATH?size=64M}, {@code doorbell:PATH}; in a Linux virtual machine {@code pci:0000:00:05.0},
     * {@code pci:size=64M}, {@code pci:0} for the first one, with {@code ?cache=uncached} or {@code ?memory-only} behind
     * it, or {@code auto} for the only device there is.
     *
     * @param target what to open
     * @param executor runs the callbacks; null for threads of the library
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if it cannot be opened; the code tells the kind
     * @throws IllegalArgumentException if the target does not say what to open
     * @throws UnsupportedOperationException if this platform has no such devices
     * @throws NullPointerException if {@code target} is null
     */
    public static IvshmemMemory open(
        final String target, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.open(target, executor, handler);
    }

    /**
     * The ivshmem devices of this Linux virtual machine, by ascending address. None is touched, and any user may look.
     *
     * @return never null; empty if there are none
     * @throws UnsupportedOperationException on other systems than Linux
     * @throws IvshmemException if the kernel's list of devices cannot be read
     */
    public static Collection<LinuxIvshmemPCIDevice> linuxListPCI() {
        return LinuxIvshmemPCIDevice.list(Devices.linuxListPCI());
    }

    /**
     * Opens a PCI device of this Linux virtual machine.
     *
     * <p>Memory and sending interrupts need root, or the right to use the device's files, and no driver. Receiving them
     * needs an IOMMU and the driver {@code vfio-pci}, for which root runs {@code ivshmem bind} once after each boot; one
     * process at a time receives. Where that is missing the rest works, and
     * {@link IvshmemMemory#supportsInterrupts()} is false. The memory is {@link CacheMode#WRITE_COMBINED};
     * {@link #open(String)} can ask for another mode.
     *
     * <p>What rang before this returns is lost, and whoever rang cannot know: look at the memory once before waiting.
     *
     * @param device one of {@link #linuxListPCI()}
     * @return the memory, open
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code tells the kind, the message
     *     the remedy
     * @throws UnsupportedOperationException on other systems than Linux
     * @throws NullPointerException if {@code device} is null
     */
    public static IvshmemMemory linuxPCI(final LinuxIvshmemPCIDevice device) {
        return Devices.linuxPCI(device, null, null);
    }

    /**
     * Opens a PCI device of this Linux virtual machine; see {@link #linuxPCI(LinuxIvshmemPCIDevice)}.
     *
     * @param device one of {@link #linuxListPCI()}
     * @param executor runs the callbacks; null for threads of the library
     * @return the memory, open
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code tells the kind, the message
     *     the remedy
     * @throws UnsupportedOperationException on other systems than Linux
     * @throws NullPointerException if {@code device} is null
     */
    public static IvshmemMemory linuxPCI(final LinuxIvshmemPCIDevice device, final Executor executor) {
        return Devices.linuxPCI(device, executor, null);
    }

    /**
     * Opens a PCI device of this Linux virtual machine; see {@link #linuxPCI(LinuxIvshmemPCIDevice)}.
     *
     * @param device one of {@link #linuxListPCI()}
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code tells the kind, the message
     *     the remedy
     * @throws UnsupportedOperationException on other systems than Linux
     * @throws NullPointerException if {@code device} is null
     */
    public static IvshmemMemory linuxPCI(
        final LinuxIvshmemPCIDevice device, final UncaughtExceptionHandler handler) {
        return Devices.linuxPCI(device, null, handler);
    }

    /**
     * Opens a PCI device of this Linux virtual machine; see {@link #linuxPCI(LinuxIvshmemPCIDevice)}.
     *
     * @param device one of {@link #linuxListPCI()}
     * @param executor runs the callbacks; null for threads of the library
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code tells the kind, the message
     *     the remedy
     * @throws UnsupportedOperationException on other systems than Linux
     * @throws NullPointerException if {@code device} is null
     */
    public static IvshmemMemory linuxPCI(
        final LinuxIvshmemPCIDevice device, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.linuxPCI(device, executor, handler);
    }

    /**
     * The devices that the Windows driver offers in this virtual machine.
     *
     * @return never null; empty if there are none
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws IvshmemException if the driver does not answer
     */
    public static Collection<WindowsIvshmemPCIDevice> windowsListPCI() {
        return Devices.windowsListPCI();
    }

    /**
     * Opens a device of the Windows driver. One program at a time can have it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @return the memory, open
     * @throws IvshmemException if the device is gone or in use; the code tells the kind
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(final WindowsIvshmemPCIDevice device) {
        return Devices.windowsPCI(device, null, null);
    }

    /**
     * Opens a device of the Windows driver. One program at a time can have it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @param executor runs the callbacks; null for threads of the library
     * @return the memory, open
     * @throws IvshmemException if the device is gone or in use; the code tells the kind
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(final WindowsIvshmemPCIDevice device, final Executor executor) {
        return Devices.windowsPCI(device, executor, null);
    }

    /**
     * Opens a device of the Windows driver. One program at a time can have it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if the device is gone or in use; the code tells the kind
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(
        final WindowsIvshmemPCIDevice device, final UncaughtExceptionHandler handler) {
        return Devices.windowsPCI(device, null, handler);
    }

    /**
     * Opens a device of the Windows driver. One program at a time can have it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @param executor runs the callbacks; null for threads of the library
     * @param handler gets what callbacks throw; null for printing
     * @return the memory, open
     * @throws IvshmemException if the device is gone or in use; the code tells the kind
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(
        final WindowsIvshmemPCIDevice device, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.windowsPCI(device, executor, handler);
    }
}
