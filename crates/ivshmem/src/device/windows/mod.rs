//! The ivshmem devices of a Windows guest, through the virtio-win driver.

mod error;
mod found;
#[cfg(windows)]
mod open;
mod select;

pub use error::DriverError;
pub use found::{WindowsDevice, devices, find};

use super::{Device, OpenError};
use crate::region::CacheMode;

/// Options for a device of a Windows guest; see [`windows`](crate::windows()).
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
    /// Sets how the processor caches the memory.
    ///
    /// The default is [`Cached`](CacheMode::Cached): the memory is ordinary memory of the host, which the host and its programs
    /// map cached, too. It is fast for reads and writes. [`WriteCombined`](CacheMode::WriteCombined) buffers plain writes until
    /// they are published, see [`Memory`](crate::region::Memory#cache-modes), and reads slowly.
    /// [`Uncached`](CacheMode::Uncached) keeps every access in order and is slow for reads and writes. The hypervisor
    /// determines whether the processor really uses the mode.
    pub fn cache(mut self, mode: CacheMode) -> Self {
        self.cache = mode;
        self
    }

    /// Opens the device: its memory, and its interrupts if it has any.
    ///
    /// Most builds of the driver allow only one process at a time to map a device's memory, and the mapping lives until the last
    /// view is dropped: [`Device::close`] ends all accesses, and dropping the device and all clones of its memory removes
    /// the mapping.
    ///
    /// Rings from before this call are lost: check the memory once.
    ///
    /// # Errors
    /// [`OpenError`] if the selector identifies no device or several, [`OpenError::Driver`] if the driver returns an error.
    #[cfg(windows)]
    pub fn open(self) -> Result<Device, OpenError> {
        open::open(&self)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// Always [`OpenError::Unsupported`] on this system.
    #[cfg(not(windows))]
    pub fn open(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "opening a device of a Windows guest" })
    }
}
