use std::ffi::{OsStr, OsString};

use super::{DriverError, Windows};
use crate::device::OpenError;
use crate::device::select::select;
use crate::pci::PciAddress;
use crate::region::CacheMode;

/// One ivshmem device of this Windows guest, as it was when it was looked for.
#[derive(Clone, Debug)]
pub struct WindowsDevice {
    pub(super) path: OsString,
    pub(super) size: Result<u64, DriverError>,
    pub(super) location: Option<PciAddress>,
}

/// All ivshmem devices of this Windows guest that have a driver, in the order of their places on the bus, else of their
/// paths. None is mapped.
///
/// # Errors
/// [`OpenError::Driver`] when Windows' list of devices cannot be read; always [`OpenError::Unsupported`] on other
/// systems.
pub fn devices() -> Result<Vec<WindowsDevice>, OpenError> {
    #[cfg(windows)]
    return super::open::devices();
    #[cfg(not(windows))]
    Err(OpenError::Unsupported { what: "looking for devices of a Windows guest" })
}

/// The one ivshmem device of this guest that a selector names, as [`windows`](crate::windows()) explains it.
///
/// # Errors
/// As [`devices`]; [`OpenError::NoDevice`] and [`OpenError::BadSelector`], with the devices there are.
pub fn find(selector: &str) -> Result<WindowsDevice, OpenError> {
    Ok(select(&devices()?, selector)?.clone())
}

impl WindowsDevice {
    /// The whole path of the device's interface, which begins with `\\?\pci#`.
    pub fn path(&self) -> &OsStr {
        &self.path
    }

    /// The size of its memory in bytes; 0 when the driver does not tell, [`memory`](Self::memory) says why.
    pub fn size(&self) -> u64 {
        self.size.clone().unwrap_or(0)
    }

    /// Where the device is on the bus, when Windows tells it; its domain is always 0.
    pub fn location(&self) -> Option<PciAddress> {
        self.location
    }

    /// Whether this process can map the memory now. There is no other way to find out than to map it for a moment: a
    /// program that opens the device in this very moment finds it in use.
    ///
    /// # Errors
    /// What is in the way: [`DriverError::InUse`] when somebody has it, this process too.
    pub fn memory(&self) -> Result<(), DriverError> {
        #[cfg(windows)]
        return super::open::try_map(self);
        #[cfg(not(windows))]
        Err(DriverError::Other { doing: "map the memory", reason: "it needs Windows".to_string() })
    }

    /// Opens this device as it is by default, cached; [`options`](Self::options) has the choice.
    ///
    /// # Errors
    /// As [`Windows::open`].
    pub fn open(&self) -> Result<crate::device::Device, OpenError> {
        self.options().open()
    }

    /// Options to open this device.
    pub fn options(&self) -> Windows {
        Windows { selector: self.path.to_string_lossy().into_owned(), cache: CacheMode::Cached }
    }
}
