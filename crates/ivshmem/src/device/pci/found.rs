use super::Pci;
use crate::device::select::select;
use crate::device::{Finding, OpenError, PciAddress};

/// An ivshmem device of this guest, in the state in which [`devices`] or [`find`] found it.
#[derive(Clone, Debug)]
pub struct PciDevice {
    pub(super) address: PciAddress,
    pub(super) size: u64,
    pub(super) revision: u8,
    pub(super) vectors: Option<u16>,
    pub(super) driver: Option<String>,
    pub(super) iommu_group: Option<String>,
}

/// All ivshmem devices of this guest, by ascending address. This changes no device, and any user may call it.
///
/// # Errors
/// [`OpenError::Io`] if the kernel's list of devices cannot be read; always [`OpenError::Unsupported`] on systems other
/// than Linux.
pub fn devices() -> Result<Vec<PciDevice>, OpenError> {
    #[cfg(target_os = "linux")]
    return super::function::devices();
    #[cfg(not(target_os = "linux"))]
    Err(OpenError::Unsupported { what: "looking for PCI devices" })
}

/// The one ivshmem device of this guest that a selector identifies; see [`pci`](crate::pci()).
///
/// # Errors
/// The same as [`devices`]; also [`OpenError::NoDevice`] and [`OpenError::BadSelector`], with a list of the devices.
pub fn find(selector: &str) -> Result<PciDevice, OpenError> {
    Ok(select(&devices()?, selector)?.clone())
}

impl PciDevice {
    /// The device's address on the bus.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The size of its memory in bytes; 0 if the machine could not assign addresses to it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The revision of the device: 1 since QEMU 2.6.
    pub fn revision(&self) -> u8 {
        self.revision
    }

    /// The number of interrupt vectors of the hardware, 0 to 256. 0 means an ivshmem-plain, which has only memory. `None` if
    /// there are vectors and only root may read their number. The server may use fewer.
    pub fn vectors(&self) -> Option<u16> {
        self.vectors
    }

    /// The driver to which the device is bound, such as `vfio-pci`; `None` if there is none.
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
    /// The finding that prevents it.
    pub fn memory(&self) -> Result<(), Finding> {
        super::function::Function::new(self.address).memory(self.size)
    }

    /// Whether this process can ring others through this device now.
    ///
    /// # Errors
    /// The finding that prevents it.
    pub fn sending(&self) -> Result<(), Finding> {
        super::function::Function::new(self.address).sending(self.vectors)
    }

    /// Whether this process can receive interrupts of this device now, as far as can be determined without trying.
    ///
    /// # Errors
    /// The finding that prevents it.
    pub fn receiving(&self) -> Result<(), Finding> {
        super::receive::possible(self)
    }

    /// Binds the device to the driver vfio-pci, and loads the driver's module if necessary. Only root can do this. The binding
    /// lasts until [`unbind`](Self::unbind) or a reboot. If the device is already bound to vfio-pci, this changes nothing.
    ///
    /// # Errors
    /// [`OpenError::Guest`] with the finding. The device is then as before.
    pub fn bind(&self) -> Result<(), OpenError> {
        super::bind::bind(self.address)
    }

    /// Unbinds the device from vfio-pci, and binds it to the driver that would otherwise have it, usually none. Only root can do
    /// this.
    ///
    /// # Errors
    /// [`OpenError::Guest`] with the finding; [`Finding::HeldElsewhere`] while a process receives the interrupts of the device
    /// or of another one in its IOMMU group.
    pub fn unbind(&self) -> Result<(), OpenError> {
        super::bind::unbind(self)
    }
}

/// No `PciDevice` can exist on this system.
#[cfg(not(target_os = "linux"))]
impl PciDevice {
    /// Whether this process can map the memory now.
    ///
    /// # Errors
    /// Always on this system.
    pub fn memory(&self) -> Result<(), Finding> {
        Err(Finding::System { doing: "use a PCI device", reason: "it needs Linux".to_string(), remedy: None })
    }

    /// Whether this process can ring others through this device now.
    ///
    /// # Errors
    /// Always on this system.
    pub fn sending(&self) -> Result<(), Finding> {
        self.memory()
    }

    /// Whether this process can receive interrupts of this device now.
    ///
    /// # Errors
    /// Always on this system.
    pub fn receiving(&self) -> Result<(), Finding> {
        self.memory()
    }

    /// Binds the device to the driver vfio-pci.
    ///
    /// # Errors
    /// Always on this system.
    pub fn bind(&self) -> Result<(), OpenError> {
        Err(OpenError::Unsupported { what: "vfio-pci" })
    }

    /// Unbinds the device from vfio-pci.
    ///
    /// # Errors
    /// Always on this system.
    pub fn unbind(&self) -> Result<(), OpenError> {
        Err(OpenError::Unsupported { what: "vfio-pci" })
    }
}
