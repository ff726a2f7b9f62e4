use super::ConnectionError;
use crate::PeerId;

/// Another client of the same server: a virtual machine or a program on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The id by which to ring the peer. It is not an identity; see [`PeerId`].
    pub id: PeerId,
    /// The number of its interrupt vectors, which are numbered from 0.
    pub vectors: u16,
}

/// A change of the peers, or of the connection between this device and its server.
///
/// Changes of one peer that arrive together become one event: a new peer with eight vectors is one event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// A peer has connected.
    Connected(Peer),
    /// A peer has more vectors than the last event about it reported.
    VectorsChanged(Peer),
    /// A peer has disconnected, as the server reports. Without a connection to the server, no disconnection is reported.
    Disconnected(PeerId),
    /// This device now has this many vectors.
    OwnVectors(u16),
    /// The connection to the server is lost. The memory and interrupts to and from the peers known so far continue to work.
    ServerGone {
        /// The reason.
        reason: ConnectionError,
    },
    /// The device has connected to a server at the same path with the same memory. Id, peers and vectors are new, without an
    /// event for each peer; waits and callbacks continue. Raw interrupts belong to the old connection: create new ones. Interrupts from the time without a
    /// connection may be lost: check the memory.
    Reconnected {
        /// The new id of this device.
        id: PeerId,
    },
    /// A server at the same path has different memory, so this device does not connect to it. The memory of this device stays
    /// usable; open a new device to use the new memory.
    MemoryReplaced,
    /// A stream of events overflowed because its reader was too slow: read the list of peers again. Callbacks never miss events.
    Missed {
        /// The number of lost events.
        events: u64,
    },
}
