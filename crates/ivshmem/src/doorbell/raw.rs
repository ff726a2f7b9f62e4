use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::session::Session;
use super::shared::Shared;
use super::wait::take;
use super::{DoorbellError, Reader};

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
