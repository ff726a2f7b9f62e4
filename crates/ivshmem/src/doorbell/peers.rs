use super::ConnectionError;
use crate::PeerId;

/// Another client of the same server: a virtual machine or a program on some host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// What to ring it by. Not an identity; see [`PeerId`].
    pub id: PeerId,
    /// How many interrupt vectors it has, counted from 0.
    pub vectors: u16,
}

/// What changed among the peers, or between this device and its server.
///
/// Changes that arrive together are told together: a peer with eight vectors is one event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// A peer has come.
    Connected(Peer),
    /// A peer has more vectors than was told before.
    VectorsChanged(Peer),
    /// A peer has left. The server says so, therefore it is certain.
    Disconnected(PeerId),
    /// This device has this many vectors now.
    OwnVectors(u16),
    /// The connection to the server has ended. Memory and the peers known so far go on working.
    ServerGone {
        /// How it ended.
        reason: ConnectionError,
    },
    /// A server at the same path offers the same memory: id, peers and vectors are new, waits and callbacks went over.
    /// Raw interrupts are of the old connection: take new ones. Interrupts of the meantime may be lost: look at memory.
    Reconnected {
        /// This device's id from now on.
        id: PeerId,
    },
    /// A server at the same path offers other memory, so this device does not connect to it. Its memory stays usable;
    /// open a new device to use the other.
    MemoryReplaced,
    /// More happened than is kept for a slow reader of a stream: read the peers anew. Callbacks never miss any.
    Missed {
        /// How many events are lost.
        events: u64,
    },
}
