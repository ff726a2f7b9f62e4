//! The session of a device: its id, its own vectors, and how to ring its peers. It comes from one connection to a server,
//! or from the registers of a guest's device.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering, fence};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{ConnectionError, DoorbellError, Peer, PeerEvent};
use crate::PeerId;
use crate::sys::linux::eventfd;
use crate::sys::linux::foreign::ForeignFd;
use crate::sys::linux::registers::Registers;
use crate::wire::{ClientEvent, MAX_VECTORS};

/// A session grows while its connection lives, and shrinks only by peers that leave. Reconnecting replaces it as a whole.
#[derive(Debug)]
pub(crate) struct Session {
    own_id: PeerId,
    /// The one receiving thread sets each of them once, in order; other threads read them without a lock.
    own: Box<[OnceLock<ForeignFd>]>,
    own_count: AtomicU16,
    others: Others,
    /// A latch, readable once the device no longer uses this session. A task that waits for a vector must then read the
    /// current session again.
    ended: OwnedFd,
}

/// How to ring other devices.
#[derive(Debug)]
enum Others {
    /// The peers that the server announced, with an eventfd for each vector. `peers` copies the list from a snapshot: the
    /// standard lock may starve a writer while readers hold it nearly all the time, and the writer is the thread that receives
    /// from the server.
    Known(RwLock<Arc<Peers>>),
    /// A register that accepts any id and vector and reports nothing.
    Register(Register),
}

type Peers = HashMap<PeerId, Vec<Arc<ForeignFd>>>;

/// The doorbell register of a guest's device.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) registers: Registers,
    pub(crate) index: usize,
}

impl Session {
    pub(crate) fn new(own_id: PeerId) -> io::Result<Self> {
        Self::with(own_id, Others::Known(RwLock::default()), Vec::new())
    }

    /// The session of a device that rings through a register. `own` are the eventfds of its vectors, at most 256.
    pub(crate) fn by_register(own_id: PeerId, register: Register, own: Vec<OwnedFd>) -> io::Result<Self> {
        Self::with(own_id, Others::Register(register), own)
    }

    fn with(own_id: PeerId, others: Others, own: Vec<OwnedFd>) -> io::Result<Self> {
        let count = u16::try_from(own.len()).expect("a device has at most 256 vectors");
        let mut slots: Box<[OnceLock<ForeignFd>]> = (0..MAX_VECTORS).map(|_| OnceLock::new()).collect();
        for (slot, fd) in slots.iter_mut().zip(own) {
            *slot = OnceLock::from(ForeignFd::from(fd));
        }
        Ok(Self { own_id, own: slots, own_count: AtomicU16::new(count), others, ended: eventfd::create()? })
    }

    pub(crate) fn own_id(&self) -> PeerId {
        self.own_id
    }

    pub(crate) fn vectors(&self) -> u16 {
        // Acquire pairs with the Release in `apply`: all vectors below the count are set.
        self.own_count.load(Ordering::Acquire)
    }

    /// The descriptor of one of this device's vectors.
    pub(crate) fn own(&self, vector: u16) -> Result<BorrowedFd<'_>, DoorbellError> {
        let fd = self.own.get(usize::from(vector)).and_then(OnceLock::get);
        fd.map(AsFd::as_fd).ok_or_else(|| DoorbellError::UnknownVector { vector, vectors: self.vectors() })
    }

    /// Raises an interrupt at a peer, or at this device itself. If one is already pending, this is a success.
    pub(crate) fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        let rung = match &self.others {
            Others::Register(register) => return register.ring(peer, vector),
            Others::Known(_) if peer == self.own_id => eventfd::ring(self.own(vector)?),
            // The peers' lock is not held during the system call: a hostile peer could make it block.
            Others::Known(peers) => eventfd::ring(peer_vector(peers, peer, vector)?.as_fd()),
        };
        rung.map_err(|source| DoorbellError::Io { doing: "ring a peer", source })
    }

    /// All peers without this device, by ascending id.
    ///
    /// # Errors
    /// If the device cannot list its peers.
    pub(crate) fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        let peers = Arc::clone(&self.known()?.read().unwrap_or_else(PoisonError::into_inner));
        let mut list: Vec<_> = peers.iter().map(|(id, fds)| Peer { id: *id, vectors: count(fds) }).collect();
        list.sort_by_key(|peer| peer.id);
        Ok(list)
    }

    pub(crate) fn peer(&self, id: PeerId) -> Result<Option<Peer>, DoorbellError> {
        let peers = self.known()?.read().unwrap_or_else(PoisonError::into_inner);
        Ok(peers.get(&id).map(|fds| Peer { id, vectors: count(fds) }))
    }

    /// Whether this device can list its peers.
    pub(crate) fn knows_peers(&self) -> bool {
        matches!(self.others, Others::Known(_))
    }

    fn known(&self) -> Result<&RwLock<Arc<Peers>>, DoorbellError> {
        match &self.others {
            Others::Known(peers) => Ok(peers),
            Others::Register(_) => Err(DoorbellError::PeersUnknown),
        }
    }

    /// Applies an event from the server. Returns the change of the peers or of the own vectors, or `None` if there is none.
    pub(crate) fn apply(&self, event: ClientEvent<ForeignFd>) -> Result<Option<PeerEvent>, ConnectionError> {
        Ok(match event {
            ClientEvent::OwnVector { vector, fd } => {
                let fd = eventfd_of(fd)?;
                let before = self.own[usize::from(vector)].set(fd);
                debug_assert!(before.is_ok(), "the client counts vectors upwards");
                self.own_count.store(vector + 1, Ordering::Release);
                Some(PeerEvent::OwnVectors(vector + 1))
            }
            ClientEvent::PeerVector { peer, vector, fd } => {
                let fd = eventfd_of(fd)?;
                let Others::Known(peers) = &self.others else { return Ok(None) };
                let mut peers = peers.write().unwrap_or_else(PoisonError::into_inner);
                let fds = Arc::make_mut(&mut peers).entry(peer).or_default();
                fds.push(Arc::new(fd));
                let changed = Peer { id: peer, vectors: count(fds) };
                Some(if vector == 0 {
                    PeerEvent::Connected(changed)
                } else {
                    PeerEvent::VectorsChanged(changed)
                })
            }
            ClientEvent::PeerGone(peer) => {
                let Others::Known(peers) = &self.others else { return Ok(None) };
                let mut peers = peers.write().unwrap_or_else(PoisonError::into_inner);
                let left = Arc::make_mut(&mut peers).remove(&peer);
                drop(peers);
                drop(left);
                Some(PeerEvent::Disconnected(peer))
            }
            ClientEvent::Version
            | ClientEvent::OwnId(_)
            | ClientEvent::Memory(_)
            | ClientEvent::UnannouncedGone(_) => None,
        })
    }

    /// The latch that ends waits of tasks for vectors of this session.
    pub(crate) fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Wakes all tasks that wait for vectors of this session.
    pub(crate) fn end(&self) {
        // A full counter is readable as well, so this fails only for a closed descriptor.
        let _ = eventfd::ring(self.ended());
    }
}

impl Register {
    /// The device takes 16 bits of id and 8 bits of vector, and ignores ids and vectors that do not exist.
    fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        if vector >= MAX_VECTORS {
            return Err(DoorbellError::UnknownPeerVector { peer, vector, vectors: MAX_VECTORS });
        }
        // Make earlier writes visible to the rung peer, in every cache mode.
        fence(Ordering::SeqCst);
        self.registers.write(self.index, u32::from(peer.0) << 16 | u32::from(vector));
        Ok(())
    }
}

/// The descriptor of a peer's vector.
fn peer_vector(
    peers: &RwLock<Arc<Peers>>,
    peer: PeerId,
    vector: u16,
) -> Result<Arc<ForeignFd>, DoorbellError> {
    let peers = peers.read().unwrap_or_else(PoisonError::into_inner);
    let fds = peers.get(&peer).ok_or(DoorbellError::UnknownPeer { peer })?;
    fds.get(usize::from(vector)).cloned().ok_or_else(|| {
        let vectors = count(fds);
        DoorbellError::UnknownPeerVector { peer, vector, vectors }
    })
}

fn count(fds: &[Arc<ForeignFd>]) -> u16 {
    u16::try_from(fds.len()).expect("the client counts at most 256 vectors")
}

fn eventfd_of(fd: ForeignFd) -> Result<ForeignFd, ConnectionError> {
    if fd.is_eventfd() { Ok(fd) } else { Err(ConnectionError::NotAnEventfd) }
}
