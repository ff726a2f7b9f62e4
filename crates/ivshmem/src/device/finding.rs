use std::fmt;
use std::path::PathBuf;

use super::address::PciAddress;
use crate::ErrorKind;

/// Why a device of a guest does not support an operation now. The text is the cause and the remedy, in one line.
///
/// docs/linux-guest.md explains each finding under its [`name`](Self::name).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The caller opened the device without interrupts.
    MemoryOnly,
    /// The device has no interrupt hardware.
    NoVectors,
    /// The device has vectors, but a ring of itself does not arrive.
    Silent {
        /// The number of vectors of its hardware.
        vectors: u16,
    },
    /// The machine has no IOMMU. Without one, Linux passes no interrupts of a device to programs.
    NoIommu,
    /// The device is bound to no driver.
    NotBound {
        /// The device.
        address: PciAddress,
    },
    /// The device is bound to a driver that passes no interrupts to programs.
    OtherDriver {
        /// The device.
        address: PciAddress,
        /// The driver's name.
        driver: String,
    },
    /// Another process or device handle receives the interrupts. Only one can at a time.
    HeldElsewhere {
        /// The process that receives them, as far as this process can see.
        holder: String,
        /// The addresses of the other ivshmem devices in its IOMMU group; empty if there are none. A process that receives from
        /// one device of a group holds the whole group.
        others: String,
    },
    /// The user has no permission for a file.
    NotPermitted {
        /// The file.
        path: PathBuf,
    },
    /// The kernel is locked down, which restricts root, too.
    LockedDown {
        /// The file.
        path: PathBuf,
    },
    /// Other devices of the IOMMU group have drivers. All devices of a group, which the IOMMU cannot distinguish, must be bound
    /// to VFIO or to no driver.
    GroupNotViable {
        /// The group's number.
        group: String,
        /// The other devices, with their drivers.
        members: String,
    },
    /// The IOMMU does not remap interrupts, so it does not isolate the interrupts of different devices.
    NoInterruptRemapping,
    /// The kernel has no VFIO for this device.
    VfioMissing {
        /// The missing part.
        what: String,
    },
    /// A driver has claimed the addresses of the device, which Linux then does not map through sysfs.
    Claimed,
    /// VFIO of newer kernels gives the whole device to the process that receives interrupts, and removes all other mappings of
    /// the memory.
    VfioAlone,
    /// The memory of the device has no address.
    NoMemory,
    /// The device's registers do not answer.
    NotAnswering,
    /// Any other failure of the operating system.
    System {
        /// The operation that failed.
        doing: &'static str,
        /// The error text of the system.
        reason: String,
        /// The remedy, if this library knows one.
        remedy: Option<&'static str>,
    },
}

/// The remedy that gives a device its own group. Behind a PCIe-to-PCI bridge, where libvirt places devices by default, the IOMMU
/// cannot distinguish devices.
const APART: &str = "give each ivshmem device a place on the root bus (QEMU: bus=pcie.0; libvirt, in the <shmem>: \
                     <address type='pci' bus='0x00' slot='0x10'/> with a free slot)";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause_and_remedy() {
            (cause, Some(remedy)) => write!(f, "{cause}: {remedy}"),
            (cause, None) => f.write_str(&cause),
        }
    }
}

impl std::error::Error for Finding {}

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

    /// Why the device does not support the operation, in one line without the remedy.
    pub fn cause(&self) -> String {
        self.cause_and_remedy().0
    }

    /// What the user can do, in one line; `None` if that is not known.
    pub fn remedy(&self) -> Option<String> {
        self.cause_and_remedy().1
    }

    fn cause_and_remedy(&self) -> (String, Option<String>) {
        let both = |cause: &str, remedy: &str| (cause.to_string(), Some(remedy.to_string()));
        match self {
            Self::MemoryOnly => ("it was opened for its memory only".to_string(), None),
            Self::NoVectors => both(
                "the device has no interrupt vectors, as it is an ivshmem-plain",
                "give the machine an ivshmem-doorbell and a server to have interrupts",
            ),
            Self::Silent { vectors } => both(
                &format!("the device has {vectors} vectors, and none is rung when it rings itself"),
                "start the server with at least one vector (ivshmem-server -n 1)",
            ),
            Self::NoIommu => both(
                "the machine has no IOMMU that Linux uses",
                "start QEMU with -M q35 -device intel-iommu, and the kernel with intel_iommu=on where it is off",
            ),
            Self::NotBound { address } => {
                both("the device is not bound to vfio-pci", &format!("run ivshmem bind {address} as root"))
            }
            Self::OtherDriver { address, driver } => both(
                &format!("the driver {driver} has the device, which must be vfio-pci"),
                &format!("run ivshmem bind {address} as root"),
            ),
            Self::HeldElsewhere { holder, others } if others.is_empty() => both(
                &format!("{holder} receives the interrupts of the device, which only one process can"),
                "close it there",
            ),
            Self::HeldElsewhere { holder, others } => both(
                &format!(
                    "{holder} receives the interrupts of the device's IOMMU group, which only one process can, and which \
                     has {others} as well"
                ),
                &format!("close it there, or {APART}"),
            ),
            Self::NotPermitted { path } => both(
                &format!("no permission for {}", path.display()),
                "run as root, or give the user access to it",
            ),
            Self::LockedDown { path } => both(
                &format!("the kernel is locked down and lets nobody map {}", path.display()),
                "start it with lockdown=none and without Secure Boot",
            ),
            Self::GroupNotViable { group, members } => both(
                &format!("other devices of IOMMU group {group} have drivers"),
                &format!("bind {members} to vfio-pci, too, or unbind them, or {APART}"),
            ),
            Self::NoInterruptRemapping => both(
                "the IOMMU does not remap interrupts",
                "start QEMU with -device intel-iommu,intremap=on (with KVM also -M q35,kernel-irqchip=split), or write 1 \
                 to /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
            ),
            Self::VfioMissing { what } => both(
                what,
                "load the modules vfio-pci and vfio_iommu_type1 (modprobe -a vfio-pci vfio_iommu_type1)",
            ),
            Self::Claimed => both(
                "a driver has claimed the device's addresses, as VFIO does for a program that maps a BAR through it",
                "end that program, or let it map resource2_wc of sysfs in place of BAR 2",
            ),
            Self::VfioAlone => both(
                "VFIO of this kernel takes the device's memory from every program that has it mapped through sysfs",
                "use a kernel before Linux 7 to be rung (6.1 and 6.12 are proved); memory and ringing others work",
            ),
            Self::NoMemory => both(
                "the machine found no addresses for the device's memory",
                "make it smaller, or give the machine more address bits (-cpu host,host-phys-bits=on) or a firmware that \
                 maps 64-bit devices; a root port that it is plugged into needs pref64-reserve=SIZE, twice the memory's",
            ),
            Self::NotAnswering => both(
                "the device's registers do not answer, because it was reset behind the kernel's back or removed",
                "reboot",
            ),
            Self::System { doing, reason, remedy } => {
                (format!("cannot {doing}: {reason}"), remedy.map(str::to_owned))
            }
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
            Finding::System { doing: "x", reason: text(), remedy: None },
        ]
    }

    #[test]
    fn no_text_of_the_system_is_taken_for_a_remedy() {
        let finding = Finding::System {
            doing: "use VFIO",
            reason: "Input/output error (/dev/vfio/7): x".into(),
            remedy: None,
        };
        assert_eq!(finding.cause(), "cannot use VFIO: Input/output error (/dev/vfio/7): x");
        assert_eq!(finding.remedy(), None);
        let known =
            Finding::System { doing: "be rung", reason: "none is left".into(), remedy: Some("close one") };
        assert_eq!(
            (known.cause(), known.remedy().as_deref()),
            ("cannot be rung: none is left".into(), Some("close one"))
        );
    }

    #[test]
    fn every_finding_has_one_line_and_a_row_in_the_documentation() {
        let documentation = include_str!("../../../../docs/linux-guest.md");
        let troubleshooting = include_str!("../../../../docs/troubleshooting.md");
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
            let text =
                finding.remedy().map_or(finding.cause(), |remedy| format!("{}: {remedy}", finding.cause()));
            assert_eq!(finding.to_string(), text);
        }
    }
}
