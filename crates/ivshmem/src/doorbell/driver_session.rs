//! The session of a device with the Windows driver: its id, and an event for each vector that can be received.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::{DoorbellError, Peer};
use crate::PeerId;
use crate::sys::event::{self, Event, EventRef};
use crate::sys::windows::contract::{self, SLOTS};
use crate::sys::windows::driver::Driver;
use crate::wire::MAX_VECTORS;

/// A session does not change until the device is closed. Closing replaces it with an empty one.
#[derive(Debug)]
pub(crate) struct Session {
    own_id: PeerId,
    driver: Option<Arc<Driver>>,
    own: Vec<Event>,
    /// The number of the device's vectors. Only the first ones have an event.
    all: u16,
}

impl Session {
    /// A session without vectors and without a driver.
    pub(crate) fn new(own_id: PeerId) -> io::Result<Self> {
        Ok(Self { own_id, driver: None, own: Vec::new(), all: 0 })
    }

    /// The session of a device with `all` vectors, of which the first ones have the events in `own`.
    pub(crate) fn by_driver(
        own_id: PeerId,
        driver: Arc<Driver>,
        own: Vec<Event>,
        all: u16,
    ) -> io::Result<Self> {
        Ok(Self { driver: Some(driver), own, all, ..Self::new(own_id)? })
    }

    pub(crate) fn own_id(&self) -> PeerId {
        self.own_id
    }

    pub(crate) fn vectors(&self) -> u16 {
        u16::try_from(self.own.len()).expect("at most 32 events")
    }

    /// The event of one of this device's vectors.
    pub(crate) fn own(&self, vector: u16) -> Result<EventRef<'_>, DoorbellError> {
        match self.own.get(usize::from(vector)) {
            Some(event) => Ok(event::borrow(event)),
            None if vector < self.all => {
                Err(DoorbellError::NoSlot { vector, vectors: self.vectors(), slots: SLOTS })
            }
            None => Err(DoorbellError::UnknownVector { vector, vectors: self.vectors() }),
        }
    }

    /// Raises an interrupt at a peer, or at this device itself. The driver accepts any id and vector, and ignores those that
    /// do not exist.
    pub(crate) fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        if vector >= MAX_VECTORS {
            return Err(DoorbellError::UnknownPeerVector { peer, vector, vectors: MAX_VECTORS });
        }
        let driver = self.driver.as_ref().ok_or(DoorbellError::Closed)?;
        // Make earlier writes visible to the rung peer, in every cache mode.
        fence(Ordering::SeqCst);
        driver.ring(peer.0, vector).map_err(|source| match source.raw_os_error().map(i32::cast_unsigned) {
            Some(code) if is_gone(code) => DoorbellError::DeviceGone { code },
            _ => DoorbellError::Io { doing: "ring a peer", source },
        })
    }

    pub(crate) fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        Err(DoorbellError::PeersUnknown)
    }

    pub(crate) fn peer(&self, _: PeerId) -> Result<Option<Peer>, DoorbellError> {
        Err(DoorbellError::PeersUnknown)
    }

    pub(crate) fn knows_peers(&self) -> bool {
        false
    }
}

/// Whether the error means that the device is gone. For an open device, denied access, an unknown mapping or "not ready"
/// also mean that it has stopped.
fn is_gone(code: u32) -> bool {
    const ACCESS_DENIED: u32 = 5;
    const INVALID_HANDLE: u32 = 6;
    const NOT_READY: u32 = 21;
    contract::is_gone(code) || [ACCESS_DENIED, INVALID_HANDLE, NOT_READY].contains(&code)
}
