//! A server's report of its state: one document, which `docs/server.md` describes field by field.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// The state of a server at one moment. The status socket sends it as JSON; docs/server.md describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Always 1. A higher number would mean that a field was removed or changed its meaning; new fields do not raise it.
    pub format: u32,
    /// The server's identity and configuration.
    pub server: ServerStatus,
    /// The server's limits.
    pub limits: LimitsStatus,
    /// Clients that are connected.
    pub clients: u32,
    /// Ids that are still available, of 65,536.
    pub free_ids: u32,
    /// Messages sent and not yet read, to clients that have begun to read.
    pub in_flight: u32,
    /// Refused connections that have not read the reason.
    pub turned_away: u32,
    /// Each connected client, sorted by id.
    pub peers: Vec<PeerStatus>,
    /// Events since the start.
    pub counters: CounterStatus,
}

/// A server's identity and configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The version of this crate.
    pub version: &'static str,
    /// The process that serves.
    pub pid: u32,
    /// Seconds since the server began to listen.
    pub uptime_seconds: f64,
    /// The socket for clients.
    #[serde(serialize_with = "lossy")]
    pub socket: PathBuf,
    /// Vectors of each client.
    pub vectors: u16,
    /// The shared memory.
    pub memory: MemoryStatus,
}

/// The shared memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryStatus {
    /// Size in bytes, a power of two.
    pub bytes: u64,
    /// Whether no client can change its size.
    pub sealed: bool,
    /// The path of the object, or of the directory for a file without a name; `None` for sealed memory.
    #[serde(serialize_with = "lossy_or_null")]
    pub path: Option<PathBuf>,
}

/// A server's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitsStatus {
    /// Maximum number of clients at the same time.
    pub clients: u32,
    /// Maximum number of messages sent and not yet read, for all clients together.
    pub in_flight: u32,
    /// Maximum number of connections per user and second; `None` for no limit.
    pub connection_rate: Option<u32>,
    /// Maximum number of open descriptors of the process; `None` for no limit.
    pub descriptors: Option<u64>,
}

/// One client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its id.
    pub id: u16,
    /// The process that connected; `None` when it is in a pid namespace that the server cannot see.
    pub pid: Option<u32>,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
    /// Number of its vectors.
    pub vectors: u16,
    /// Seconds since it connected.
    pub connected_seconds: f64,
    /// The progress of its handshake.
    pub state: PeerState,
    /// Messages sent to it that it has not read: 8 bytes each, with at most one descriptor each.
    pub unread_messages: u32,
    /// Kernel memory in bytes that these messages take.
    pub unread_bytes: u32,
    /// Whether messages wait until it reads: messages to it, or its announcement to the other clients.
    pub behind: bool,
    /// Whether it has been behind for more than five seconds.
    pub stalled: bool,
}

/// The progress of a client's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PeerState {
    /// It has read nothing yet; it was not announced to other clients.
    Connected,
    /// The server is announcing the other clients, and the client's own vectors, to it.
    Greeting,
    /// The server has sent the whole handshake.
    Greeted,
}

/// Events since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CounterStatus {
    /// Connections that became clients.
    pub accepted: u64,
    /// Clients that left.
    pub left: u64,
    /// Refused connections, by the reason's [`name`](ivshmem::wire::Refusal::name). The map contains every reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Messages sent to clients.
    pub messages: u64,
    /// Log lines that this process could not write, because nothing read them or their destination is full.
    pub lost_log_lines: u64,
}

impl Status {
    /// The document as the status socket sends it, with a line feed at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("numbers, words and Unicode");
        text.push('\n');
        text
    }
}

impl CounterStatus {
    /// Number of refused connections for all reasons together.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// A path may contain bytes that are not Unicode, a JSON string may not.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_or_null<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}
