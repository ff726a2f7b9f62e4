//! The ways into a region; each composes the rooms before it into one `Device`.

mod error;
mod plain;

use std::fmt;

pub use error::OpenError;
pub use plain::Plain;
pub(crate) use plain::plain;
#[cfg(unix)]
pub(crate) use plain::plain_fd;

use crate::region::Memory;

/// An open region of shared memory.
///
/// Dropping a device leaves the views of its memory usable; [`close`](Self::close) ends them.
#[derive(Debug)]
pub struct Device {
    kind: DeviceKind,
    memory: Memory,
}

/// The ways into a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A file that several programs map, without interrupts.
    Plain,
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
    pub fn close(&self) {
        self.memory.close();
    }

    /// Whether the device, or its memory, was closed.
    pub fn is_closed(&self) -> bool {
        self.memory.is_closed()
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Plain => "plain",
        })
    }
}
