package io.github.alexanderschuetz97.ivshmem4j.api;

import io.github.alexanderschuetz97.ivshmem4j.internal.device.Devices;
import java.lang.Thread.UncaughtExceptionHandler;
import java.util.Collection;
import java.util.concurrent.Executor;

/**
 * Opens shared memory. All methods may be called from any thread.
 *
 * <p>The program closes the devices that it opens. The garbage collector closes memory that is no longer reachable, unless
 * routines or listeners are registered or a future waits for an interrupt.
 *
 * <p>Parameters that several methods have:
 * <ul>
 *   <li>{@code executor} runs the callbacks of the program. With null, daemon threads of the library run them, one for each
 *       vector that has routines or futures. An executor must run every job that it accepts; if it throws, the next
 *       interrupt submits the job again.
 *   <li>{@code handler} receives the exceptions of the callbacks and of the dispatcher, with the thread in which they
 *       occurred. If it is null or omitted, they are printed to {@link System#err}. When the server goes away, the handler
 *       receives one {@link IvshmemException} with the code {@link IvshmemException.Code#SERVER_GONE}; without a handler,
 *       the library logs a warning through {@code System.Logger} or, on Java 8, {@code java.util.logging}. The memory and
 *       interrupts to and from the peers known so far continue to work.
 *   <li>{@code grace} is the timeout of the handshake with the server, in milliseconds. Less than 1000 counts as 1000; the
 *       default is 5000. Connecting ends as soon as the handshake is complete.
 * </ul>
 *
 * <h2>The native library</h2>
 * <p>The first call loads the native library. If the system property {@code ivshmem4j.native.path} is set, the library is
 * the file that it names, and no other. Otherwise it is a file with the library's name in a folder of
 * {@code java.library.path}, or else the library in the jar. The latter is unpacked into {@code ivshmem4j/native} under
 * {@code $XDG_CACHE_HOME} or {@code ~/.cache}, a folder that only this user may enter, and compared with the jar's before
 * each use. Where that is impossible, the library is unpacked into a temporary folder, which is removed again at once, and a
 * warning in the log gives the reason. From Java 24 on, the JVM warns without the option
 * {@code --enable-native-access=io.github.alexanderschuetz97.ivshmem4j}, or {@code --enable-native-access=ALL-UNNAMED} if
 * the jar is on the class path.
 */
public class Ivshmem {

    /**
     * Creates an object that has no use, as all methods are static. The constructor is public for programs for version 1.2
     * with classes that extend this one.
     */
    public Ivshmem() {}

    /**
     * Opens an existing file and maps all of its bytes: on the host, for example, a file in {@code /dev/shm}; inside a Linux
     * virtual machine the resource of the PCI device, such as {@code /sys/bus/pci/devices/0000:00:0e.0/resource2_wc}. The
     * device has no interrupts.
     *
     * @param path path of the file
     * @return the open memory
     * @throws IvshmemException if it cannot be opened; the code gives the kind of failure
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory plain(final String path) {
        return plain(path, PlainOptions.defaults());
    }

    /**
     * Opens a file, or creates it with the given size. A shorter file grows to that size; a longer file is mapped
     * completely. The device has no interrupts.
     *
     * @param path path of the file
     * @param size the minimum size in bytes; with 0 the file must exist and may have any size
     * @return the open memory
     * @throws IvshmemException if it cannot be opened, created or grown; the code gives the kind of failure
     * @throws IllegalArgumentException if the size is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory plain(final String path, final long size) {
        return plain(path, size, null);
    }

    /**
     * As {@link #plain(String, long)}, with an exception handler. A plain device never calls it.
     *
     * @param path path of the file
     * @param size the minimum size in bytes; with 0 the file must exist and may have any size
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if it cannot be opened, created or grown; the code gives the kind of failure
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
     * Opens or creates a file with options. The device has no interrupts.
     *
     * @param path path of the file
     * @param options size, permissions, pages and more
     * @return the open memory
     * @throws IvshmemException if it cannot be opened, created or grown, or options exclude each other; the code gives the
     *     kind of failure. A failed call leaves no file behind
     * @throws IllegalArgumentException if the window is not inside the file
     * @throws NullPointerException if {@code path} or {@code options} is null
     */
    public static IvshmemMemory plain(final String path, final PlainOptions options) {
        return options.open(path, null);
    }

    /**
     * As {@link #plain(String, PlainOptions)}, with an exception handler. A plain device never calls it.
     *
     * @param path path of the file
     * @param options size, permissions, pages and more
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if it cannot be opened, created or grown, or options exclude each other; the code gives the
     *     kind of failure. A failed call leaves no file behind
     * @throws IllegalArgumentException if the window is not inside the file
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
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol or exceeds the
     *     grace; the code gives the kind of failure
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(final String path) {
        return DoorbellOptions.defaults().connect(path, null, null);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host.
     *
     * @param path path of the Unix socket of the server
     * @param grace timeout of the handshake in milliseconds, 0 or more
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol or exceeds the
     *     grace; the code gives the kind of failure
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
     * @param grace timeout of the handshake in milliseconds, 0 or more
     * @param executor runs the callbacks; null for threads of the library
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol or exceeds the
     *     grace; the code gives the kind of failure
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
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol or exceeds the
     *     grace; the code gives the kind of failure
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
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol or exceeds the
     *     grace; the code gives the kind of failure
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
     * @param grace timeout of the handshake in milliseconds, 0 or more
     * @param executor runs the callbacks; null for threads of the library
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol or exceeds the
     *     grace; the code gives the kind of failure
     * @throws IllegalArgumentException if the grace is negative
     * @throws NullPointerException if {@code path} is null
     */
    public static IvshmemMemory doorbell(
        final String path, final long grace, final Executor executor, final UncaughtExceptionHandler handler) {
        return DoorbellOptions.defaults().grace(grace).connect(path, executor, handler);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host with options, for instance to reconnect after a restart of the
     * server.
     *
     * @param path path of the Unix socket of the server
     * @param options handshake timeout, vectors and more
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol, exceeds the
     *     grace or gives fewer vectors than required; the code gives the kind of failure
     * @throws NullPointerException if {@code path} or {@code options} is null
     */
    public static IvshmemMemory doorbell(final String path, final DoorbellOptions options) {
        return options.connect(path, null, null);
    }

    /**
     * Connects to an {@code ivshmem-server} on this host with options, for instance to reconnect after a restart of the
     * server.
     *
     * @param path path of the Unix socket of the server
     * @param options handshake timeout, vectors and more
     * @param executor runs the callbacks; null for threads of the library
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory, with interrupts and peers
     * @throws IvshmemException if the server cannot be reached, refuses the connection, violates the protocol, exceeds the
     *     grace or gives fewer vectors than required; the code gives the kind of failure
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
     * Opens the target that a string names, so that a program needs only one setting: {@code plain:PATH},
     * {@code plain:PATH?size=64M} or {@code doorbell:PATH}; in a Linux virtual machine {@code pci:0000:00:05.0},
     * {@code pci:size=64M} or {@code pci:0} for the first device, or {@code auto} for the only device of the machine.
     *
     * <p>Options follow the first question mark, separated by {@code &}: {@code size=BYTES}, {@code readonly} and
     * {@code prefault} for a plain target, {@code readonly} and {@code reconnect} (after a restart of the server with the same
     * memory) for a doorbell target, {@code cache=wc} or {@code cache=uncached} and {@code memory-only} for a pci target.
     *
     * @param target the target string
     * @return the open memory
     * @throws IvshmemException if it cannot be opened; the code gives the kind of failure
     * @throws IllegalArgumentException if the target string is not valid
     * @throws UnsupportedOperationException if this platform has no such devices
     * @throws NullPointerException if {@code target} is null
     */
    public static IvshmemMemory open(final String target) {
        return Devices.open(target, null, null);
    }

    /**
     * Opens the target that a string names, so that a program needs only one setting: {@code plain:PATH},
     * {@code plain:PATH?size=64M} or {@code doorbell:PATH}; in a Linux virtual machine {@code pci:0000:00:05.0},
     * {@code pci:size=64M} or {@code pci:0} for the first device, or {@code auto} for the only device of the machine.
     *
     * <p>Options follow the first question mark, separated by {@code &}: {@code size=BYTES}, {@code readonly} and
     * {@code prefault} for a plain target, {@code readonly} and {@code reconnect} (after a restart of the server with the same
     * memory) for a doorbell target, {@code cache=wc} or {@code cache=uncached} and {@code memory-only} for a pci target.
     *
     * @param target the target string
     * @param executor runs the callbacks; null for threads of the library
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if it cannot be opened; the code gives the kind of failure
     * @throws IllegalArgumentException if the target string is not valid
     * @throws UnsupportedOperationException if this platform has no such devices
     * @throws NullPointerException if {@code target} is null
     */
    public static IvshmemMemory open(
        final String target, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.open(target, executor, handler);
    }

    /**
     * Lists the ivshmem devices of this Linux virtual machine, by ascending address. Listing changes no device and needs no
     * rights.
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
     * <p>Mapping the memory and sending interrupts need no driver, but root or access rights to the device's files.
     * Receiving interrupts needs an IOMMU and the driver {@code vfio-pci}, for which root runs {@code ivshmem bind} once
     * after each boot; only one process at a time can receive. If this is missing, the rest works, and
     * {@link IvshmemMemory#supportsInterrupts()} returns false. The memory is {@link CacheMode#WRITE_COMBINED};
     * {@link #open(String)} can select another mode.
     *
     * <p>An interrupt sent before this method returns is lost without an error for its sender: read the memory once before
     * waiting.
     *
     * @param device one of {@link #linuxListPCI()}
     * @return the open memory
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code gives the kind of failure, the
     *     message the remedy
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
     * @return the open memory
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code gives the kind of failure, the
     *     message the remedy
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
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code gives the kind of failure, the
     *     message the remedy
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
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if the device is gone or its memory cannot be mapped; the code gives the kind of failure, the
     *     message the remedy
     * @throws UnsupportedOperationException on other systems than Linux
     * @throws NullPointerException if {@code device} is null
     */
    public static IvshmemMemory linuxPCI(
        final LinuxIvshmemPCIDevice device, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.linuxPCI(device, executor, handler);
    }

    /**
     * Lists the devices that the Windows driver offers in this virtual machine.
     *
     * @return never null; empty if there are none
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws IvshmemException if the driver does not respond
     */
    public static Collection<WindowsIvshmemPCIDevice> windowsListPCI() {
        return Devices.windowsListPCI();
    }

    /**
     * Opens a device of the Windows driver. Only one program at a time can open it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @return the open memory
     * @throws IvshmemException if the device is gone or in use; the code gives the kind of failure
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(final WindowsIvshmemPCIDevice device) {
        return Devices.windowsPCI(device, null, null);
    }

    /**
     * Opens a device of the Windows driver. Only one program at a time can open it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @param executor runs the callbacks; null for threads of the library
     * @return the open memory
     * @throws IvshmemException if the device is gone or in use; the code gives the kind of failure
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(final WindowsIvshmemPCIDevice device, final Executor executor) {
        return Devices.windowsPCI(device, executor, null);
    }

    /**
     * Opens a device of the Windows driver. Only one program at a time can open it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if the device is gone or in use; the code gives the kind of failure
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(
        final WindowsIvshmemPCIDevice device, final UncaughtExceptionHandler handler) {
        return Devices.windowsPCI(device, null, handler);
    }

    /**
     * Opens a device of the Windows driver. Only one program at a time can open it.
     *
     * @param device one of {@link #windowsListPCI()}
     * @param executor runs the callbacks; null for threads of the library
     * @param handler receives the exceptions of callbacks; null prints them
     * @return the open memory
     * @throws IvshmemException if the device is gone or in use; the code gives the kind of failure
     * @throws UnsupportedOperationException on other systems than Windows
     * @throws NullPointerException if {@code device} or its name is null
     */
    public static IvshmemMemory windowsPCI(
        final WindowsIvshmemPCIDevice device, final Executor executor, final UncaughtExceptionHandler handler) {
        return Devices.windowsPCI(device, executor, handler);
    }
}
