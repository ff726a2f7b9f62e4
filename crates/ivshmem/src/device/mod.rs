//! The kinds of devices. Each opens a region and composes the other modules into one `Device`.

mod address;
mod doorbell;
mod error;
mod finding;
mod guest;
mod interrupts;
pub(crate) mod pci;
mod plain;
#[cfg(any(target_os = "linux", windows))]
mod polling;
mod select;
mod target;
pub(crate) mod windows;

use std::fmt;

pub use address::PciAddress;
pub use doorbell::Doorbell;
pub(crate) use doorbell::doorbell;
pub use error::OpenError;
pub use finding::Finding;
pub use pci::Pci;
pub use plain::Plain;
pub(crate) use plain::plain;
#[cfg(unix)]
pub(crate) use plain::plain_fd;
#[doc(hidden)]
pub use target::Target;
#[cfg(fuzzing)]
pub(crate) use target::size;
pub(crate) use target::{open, open_read_only};
pub use windows::Windows;

use crate::region::Memory;

/// An open region of shared memory, with interrupts if the device has them.
///
/// Dropping a device leaves the views of its memory usable; [`close`](Self::close) closes them.
#[derive(Debug)]
pub struct Device {
    kind: DeviceKind,
    memory: Memory,
    doorbell: Option<crate::doorbell::Doorbell>,
    guest: Option<guest::Guest>,
}

/// The kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A file that several programs map. It has no interrupts.
    Plain,
    /// A client of an ivshmem server on the host, with interrupts.
    Doorbell,
    /// A device of a Linux guest, with interrupts if the guest is set up for them.
    Pci,
    /// A device of a Windows guest, with interrupts if it has vectors.
    Windows,
}

impl Device {
    /// The kind of this device.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// The shared memory. Clone it to keep it longer than the device.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Closes the device: every later access to its memory, through any view, is an error.
    ///
    /// Closing a closed device has no effect. Any thread may call this at any time.
    ///
    /// Threads and tasks that wait for an interrupt wake with [`Closed`](crate::ErrorKind::Closed). No further callback starts.
    /// A callback in the dispatcher thread has ended when this returns, unless the callback itself is the caller.
    pub fn close(&self) {
        self.memory.close();
        if let Some(doorbell) = &self.doorbell {
            doorbell.close();
        }
        if let Some(guest) = &self.guest {
            guest.close();
        }
    }

    /// Whether the device or its memory is closed.
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
