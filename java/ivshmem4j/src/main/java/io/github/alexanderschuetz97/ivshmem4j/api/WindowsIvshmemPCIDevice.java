package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.Objects;

/** A device that the Windows driver offers in a virtual machine. Never changes, so any thread may use it. */
public final class WindowsIvshmemPCIDevice {

    private final String name;
    private final long size;

    /**
     * Describes a device.
     *
     * @param name path of the device interface; not null
     * @param size size of the memory in bytes
     */
    public WindowsIvshmemPCIDevice(final String name, final long size) {
        this.name = Objects.requireNonNull(name, "name");
        this.size = size;
    }

    /**
     * The path of the device interface. It contains the numbers of the PCI bus and slot, which QEMU's command line can
     * choose.
     *
     * @return never null
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

    @Override
    public boolean equals(final Object other) {
        if (!(other instanceof WindowsIvshmemPCIDevice)) {
            return false;
        }
        final WindowsIvshmemPCIDevice device = (WindowsIvshmemPCIDevice) other;
        return size == device.size && name.equals(device.name);
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, size);
    }

    @Override
    public String toString() {
        return "WindowsIvshmemPCIDevice[name=" + name + ", size=" + size + "]";
    }
}
