//! The ivshmem devices of a Linux guest: memory and ringing without any driver, being rung through vfio-pci.

mod address;
#[cfg(target_os = "linux")]
mod bind;
mod finding;
mod found;
#[cfg(target_os = "linux")]
mod function;
#[cfg(target_os = "linux")]
mod holder;
#[cfg(target_os = "linux")]
pub(crate) mod layout;
#[cfg(target_os = "linux")]
mod open;
mod polling;
#[cfg(target_os = "linux")]
mod receive;
mod select;
#[cfg(target_os = "linux")]
mod vfio;
#[cfg(target_os = "linux")]
mod way;

pub use address::PciAddress;
pub use finding::Finding;
pub use found::{PciDevice, devices, find};
#[cfg(target_os = "linux")]
pub(super) use function::cache_mode_of;
pub(crate) use polling::Polling;

use super::{Device, OpenError};
use crate::region::CacheMode;

/// Options for a device of a Linux guest: see [`pci`](crate::pci()).
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
    /// How the processor caches the memory. Whoever maps it first decides for all of this guest: others get that mode in
    /// place of theirs, and are not told.
    ///
    /// [`WriteCombined`](CacheMode::WriteCombined) without, for it copies fastest: plain writes arrive late and in any
    /// order until something publishes them, see [`Memory`](crate::region::Memory#cache-modes).
    /// [`Uncached`](CacheMode::Uncached) keeps every write in order and is many times slower to copy. Linux has no
    /// [`Cached`](CacheMode::Cached) mapping of a device's memory. Whether the processor really does as told is up to
    /// the hypervisor: KVM on Intel and QEMU's own emulation cache the memory as the host does.
    pub fn cache(mut self, mode: CacheMode) -> Self {
        self.cache = Some(mode);
        self
    }

    /// Maps only `len` bytes from `offset` on: for devices larger than the address space, or to keep the rest away.
    /// Any offset will do.
    pub fn window(mut self, offset: u64, len: u64) -> Self {
        self.window = Some((offset, len));
        self
    }

    /// Leaves VFIO alone, so that another process can be rung by this device. Ringing others works.
    pub fn memory_only(mut self) -> Self {
        self.memory_only = true;
        self
    }

    /// Opens the device: its memory, its register for ringing others, and its interrupts where that is possible.
    ///
    /// Without interrupts the rest works: [`Device::interrupt_finding`] says why there are none. Rings from before this
    /// returns are lost, and whoever rang cannot know: look at the memory once before waiting.
    ///
    /// No register tells how many vectors the server gives, so the device rings itself on each that its hardware has, and what
    /// does not come back is waited for: 10 seconds when the server gives none, and from half a second to 10, by the time that
    /// the first one took, when it gives fewer than the hardware has. [`memory_only`](Self::memory_only) waits for nothing.
    ///
    /// # Errors
    /// [`OpenError`] when the selector names no device or several, or when the memory cannot be mapped.
    #[cfg(target_os = "linux")]
    pub fn open(self) -> Result<Device, OpenError> {
        open::open(&self)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// Always, on this system: [`OpenError::Unsupported`].
    #[cfg(not(target_os = "linux"))]
    pub fn open(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "opening a PCI device" })
    }
}

/// What an open device of a guest has beside memory and doorbell.
#[derive(Debug)]
pub(super) struct Guest {
    /// Why it cannot ring.
    pub(super) sending: Result<(), Finding>,
    /// Why it cannot be rung.
    pub(super) receiving: Result<(), Finding>,
    pub(super) polling: Polling,
    #[cfg(target_os = "linux")]
    receiver: std::sync::Mutex<Option<receive::Receiver>>,
}

impl Guest {
    /// Of a device whose interrupts end with its doorbell.
    #[cfg(windows)]
    pub(super) fn new(sending: Result<(), Finding>, receiving: Result<(), Finding>) -> Self {
        Self { sending, receiving, polling: Polling::new() }
    }

    /// Lets another process receive the device's interrupts.
    pub(super) fn close(&self) {
        #[cfg(target_os = "linux")]
        drop(self.receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}
