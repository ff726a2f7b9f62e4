use super::{Finding, Pci, PciAddress};
use crate::device::OpenError;
use crate::device::select::select;

/// One ivshmem device of this guest, as it was when it was looked for.
#[derive(Clone, Debug)]
pub struct PciDevice {
    pub(super) address: PciAddress,
    pub(super) size: u64,
    pub(super) revision: u8,
    pub(super) vectors: Option<u16>,
    pub(super) driver: Option<String>,
    pub(super) iommu_group: Option<String>,
}

/// All ivshmem devices of this guest, by ascending address. None is touched; any user may look.
///
/// # Errors
/// [`OpenError::Io`] when the kernel's list of devices cannot be read; always [`OpenError::Unsupported`] on other
/// systems than Linux.
pub fn devices() -> Result<Vec<PciDevice>, OpenError> {
    #[cfg(target_os = "linux")]
    return super::function::devices();
    #[cfg(not(target_os = "linux"))]
    Err(OpenError::Unsupported { what: "looking for PCI devices" })
}

/// The one ivshmem device of this guest that a selector names, as [`pci`](crate::pci()) explains it.
///
/// # Errors
/// As [`devices`]; [`OpenError::NoDevice`] and [`OpenError::BadSelector`], with the devices there are.
pub fn find(selector: &str) -> Result<PciDevice, OpenError> {
    Ok(select(&devices()?, selector)?.clone())
}

impl PciDevice {
    /// Where the device is on the bus.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The size of its memory in bytes; 0 when the machine found no addresses for it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The revision of the device: 1 since QEMU 2.6.
    pub fn revision(&self) -> u8 {
        self.revision
    }

    /// How many interrupt vectors the hardware has, 0 to 256. 0 is an ivshmem-plain, with memory only. `None` when
    /// there are some and only root may see how many. The server may use fewer.
    pub fn vectors(&self) -> Option<u16> {
        self.vectors
    }

    /// The driver that has the device, such as `vfio-pci`.
    pub fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    /// The number of its IOMMU group; `None` without an IOMMU.
    pub fn iommu_group(&self) -> Option<&str> {
        self.iommu_group.as_deref()
    }

    /// Options to open this device.
    pub fn open(&self) -> Pci {
        super::pci(&self.address.to_string())
    }
}

#[cfg(target_os = "linux")]
impl PciDevice {
    /// Whether this process can map the memory now.
    ///
    /// # Errors
    /// What is in the way.
    pub fn memory(&self) -> Result<(), Finding> {
        super::function::Function::new(self.address).memory(self.size)
    }

    /// Whether this process can ring others by this device now.
    ///
    /// # Errors
    /// What is in the way.
    pub fn sending(&self) -> Result<(), Finding> {
        super::function::Function::new(self.address).sending(self.vectors)
    }

    /// Whether this process can be rung by this device now, as far as that can be told without trying.
    ///
    /// # Errors
    /// What is in the way.
    pub fn receiving(&self) -> Result<(), Finding> {
        super::receive::possible(self)
    }

    /// Gives the device to the driver vfio-pci, whose module is loaded when it is missing. For root. It lasts until
    /// [`unbind`](Self::unbind) or a reboot. A device that vfio-pci has already is left as it is.
    ///
    /// # Errors
    /// [`OpenError::Guest`] with the finding; the device is as it was then.
    pub fn bind(&self) -> Result<(), OpenError> {
        super::bind::bind(self.address)
    }

    /// Takes the device from vfio-pci, and gives it to the driver that would have it otherwise, usually none. For root.
    ///
    /// # Errors
    /// [`OpenError::Guest`] with the finding; [`Finding::HeldElsewhere`] while a process is rung by the device or by one of
    /// its IOMMU group.
    pub fn unbind(&self) -> Result<(), OpenError> {
        super::bind::unbind(self)
    }
}

/// There is nothing to ask on this system: nobody can make a `PciDevice`.
#[cfg(not(target_os = "linux"))]
impl PciDevice {
    /// Whether this process can map the memory now.
    ///
    /// # Errors
    /// Always, on this system.
    pub fn memory(&self) -> Result<(), Finding> {
        Err(Finding::System { doing: "use a PCI device", reason: "it needs Linux".to_string() })
    }

    /// Whether this process can ring others by this device now.
    ///
    /// # Errors
    /// Always, on this system.
    pub fn sending(&self) -> Result<(), Finding> {
        self.memory()
    }

    /// Whether this process can be rung by this device now.
    ///
    /// # Errors
    /// Always, on this system.
    pub fn receiving(&self) -> Result<(), Finding> {
        self.memory()
    }

    /// Gives the device to the driver vfio-pci.
    ///
    /// # Errors
    /// Always, on this system.
    pub fn bind(&self) -> Result<(), OpenError> {
        Err(OpenError::Unsupported { what: "vfio-pci" })
    }

    /// Takes the device from vfio-pci.
    ///
    /// # Errors
    /// Always, on this system.
    pub fn unbind(&self) -> Result<(), OpenError> {
        Err(OpenError::Unsupported { what: "vfio-pci" })
    }
}
