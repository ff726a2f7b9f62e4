package io.github.alexanderschuetz97.ivshmem4j.api;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A PCI device of a Linux virtual machine, as {@link Ivshmem#linuxListPCI()} found it. Objects are immutable and may be used
 * by any thread; a new list shows the present state.
 *
 * <p>A finding describes an operation that this process cannot do with the device: a name, a colon, the cause and the
 * remedy, in one line, such as {@code not-bound: the device is not bound to vfio-pci: run ivshmem bind 0000:00:05.0 as
 * root}. The names stay the same in later releases.
 */
public final class LinuxIvshmemPCIDevice {

    /** The number of strings that the native library returns for a device. */
    private static final int FACTS = 9;

    private final String name;
    private final long size;
    private final int revision;
    private final int vectors;
    private final String driver;
    private final String iommuGroup;
    private final String memoryFinding;
    private final String sendingFinding;
    private final String receivingFinding;

    /** Takes the strings in the order of the native library. */
    private LinuxIvshmemPCIDevice(final List<String> facts) {
        name = facts.get(0);
        size = Long.parseLong(facts.get(1));
        revision = Integer.parseInt(facts.get(2));
        vectors = Integer.parseInt(facts.get(3));
        driver = facts.get(4);
        iommuGroup = facts.get(5);
        memoryFinding = facts.get(6);
        sendingFinding = facts.get(7);
        receivingFinding = facts.get(8);
    }

    static List<LinuxIvshmemPCIDevice> list(final List<String> facts) {
        final List<LinuxIvshmemPCIDevice> devices = new ArrayList<>();
        for (int at = 0; at < facts.size(); at += FACTS) {
            devices.add(new LinuxIvshmemPCIDevice(facts.subList(at, at + FACTS)));
        }
        return Collections.unmodifiableList(devices);
    }

    /**
     * The address of the device on the PCI bus, which QEMU's command line can choose.
     *
     * @return for example {@code 0000:00:05.0}; never null
     */
    public String getName() {
        return name;
    }

    /**
     * The size of the memory.
     *
     * @return bytes; 0 if the machine assigned no addresses to the memory
     */
    public long getSize() {
        return size;
    }

    /**
     * The revision of the device: 1 since QEMU 2.6.
     *
     * @return 0 to 255
     */
    public int getRevision() {
        return revision;
    }

    /**
     * The number of interrupt vectors of the hardware. The server may use fewer.
     *
     * @return 0 to 256, 0 for a device with memory only; -1 if there are vectors but only root can read their number
     */
    public int getVectors() {
        return vectors;
    }

    /**
     * The driver that is bound to the device.
     *
     * @return for example {@code vfio-pci}; null if no driver is bound
     */
    public String getDriver() {
        return driver;
    }

    /**
     * The IOMMU group of the device: the IOMMU cannot distinguish the devices of a group, so VFIO takes either all of them
     * or none.
     *
     * @return the number of the group; null without an IOMMU
     */
    public String getIommuGroup() {
        return iommuGroup;
    }

    /**
     * Why this process cannot map the memory.
     *
     * @return a finding; null if it can
     */
    public String getMemoryFinding() {
        return memoryFinding;
    }

    /**
     * Why this process cannot send interrupts with the device.
     *
     * @return a finding; null if it can
     */
    public String getSendingFinding() {
        return sendingFinding;
    }

    /**
     * Why this process cannot receive interrupts with the device, as far as can be determined without opening it.
     *
     * @return a finding; null if it can
     */
    public String getReceivingFinding() {
        return receivingFinding;
    }

    /** Whether both objects describe a device at the same address with memory of the same size. */
    @Override
    public boolean equals(final Object other) {
        if (!(other instanceof LinuxIvshmemPCIDevice)) {
            return false;
        }
        final LinuxIvshmemPCIDevice device = (LinuxIvshmemPCIDevice) other;
        return size == device.size && name.equals(device.name);
    }

    @Override
    public int hashCode() {
        return 31 * name.hashCode() + Long.hashCode(size);
    }

    @Override
    public String toString() {
        return "LinuxIvshmemPCIDevice[name=" + name + ", size=" + size + "]";
    }
}
