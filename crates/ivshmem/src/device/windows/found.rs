use std::ffi::{OsStr, OsString};

use super::{DriverError, Windows};
use crate::device::select::select;
use crate::device::{OpenError, PciAddress};
use crate::region::CacheMode;

/// An ivshmem device of this Windows guest, in the state in which [`devices`] or [`find`] found it.
#[derive(Clone, Debug)]
pub struct WindowsDevice {
    pub(super) path: OsString,
    pub(super) size: Result<u64, DriverError>,
    pub(super) location: Option<PciAddress>,
}

/// All ivshmem devices of this Windows guest that have a driver, ordered by their addresses on the bus and then by their
/// paths. This maps no device.
///
/// # Errors
/// [`OpenError::Driver`] if the list of devices of Windows cannot be read; always [`OpenError::Unsupported`] on other
/// systems.
pub fn devices() -> Result<Vec<WindowsDevice>, OpenError> {
    #[cfg(windows)]
    return super::open::devices();
    #[cfg(not(windows))]
    Err(OpenError::Unsupported { what: "looking for devices of a Windows guest" })
}

/// The one ivshmem device of this guest that a selector identifies; see [`windows`](crate::windows()).
///
/// # Errors
/// The same as [`devices`]; also [`OpenError::NoDevice`] and [`OpenError::BadSelector`], with a list of the devices.
pub fn find(selector: &str) -> Result<WindowsDevice, OpenError> {
    Ok(select(&devices()?, selector)?.clone())
}

impl WindowsDevice {
    /// The whole path of the device's interface, which starts with `\\?\pci#`.
    pub fn path(&self) -> &OsStr {
        &self.path
    }

    /// The size of its memory in bytes; 0 if the driver does not report it. [`memory`](Self::memory) then returns the reason.
    pub fn size(&self) -> u64 {
        self.size.clone().unwrap_or(0)
    }

    /// The device's address on the bus, if Windows reports it; the domain is always 0.
    pub fn location(&self) -> Option<PciAddress> {
        self.location
    }

    /// Whether this process can map the memory now. The only way to check is to map the memory briefly: a program that opens
    /// the device at the same moment finds it in use.
    ///
    /// # Errors
    /// The obstacle: [`DriverError::InUse`] if a program has the memory, including this process.
    pub fn memory(&self) -> Result<(), DriverError> {
        #[cfg(windows)]
        return super::open::try_map(self);
        #[cfg(not(windows))]
        Err(DriverError::Other { doing: "map the memory", reason: "it needs Windows".to_string() })
    }

    /// Opens this device with the default cache mode, cached. [`options`](Self::options) can set another one.
    ///
    /// # Errors
    /// The same as [`Windows::open`].
    pub fn open(&self) -> Result<crate::device::Device, OpenError> {
        self.options().open()
    }

    /// Options to open this device.
    pub fn options(&self) -> Windows {
        Windows { selector: self.path.to_string_lossy().into_owned(), cache: CacheMode::Cached }
    }
}
