use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::claim::Claim;
use super::session::Session;
use super::shared::Shared;
use super::{DoorbellError, Reader};
use crate::sys::linux::eventfd;

/// Blocks the calling thread on the vector's own eventfd. False when the deadline has passed.
pub(super) fn wait(shared: &Shared, vector: u16, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
    let (reader, mut session) = shared.vector(vector)?;
    reader.claim.take(vector, Reader::Waiters)?;
    let _share = Share(&reader.claim);
    loop {
        let fd = session.own(vector)?;
        let (rung, over) = eventfd::wait_either(fd, session.over(), deadline)
            .map_err(|source| DoorbellError::Io { doing: "wait for an interrupt", source })?;
        if over {
            // Closed, or replaced by a new session whose vector has whatever was pending here.
            session = shared.session()?;
        } else if !rung {
            return Ok(false);
        } else if take(fd)? {
            return Ok(true);
        }
    }
}

/// The descriptor of one vector, for an event loop of the caller's: readable when the vector was rung.
///
/// Nobody else reads it while this exists. After [`PeerEvent::Reconnected`](super::PeerEvent::Reconnected) it is of the
/// old connection: drop it and take a new one. It is not made readable by closing the device.
pub struct RawInterrupt {
    vector: u16,
    session: Arc<Session>,
    shared: Arc<Shared>,
}

impl RawInterrupt {
    pub(super) fn new(shared: &Arc<Shared>, vector: u16) -> Result<Self, DoorbellError> {
        let (reader, session) = shared.vector(vector)?;
        reader.claim.take(vector, Reader::Raw)?;
        Ok(Self { vector, session, shared: Arc::clone(shared) })
    }

    /// Takes what is pending, never blocking whatever other holders of the eventfd did to its flags. Tells whether
    /// anything was.
    ///
    /// # Errors
    /// [`DoorbellError::Io`] when the system refuses to read.
    pub fn take(&self) -> Result<bool, DoorbellError> {
        take(self.as_fd())
    }
}

impl AsFd for RawInterrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.session.own(self.vector).expect("sessions never lose vectors")
    }
}

impl Drop for RawInterrupt {
    fn drop(&mut self) {
        self.shared.claim(self.vector).give_back();
    }
}

impl fmt::Debug for RawInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawInterrupt").field("vector", &self.vector).finish_non_exhaustive()
    }
}

pub(super) fn take(fd: BorrowedFd<'_>) -> Result<bool, DoorbellError> {
    eventfd::take(fd).map_err(|source| DoorbellError::Io { doing: "take an interrupt", source })
}

/// A waiter's share of its vector.
struct Share<'a>(&'a Claim);

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
