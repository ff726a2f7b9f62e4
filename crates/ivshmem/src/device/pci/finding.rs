use std::path::PathBuf;

use super::PciAddress;
use crate::ErrorKind;

/// Why a device of a Linux guest does not support an operation now. The text is the cause and the remedy, in one line.
///
/// docs/linux-guest.md explains each finding under its [`name`](Self::name).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The caller opened the device without interrupts.
    #[error("it was opened for its memory only")]
    MemoryOnly,
    /// The device has no interrupt hardware.
    #[error(
        "the device has no interrupt vectors: it is an ivshmem-plain; \
         give the machine an ivshmem-doorbell and a server to have interrupts"
    )]
    NoVectors,
    /// The device has vectors, but a ring of itself does not arrive.
    #[error(
        "the device has {vectors} vectors, and none is rung when it rings itself: \
         start the server with at least one vector (ivshmem-server -n 1)"
    )]
    Silent {
        /// The number of vectors of its hardware.
        vectors: u16,
    },
    /// The machine has no IOMMU. Without one, Linux passes no interrupts of a device to programs.
    #[error(
        "the machine has no IOMMU that Linux uses: start QEMU with -M q35 -device intel-iommu, \
         and the kernel with intel_iommu=on where it is off"
    )]
    NoIommu,
    /// The device is bound to no driver.
    #[error("the device is not bound to vfio-pci: run ivshmem bind {address} as root")]
    NotBound {
        /// The device.
        address: PciAddress,
    },
    /// The device is bound to a driver that passes no interrupts to programs.
    #[error("the driver {driver} has the device, which must be vfio-pci: run ivshmem bind {address} as root")]
    OtherDriver {
        /// The device.
        address: PciAddress,
        /// The driver's name.
        driver: String,
    },
    /// Another process or device handle receives the interrupts. Only one can at a time.
    #[error("{}", held(.holder, .others))]
    HeldElsewhere {
        /// The process that receives them, as far as this process can see.
        holder: String,
        /// The addresses of the other ivshmem devices in its IOMMU group; empty if there are none. A process that receives from
        /// one device of a group holds the whole group.
        others: String,
    },
    /// The user has no permission for a file.
    #[error("no permission for {}: run as root, or give the user access to it", .path.display())]
    NotPermitted {
        /// The file.
        path: PathBuf,
    },
    /// The kernel is locked down, which restricts root, too.
    #[error("the kernel is locked down and lets nobody map {}: start it with lockdown=none and without Secure Boot", .path.display())]
    LockedDown {
        /// The file.
        path: PathBuf,
    },
    /// Other devices of the IOMMU group have drivers. All devices of a group, which the IOMMU cannot distinguish, must be bound
    /// to VFIO or to no driver.
    #[error(
        "other devices of IOMMU group {group} have drivers: bind {members} to vfio-pci, too, or unbind them, or {}",
        APART
    )]
    GroupNotViable {
        /// The group's number.
        group: String,
        /// The other devices, with their drivers.
        members: String,
    },
    /// The IOMMU does not remap interrupts, so it does not isolate the interrupts of different devices.
    #[error(
        "the IOMMU does not remap interrupts: start QEMU with -device intel-iommu,intremap=on (with KVM also \
         -M q35,kernel-irqchip=split), or write 1 to \
         /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
    )]
    NoInterruptRemapping,
    /// The kernel has no VFIO for this device.
    #[error("{what}: load the modules vfio-pci and vfio_iommu_type1 (modprobe -a vfio-pci vfio_iommu_type1)")]
    VfioMissing {
        /// The missing part.
        what: String,
    },
    /// A driver has claimed the addresses of the device, which Linux then does not map through sysfs.
    #[error(
        "a driver has claimed the device's addresses, as VFIO does for a program that maps a BAR through it: \
         end that program, or let it map resource2_wc of sysfs in place of BAR 2"
    )]
    Claimed,
    /// VFIO of newer kernels gives the whole device to the process that receives interrupts, and removes all other mappings of
    /// the memory.
    #[error(
        "VFIO of this kernel takes the device's memory from whoever has it mapped through sysfs: \
         use a kernel before Linux 7 to be rung (6.1 and 6.12 are proved); memory and ringing others work"
    )]
    VfioAlone,
    /// The memory of the device has no address.
    #[error(
        "the machine found no addresses for the device's memory: make it smaller, or give the machine more address bits \
         (-cpu host,host-phys-bits=on) or a firmware that maps 64-bit devices; a root port that it is plugged into needs \
         pref64-reserve=SIZE, twice the memory's"
    )]
    NoMemory,
    /// The device's registers do not answer.
    #[error(
        "the device's registers do not answer, because it was reset behind the kernel's back or removed: reboot"
    )]
    NotAnswering,
    /// Any other failure of the operating system.
    #[error("cannot {doing}: {reason}")]
    System {
        /// The operation that failed.
        doing: &'static str,
        /// The error text of the system.
        reason: String,
    },
}

/// The remedy that gives a device its own group. Behind a PCIe-to-PCI bridge, where libvirt places devices by default, the IOMMU
/// cannot distinguish devices.
const APART: &str = "give each ivshmem device a place on the root bus (QEMU: bus=pcie.0; libvirt, in the <shmem>: \
                     <address type='pci' bus='0x00' slot='0x10'/> with a free slot)";

fn held(holder: &str, others: &str) -> String {
    if others.is_empty() {
        return format!(
            "{holder} receives the interrupts of the device, which only one process can: close it there"
        );
    }
    format!(
        "{holder} receives the interrupts of the device's IOMMU group, which only one process can, and which has {others} \
         as well: close it there, or {APART}"
    )
}

impl Finding {
    /// A stable name, for programs and for documentation.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MemoryOnly => "memory-only",
            Self::NoVectors => "no-vectors",
            Self::Silent { .. } => "silent",
            Self::NoIommu => "no-iommu",
            Self::NotBound { .. } => "not-bound",
            Self::OtherDriver { .. } => "other-driver",
            Self::HeldElsewhere { .. } => "held-elsewhere",
            Self::NotPermitted { .. } => "not-permitted",
            Self::LockedDown { .. } => "locked-down",
            Self::GroupNotViable { .. } => "group-not-viable",
            Self::NoInterruptRemapping => "no-interrupt-remapping",
            Self::VfioMissing { .. } => "vfio-missing",
            Self::VfioAlone => "vfio-alone",
            Self::Claimed => "claimed",
            Self::NoMemory => "no-memory",
            Self::NotAnswering => "not-answering",
            Self::System { .. } => "system",
        }
    }

    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotPermitted { .. } | Self::LockedDown { .. } => ErrorKind::PermissionDenied,
            Self::HeldElsewhere { .. } | Self::GroupNotViable { .. } | Self::Claimed => ErrorKind::Busy,
            Self::NoMemory => ErrorKind::NoSpace,
            Self::NotAnswering | Self::System { .. } => ErrorKind::Io,
            _ => ErrorKind::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One finding of each kind.
    fn all() -> Vec<Finding> {
        let text = || "x".to_string();
        let address = PciAddress::parse("00:05.0").unwrap();
        vec![
            Finding::MemoryOnly,
            Finding::NoVectors,
            Finding::Silent { vectors: 2 },
            Finding::NoIommu,
            Finding::NotBound { address },
            Finding::OtherDriver { address, driver: text() },
            Finding::HeldElsewhere { holder: text(), others: String::new() },
            Finding::HeldElsewhere { holder: text(), others: text() },
            Finding::NotPermitted { path: text().into() },
            Finding::LockedDown { path: text().into() },
            Finding::GroupNotViable { group: text(), members: text() },
            Finding::NoInterruptRemapping,
            Finding::VfioMissing { what: text() },
            Finding::VfioAlone,
            Finding::Claimed,
            Finding::NoMemory,
            Finding::NotAnswering,
            Finding::System { doing: "x", reason: text() },
        ]
    }

    #[test]
    fn every_finding_has_one_line_and_a_row_in_the_documentation() {
        let documentation = include_str!("../../../../../docs/linux-guest.md");
        let troubleshooting = include_str!("../../../../../docs/troubleshooting.md");
        for finding in all() {
            let row = documentation.lines().any(|line| {
                line.starts_with("| `")
                    && line.split('|').nth(1).unwrap_or("").contains(&format!("`{}`", finding.name()))
            });
            assert!(row, "docs/linux-guest.md has no row for {}", finding.name());
            let name = format!("`{}`", finding.name());
            let row = troubleshooting.lines().any(|line| line.starts_with("| ") && line.contains(&name));
            assert!(row, "docs/troubleshooting.md has no row for {name}");
            assert!(!finding.to_string().contains('\n'), "{finding}");
        }
    }
}
