//! An id, own vectors, and the way to everyone else: what one connection to a server has given, or a device's register.

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

/// Grows while its connection lives and never shrinks but for peers that leave; replaced as a whole by a reconnect.
#[derive(Debug)]
pub(crate) struct Session {
    own_id: PeerId,
    /// Written once each, in order, by the one thread that receives; read without a lock.
    own: Box<[OnceLock<ForeignFd>]>,
    own_count: AtomicU16,
    others: Others,
    /// Readable for ever once this session is not the device's any more: whoever waits on its vectors must look again.
    over: OwnedFd,
}

/// The way to everyone else.
#[derive(Debug)]
enum Others {
    /// The peers that the server announced, with an eventfd for each vector. A list of them is made from a snapshot: the
    /// standard lock may pass over a writer for as long as readers keep it nearly all the time, and the writer is the thread
    /// that hears the server.
    Known(RwLock<Arc<Peers>>),
    /// A register that takes any id and vector and tells nothing.
    Register(Register),
}

type Peers = HashMap<PeerId, Vec<Arc<ForeignFd>>>;

/// The register of a device by which a guest rings.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) registers: Registers,
    pub(crate) index: usize,
}

impl Session {
    pub(crate) fn new(own_id: PeerId) -> io::Result<Self> {
        Self::with(own_id, Others::Known(RwLock::default()), Vec::new())
    }

    /// The session of a device that rings by a register, and is rung by `own`, at most 256 eventfds.
    pub(crate) fn by_register(own_id: PeerId, register: Register, own: Vec<OwnedFd>) -> io::Result<Self> {
        Self::with(own_id, Others::Register(register), own)
    }

    fn with(own_id: PeerId, others: Others, own: Vec<OwnedFd>) -> io::Result<Self> {
        let count = u16::try_from(own.len()).expect("a device has at most 256 vectors");
        let mut slots: Box<[OnceLock<ForeignFd>]> = (0..MAX_VECTORS).map(|_| OnceLock::new()).collect();
        for (slot, fd) in slots.iter_mut().zip(own) {
            *slot = OnceLock::from(ForeignFd::from(fd));
        }
        Ok(Self { own_id, own: slots, own_count: AtomicU16::new(count), others, over: eventfd::create()? })
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

    /// Raises an interrupt at a peer, or at this device itself. One that is pending already is a success.
    pub(crate) fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        let rung = match &self.others {
            Others::Register(register) => return register.ring(peer, vector),
            Others::Known(_) if peer == self.own_id => eventfd::ring(self.own(vector)?),
            // The peers' lock is not held while the kernel is called: a hostile peer could make that take long.
            Others::Known(peers) => eventfd::ring(peer_vector(peers, peer, vector)?.as_fd()),
        };
        rung.map_err(|source| DoorbellError::Io { doing: "ring a peer", source })
    }

    /// Everyone but this device, by ascending id.
    ///
    /// # Errors
    /// When nobody told this device who there is.
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

    /// Whether this device is told who there is.
    pub(crate) fn knows_peers(&self) -> bool {
        matches!(self.others, Others::Known(_))
    }

    fn known(&self) -> Result<&RwLock<Arc<Peers>>, DoorbellError> {
        match &self.others {
            Others::Known(peers) => Ok(peers),
            Others::Register(_) => Err(DoorbellError::PeersUnknown),
        }
    }

    /// Takes over what the server told after its greeting began. `None` for what changes nobody.
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

impl Register {
    /// The device takes 16 bits of id and 8 of vector, and ignores what nobody has.
    fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        if vector >= MAX_VECTORS {
            return Err(DoorbellError::UnknownPeerVector { peer, vector, vectors: MAX_VECTORS });
        }
        // What was written before is visible to whoever is rung, in every cache mode.
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
