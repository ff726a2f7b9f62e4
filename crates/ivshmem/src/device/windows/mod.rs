//! The ivshmem devices of a Windows guest, through virtio-win's driver.

mod error;
mod found;
#[cfg(windows)]
mod open;
mod select;

pub use error::DriverError;
pub use found::{WindowsDevice, devices, find};

use super::{Device, OpenError};
use crate::region::CacheMode;

/// Options for a device of a Windows guest: see [`windows`](crate::windows()).
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open()"]
#[cfg_attr(not(windows), expect(dead_code, reason = "devices are opened on Windows only"))]
pub struct Windows {
    selector: String,
    cache: CacheMode,
}

pub(crate) fn windows(selector: &str) -> Windows {
    Windows { selector: selector.to_string(), cache: CacheMode::Cached }
}

impl Windows {
    /// How the processor caches the memory.
    ///
    /// [`Cached`](CacheMode::Cached) without: the memory is the host's own, which the host and its programs map cached,
    /// so this is what everybody else does, and fast in both directions.
    /// [`WriteCombined`](CacheMode::WriteCombined) gathers plain writes until something publishes them, see
    /// [`Memory`](crate::region::Memory#cache-modes), and reads slowly; [`Uncached`](CacheMode::Uncached) keeps every
    /// access in order and is slow in both directions. Whether the processor does as told is up to the hypervisor.
    pub fn cache(mut self, mode: CacheMode) -> Self {
        self.cache = mode;
        self
    }

    /// Opens the device: its memory, and its interrupts where it has some.
    ///
    /// Most builds of the driver let one process at a time have a device's memory, and it ends with the last view of
    /// it: [`Device::close`] ends every access, and dropping the device and all clones of its memory gives it back.
    ///
    /// Rings from before this are lost: look at the memory once.
    ///
    /// # Errors
    /// [`OpenError`] when the selector names no device or several, [`OpenError::Driver`] when the driver refuses.
    #[cfg(windows)]
    pub fn open(self) -> Result<Device, OpenError> {
        open::open(&self)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// Always, on this system: [`OpenError::Unsupported`].
    #[cfg(not(windows))]
    pub fn open(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "opening a device of a Windows guest" })
    }
}
