//! What one connection to a server has given: an id, own vectors, and the peers with theirs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{ConnectionError, DoorbellError, Peer, PeerEvent};
use crate::PeerId;
use crate::sys::linux::eventfd;
use crate::wire::{ClientEvent, MAX_VECTORS};

/// Grows while its connection lives and never shrinks but for peers that leave; replaced as a whole by a reconnect.
#[derive(Debug)]
pub(crate) struct Session {
    own_id: PeerId,
    /// Written once each, in order, by the one thread that receives; read without a lock.
    own: Box<[OnceLock<OwnedFd>]>,
    own_count: AtomicU16,
    peers: RwLock<HashMap<PeerId, Vec<Arc<OwnedFd>>>>,
    /// Readable for ever once this session is not the device's any more: whoever waits on its vectors must look again.
    over: OwnedFd,
}

impl Session {
    pub(crate) fn new(own_id: PeerId) -> io::Result<Self> {
        Ok(Self {
            own_id,
            own: (0..MAX_VECTORS).map(|_| OnceLock::new()).collect(),
            own_count: AtomicU16::new(0),
            peers: RwLock::default(),
            over: eventfd::create()?,
        })
    }

    pub(crate) fn own_id(&self) -> PeerId {
        self.own_id
    }

    pub(crate) fn vectors(&self) -> u16 {
        // Acquire with the Release in `apply`: vectors below the count are there.
        self.own_count.load(Ordering::Acquire)
    }

    /// The descriptor of one own vector.
    pub(crate) fn own(&self, vector: u16) -> Result<BorrowedFd<'_>, DoorbellError> {
        let fd = self.own.get(usize::from(vector)).and_then(OnceLock::get);
        fd.map(AsFd::as_fd).ok_or_else(|| DoorbellError::UnknownVector { vector, vectors: self.vectors() })
    }

    /// The descriptor of a peer's vector.
    pub(crate) fn peer_vector(&self, peer: PeerId, vector: u16) -> Result<Arc<OwnedFd>, DoorbellError> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let fds = peers.get(&peer).ok_or(DoorbellError::UnknownPeer { peer })?;
        fds.get(usize::from(vector)).cloned().ok_or_else(|| {
            let vectors = count(fds);
            DoorbellError::UnknownPeerVector { peer, vector, vectors }
        })
    }

    /// Everyone but this device, by ascending id.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = peers.iter().map(|(id, fds)| Peer { id: *id, vectors: count(fds) }).collect();
        list.sort_by_key(|peer| peer.id);
        list
    }

    pub(crate) fn peer(&self, id: PeerId) -> Option<Peer> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&id).map(|fds| Peer { id, vectors: count(fds) })
    }

    /// Takes over what the server told after its greeting began. `None` for what changes nobody.
    pub(crate) fn apply(&self, event: ClientEvent<OwnedFd>) -> Result<Option<PeerEvent>, ConnectionError> {
        Ok(match event {
            ClientEvent::OwnVector { vector, fd } => {
                check(&fd, self.own_id, vector)?;
                let before = self.own[usize::from(vector)].set(fd);
                debug_assert!(before.is_ok(), "the client counts vectors upwards");
                self.own_count.store(vector + 1, Ordering::Release);
                Some(PeerEvent::OwnVectors(vector + 1))
            }
            ClientEvent::PeerVector { peer, vector, fd } => {
                check(&fd, peer, vector)?;
                let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
                let fds = peers.entry(peer).or_default();
                fds.push(Arc::new(fd));
                let changed = Peer { id: peer, vectors: count(fds) };
                Some(if vector == 0 {
                    PeerEvent::Connected(changed)
                } else {
                    PeerEvent::VectorsChanged(changed)
                })
            }
            ClientEvent::PeerGone(peer) => {
                let left = self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&peer);
                drop(left);
                Some(PeerEvent::Disconnected(peer))
            }
            ClientEvent::Version | ClientEvent::OwnId(_) | ClientEvent::Memory(_) => None,
        })
    }

    /// What to wait for beside a vector.
    pub(crate) fn over(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    /// Wakes everyone who waits on this session's vectors.
    pub(crate) fn end(&self) {
        // A full counter is as readable as one, so there is nothing that can fail here but a closed descriptor.
        let _ = eventfd::ring(self.over());
    }
}

fn count(fds: &[Arc<OwnedFd>]) -> u16 {
    u16::try_from(fds.len()).expect("the client counts at most 256 vectors")
}

fn check(fd: &OwnedFd, peer: PeerId, vector: u16) -> Result<(), ConnectionError> {
    if eventfd::is_eventfd(fd) { Ok(()) } else { Err(ConnectionError::NotAnEventfd { peer, vector }) }
}
