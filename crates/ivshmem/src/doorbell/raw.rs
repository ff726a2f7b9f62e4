use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::session::Session;
use super::shared::Shared;
use super::wait::take;
use super::{DoorbellError, Reader};

/// The descriptor of one vector, for the caller's own event loop. It is readable after the vector is rung.
///
/// While it exists, the vector has no other reader. After [`PeerEvent::Reconnected`](super::PeerEvent::Reconnected) it
/// belongs to the old connection: drop it and create a new one. Closing the device does not make it readable.
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

    /// Takes a pending interrupt, and returns whether one was pending. It never blocks, even if a peer has changed the flags
    /// of the eventfd.
    ///
    /// # Errors
    /// [`DoorbellError::Io`] if the system cannot read the eventfd.
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
        self.shared.reader(self.vector).claim.give_back();
    }
}

impl fmt::Debug for RawInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawInterrupt").field("vector", &self.vector).finish_non_exhaustive()
    }
}
