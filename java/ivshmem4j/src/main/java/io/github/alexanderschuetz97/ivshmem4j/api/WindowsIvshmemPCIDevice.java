package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.Objects;

/** A device that the Windows driver offers in a virtual machine. Objects are immutable and may be used by any thread. */
public class WindowsIvshmemPCIDevice {

    private final String name;
    private final long size;

    /**
     * Creates the description of a device.
     *
     * @param name path of the device interface; a device with null here cannot be opened
     * @param size size of the memory in bytes
     */
    public WindowsIvshmemPCIDevice(final String name, final long size) {
        this.name = name;
        this.size = size;
    }

    /**
     * The path of the device interface. It contains the numbers of the PCI bus and slot, which can be chosen on QEMU's
     * command line.
     *
     * @return the path as given; never null for a device of {@link Ivshmem#windowsListPCI()}
     */
    public String getName() {
        return name;
    }

    /**
     * The size of the memory.
     *
     * @return bytes
     */
    public long getSize() {
        return size;
    }

    /** Whether both objects have the same class, name and size. */
    @Override
    public boolean equals(final Object other) {
        if (other == null || getClass() != other.getClass()) {
            return false;
        }
        final WindowsIvshmemPCIDevice device = (WindowsIvshmemPCIDevice) other;
        return size == device.size && Objects.equals(name, device.name);
    }

    @Override
    public int hashCode() {
        return 31 * Objects.hashCode(name) + Long.hashCode(size);
    }

    @Override
    public String toString() {
        return "WindowsIvshmemPCIDevice{name='" + name + "', size=" + size + "}";
    }
}
