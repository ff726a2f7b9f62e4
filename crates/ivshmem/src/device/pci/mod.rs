//! The ivshmem devices of a Linux guest. Memory and ringing need no driver; being rung needs vfio-pci.

#[cfg(target_os = "linux")]
mod bind;
mod found;
#[cfg(target_os = "linux")]
mod function;
#[cfg(target_os = "linux")]
mod holder;
#[cfg(target_os = "linux")]
pub(crate) mod layout;
#[cfg(target_os = "linux")]
mod open;
#[cfg(target_os = "linux")]
mod receive;
mod select;
#[cfg(target_os = "linux")]
mod vfio;
#[cfg(target_os = "linux")]
mod way;

pub use found::{PciDevice, devices, find};
#[cfg(target_os = "linux")]
pub(super) use function::cache_mode_of;

use super::{Device, OpenError};
use crate::region::CacheMode;

/// Options for a device of a Linux guest; see [`pci`](crate::pci()).
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open()"]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "devices are opened on Linux only"))]
pub struct Pci {
    selector: String,
    cache: Option<CacheMode>,
    window: Option<(u64, u64)>,
    memory_only: bool,
}

pub(crate) fn pci(selector: &str) -> Pci {
    Pci { selector: selector.to_string(), cache: None, window: None, memory_only: false }
}

impl Pci {
    /// Sets how the processor caches the memory. The first program of the guest that maps the memory determines the mode:
    /// later mappings get this mode instead of theirs, without an error.
    ///
    /// The default is [`WriteCombined`](CacheMode::WriteCombined), which copies fastest: plain writes arrive late and in any
    /// order until they are published, see [`Memory`](crate::region::Memory#cache-modes).
    /// [`Uncached`](CacheMode::Uncached) keeps every write in order and is many times slower to copy. Linux supports no
    /// [`Cached`](CacheMode::Cached) mapping of a device's memory. The hypervisor determines whether the processor really
    /// uses the mode: KVM on Intel and QEMU's own emulation cache the memory as the host does.
    pub fn cache(mut self, mode: CacheMode) -> Self {
        self.cache = Some(mode);
        self
    }

    /// Maps only `len` bytes from `offset` on. Use it for devices larger than the address space, or to exclude the rest of
    /// the memory. `offset` need not be aligned.
    pub fn window(mut self, offset: u64, len: u64) -> Self {
        self.window = Some((offset, len));
        self
    }

    /// Does not use VFIO, so that another process can receive the device's interrupts. This device can still ring others.
    pub fn memory_only(mut self) -> Self {
        self.memory_only = true;
        self
    }

    /// Opens the device: its memory, its register for ringing others, and its interrupts if possible.
    ///
    /// If interrupts are not possible, the rest works, and [`Device::interrupt_finding`] returns the reason. Rings from before
    /// this returns are lost, and their senders get no error: check the memory once before waiting.
    ///
    /// No register contains the number of vectors that the server assigns. Therefore the device rings itself on every vector of
    /// its hardware, and waits for the rings to arrive. If the server assigns no vectors, this takes 10 seconds. If it assigns
    /// fewer than the hardware has, this takes from half a second to 10 seconds, depending on the time that the first ring takes.
    /// With [`memory_only`](Self::memory_only) there is no wait.
    ///
    /// # Errors
    /// [`OpenError`] if the selector identifies no device or several, or if the memory cannot be mapped.
    #[cfg(target_os = "linux")]
    pub fn open(self) -> Result<Device, OpenError> {
        open::open(&self)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// Always [`OpenError::Unsupported`] on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn open(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "opening a PCI device" })
    }
}
