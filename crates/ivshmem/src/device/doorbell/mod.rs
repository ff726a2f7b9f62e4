#[cfg(target_os = "linux")]
mod connect;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Device, OpenError};

/// Options for a connection to a server: see [`doorbell`](crate::doorbell()).
#[derive(Debug)]
#[must_use = "nothing happens before connect()"]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "servers exist on Linux only"))]
pub struct Doorbell {
    path: PathBuf,
    timeout: Duration,
    quiet: Duration,
    vectors: Option<u16>,
    reconnect: bool,
    read_only: bool,
}

pub(crate) fn doorbell(path: &Path) -> Doorbell {
    Doorbell {
        path: path.to_path_buf(),
        timeout: Duration::from_secs(5),
        quiet: Duration::from_millis(5),
        vectors: None,
        reconnect: false,
        read_only: false,
    }
}

impl Doorbell {
    /// How long everything together may take before a server that keeps silent is given up; 5 seconds without.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a server must keep silent, once the memory has come, for its greeting to be over; 5 milliseconds
    /// without. 200 times as long while this device has no vector at all, or fewer than some peer: a busy server may
    /// pause in the middle, and [`vectors(0)`](Self::vectors) is for one that gives none.
    ///
    /// Nothing in the protocol marks that end. The wait is only for the first client and for one with fewer vectors
    /// than some peer: with as many the greeting is over at once. Vectors that come later are not lost, they are growth.
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Be connected only with so many own vectors, 0 to 256: no sooner and, in time, not without.
    pub fn vectors(mut self, expected: u16) -> Self {
        self.vectors = Some(expected);
        self
    }

    /// Come back when the server has gone and one with the same memory listens at the same path again.
    /// [`PeerEvent::Reconnected`](crate::doorbell::PeerEvent::Reconnected) tells what that means.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Maps the memory for reading only: every write is an error. Interrupts work as ever. The device keeps a descriptor of
    /// the memory, by which [`Memory::peek`](crate::region::Memory::peek) looks without filling holes.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Connects, and returns as soon as the server's greeting is over.
    ///
    /// # Errors
    /// [`OpenError`] when nobody listens at the path, when the server refuses, keeps silent or breaks the protocol, or
    /// when what it gives as memory cannot be mapped. Nothing is left behind.
    #[cfg(target_os = "linux")]
    pub fn connect(self) -> Result<Device, OpenError> {
        connect::connect(self)
    }

    /// Connects.
    ///
    /// # Errors
    /// Always, on this system: [`OpenError::Unsupported`].
    #[cfg(not(target_os = "linux"))]
    pub fn connect(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "a connection to an ivshmem server" })
    }
}
