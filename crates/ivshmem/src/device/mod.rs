//! The ways into a region; each composes the rooms before it into one `Device`.

mod doorbell;
mod error;
mod interrupts;
pub(crate) mod pci;
mod plain;
mod select;
mod target;
pub(crate) mod windows;

use std::fmt;

pub use doorbell::Doorbell;
pub(crate) use doorbell::doorbell;
pub use error::OpenError;
pub use pci::Pci;
pub use plain::Plain;
pub(crate) use plain::plain;
#[cfg(unix)]
pub(crate) use plain::plain_fd;
#[cfg(fuzzing)]
pub(crate) use target::Target;
pub(crate) use target::size;
pub(crate) use target::{open, open_read_only};
pub use windows::Windows;

use crate::region::Memory;

/// An open region of shared memory.
///
/// Dropping a device leaves the views of its memory usable; [`close`](Self::close) ends them.
#[derive(Debug)]
pub struct Device {
    kind: DeviceKind,
    memory: Memory,
    doorbell: Option<crate::doorbell::Doorbell>,
    guest: Option<pci::Guest>,
}

/// The ways into a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A file that several programs map, without interrupts.
    Plain,
    /// A server's client on the host, with interrupts.
    Doorbell,
    /// A device of a Linux guest, with interrupts where the guest is prepared for them.
    Pci,
    /// A device of a Windows guest, with interrupts when it has vectors.
    Windows,
}

impl Device {
    /// By which way this region was opened.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// The shared memory. Clone it to keep it longer than the device.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Ends the device: every later access to its memory, through any view, is an error.
    ///
    /// Closing twice is closing once. Callable from any thread at any time.
    ///
    /// Threads and tasks that wait for an interrupt are woken with [`Closed`](crate::ErrorKind::Closed). No callback
    /// begins any more; one that runs in the dispatcher thread has ended when this returns, unless it is the caller.
    pub fn close(&self) {
        self.memory.close();
        if let Some(doorbell) = &self.doorbell {
            doorbell.close();
        }
        if let Some(guest) = &self.guest {
            guest.close();
        }
    }

    /// Whether the device, or its memory, was closed.
    pub fn is_closed(&self) -> bool {
        self.memory.is_closed()
    }
}

impl DeviceKind {
    fn name(self) -> &'static str {
        match self {
            DeviceKind::Plain => "plain",
            DeviceKind::Doorbell => "doorbell",
            DeviceKind::Pci => "pci",
            DeviceKind::Windows => "windows",
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
