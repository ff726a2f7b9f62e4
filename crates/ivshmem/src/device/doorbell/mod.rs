#[cfg(target_os = "linux")]
mod connect;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Device, OpenError};

/// Options for a connection to a server; see [`doorbell`](crate::doorbell()).
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
    /// Sets the time limit for the whole of [`connect`](Self::connect). The default is 5 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the quiet time: the handshake is complete if the server sends nothing for this long after the memory. The default
    /// is 5 milliseconds. The time is 200 times as long while this device has no vector, or fewer than some peer, or fewer than
    /// before a reconnection, because a busy server may pause during the handshake. For a server that assigns no vectors, use
    /// [`vectors(0)`](Self::vectors).
    ///
    /// The protocol does not mark the end of the handshake. Only the first client, and a client with fewer vectors than some
    /// peer, waits for this time; once a client has as many vectors as its peers, its handshake is complete. Vectors that come
    /// later are not lost; they are added to the device.
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Requires this number of own vectors, 0 to 256: `connect` returns only when this device has as many, and fails if it has
    /// fewer at the timeout.
    pub fn vectors(mut self, expected: u16) -> Self {
        self.vectors = Some(expected);
        self
    }

    /// Makes the device reconnect after a lost connection, as soon as a server with the same memory listens at the same path.
    /// [`PeerEvent::Reconnected`](crate::doorbell::PeerEvent::Reconnected) describes the effects. If the server gives this
    /// device fewer vectors than before, this event or `MemoryReplaced` comes up to 200 [quiet times](Self::quiet) later, as
    /// more vectors may follow. If [`vectors`](Self::vectors) is set, it comes once the device has that many, and not before.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Maps the memory for reading only: every write is an error. Interrupts are not affected. The device keeps a descriptor
    /// of the memory, through which [`Memory::peek`](crate::region::Memory::peek) reads without filling holes.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Connects to the server, and returns as soon as the server's handshake is complete.
    ///
    /// # Errors
    /// [`OpenError`] if no server listens at the path, if the server refuses the connection, does not answer or violates the
    /// protocol, or if its memory cannot be mapped. A failure leaves nothing behind.
    #[cfg(target_os = "linux")]
    pub fn connect(self) -> Result<Device, OpenError> {
        connect::connect(self)
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// Always [`OpenError::Unsupported`] on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn connect(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "a connection to an ivshmem server" })
    }
}
