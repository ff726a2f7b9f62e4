package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.LinuxIvshmemPCIDevice;
import io.github.alexanderschuetz97.ivshmem4j.api.WindowsIvshmemPCIDevice;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.lang.Thread.UncaughtExceptionHandler;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;

/** Opens devices for {@link io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem}. */
public final class Devices {

    private Devices() {}

    /** Opens or creates a file, with options as {@link NativeLibrary#openPlain} takes them. */
    public static IvshmemMemory plain(
        final String path, final long[] options, final UncaughtExceptionHandler handler) {
        Objects.requireNonNull(path, "path");
        NativeLibrary.load();
        return new DeviceMemory(NativeLibrary.openPlain(path, options), "plain:" + path, null, handler);
    }

    /** Connects to a server, with options as {@link NativeLibrary#connect} takes them. */
    public static IvshmemMemory doorbell(
        final String path, final long[] options, final Executor executor, final UncaughtExceptionHandler handler) {
        Objects.requireNonNull(path, "path");
        NativeLibrary.load();
        return new DeviceMemory(NativeLibrary.connect(path, options), "doorbell:" + path, executor, handler);
    }

    /** Opens the target that a string names. */
    public static IvshmemMemory open(
        final String target, final Executor executor, final UncaughtExceptionHandler handler) {
        Objects.requireNonNull(target, "target");
        NativeLibrary.load();
        return new DeviceMemory(NativeLibrary.open(target), target, executor, handler);
    }

    /** Lists the devices of a Linux guest: for each, the strings that the constructor of its class takes. */
    public static List<String> linuxListPCI() {
        NativeLibrary.load();
        return Arrays.asList(NativeLibrary.pciDevices());
    }

    /** Opens a device of a Linux guest. */
    public static IvshmemMemory linuxPCI(
        final LinuxIvshmemPCIDevice device, final Executor executor, final UncaughtExceptionHandler handler) {
        Objects.requireNonNull(device, "device");
        return open("pci:" + device.getName(), executor, handler);
    }

    /** Lists the devices of a Windows guest. */
    public static Collection<WindowsIvshmemPCIDevice> windowsListPCI() {
        NativeLibrary.load();
        final String[] facts = NativeLibrary.windowsDevices();
        final List<WindowsIvshmemPCIDevice> devices = new ArrayList<>();
        for (int at = 0; at < facts.length; at += 2) {
            devices.add(new WindowsIvshmemPCIDevice(facts[at], Long.parseLong(facts[at + 1])));
        }
        return devices;
    }

    /** Opens a device of a Windows guest. */
    public static IvshmemMemory windowsPCI(
        final WindowsIvshmemPCIDevice device, final Executor executor, final UncaughtExceptionHandler handler) {
        Objects.requireNonNull(device, "device");
        return open("windows:" + Objects.requireNonNull(device.getName(), "name of the device"), executor, handler);
    }
}
