//! What a server tells about itself: one document, which `docs/server.md` describes field by field.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// How a server is doing, at one moment. As JSON it is what the status socket sends; docs/server.md describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// 1. A higher number would mean that a field was taken away or changed its meaning; new fields do not raise it.
    pub format: u32,
    /// What the server is.
    pub server: ServerStatus,
    /// What it must stay within.
    pub limits: LimitsStatus,
    /// Clients that are connected.
    pub clients: u32,
    /// Ids that can still be given out, of 65,536.
    pub free_ids: u32,
    /// Messages sent that clients have not read yet, of those that have begun to read.
    pub in_flight: u32,
    /// Connections that were refused and have not read why.
    pub turned_away: u32,
    /// Each client that is connected, by id.
    pub peers: Vec<PeerStatus>,
    /// What has happened since the start.
    pub counters: CounterStatus,
}

/// What a server is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The version of this crate.
    pub version: &'static str,
    /// The process that serves.
    pub pid: u32,
    /// Seconds since it began to listen.
    pub uptime_seconds: f64,
    /// The socket for clients.
    #[serde(serialize_with = "lossy")]
    pub socket: PathBuf,
    /// Vectors of each client.
    pub vectors: u16,
    /// What it shares.
    pub memory: MemoryStatus,
}

/// The shared memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryStatus {
    /// Bytes, a power of two.
    pub bytes: u64,
    /// Whether no client can change its size.
    pub sealed: bool,
    /// The object, or for a file without a name the directory; `None` for sealed memory.
    #[serde(serialize_with = "lossy_or_null")]
    pub path: Option<PathBuf>,
}

/// What a server must stay within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitsStatus {
    /// Clients at the same time.
    pub clients: u32,
    /// Messages sent and not yet read, all clients together.
    pub in_flight: u32,
    /// Connections of one user in a second; `None` for no limit.
    pub connection_rate: Option<u32>,
    /// Descriptors that the process may have open; `None` for no limit.
    pub descriptors: Option<u64>,
}

/// One client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its id.
    pub id: u16,
    /// The process that connected; `None` when it lives in a pid namespace that the server cannot see into.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Vectors that it was given.
    pub vectors: u16,
    /// Seconds since it connected.
    pub connected_seconds: f64,
    /// How far it is.
    pub state: PeerState,
    /// Messages sent to it that it has not read: 8 bytes each, and at most one descriptor.
    pub unread_messages: u32,
    /// Bytes of kernel memory that these take.
    pub unread_bytes: u32,
    /// Whether more waits for its reading: messages for it, or its own announcement to the others.
    pub behind: bool,
    /// Whether it has been behind for more than five seconds.
    pub stalled: bool,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PeerState {
    /// It has read nothing yet; nobody was told of it.
    Connected,
    /// It is being told of the others and of itself.
    Greeting,
    /// It was sent its whole greeting.
    Greeted,
}

/// What has happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CounterStatus {
    /// Connections that became clients.
    pub accepted: u64,
    /// Clients that left.
    pub left: u64,
    /// Connections turned down, by the reason's [`name`](ivshmem::wire::Refusal::name). Every reason is there.
    pub refused: BTreeMap<&'static str, u64>,
    /// Messages sent to clients.
    pub messages: u64,
    /// Lines of the log that this process could not write: nobody read them, or where they go is full.
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
    /// Connections turned down for whatever reason.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// A path may have bytes that are not Unicode, a string in JSON may not.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_or_null<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}
