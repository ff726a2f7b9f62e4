use std::time::Instant;

use super::claim::Claim;
use super::shared::Shared;
use super::{DoorbellError, Reader};
use crate::sys::event::{self, Waited};

/// Blocks the calling thread until the vector is rung. Returns false if the deadline has passed.
pub(super) fn wait(shared: &Shared, vector: u16, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
    let (reader, mut session) = shared.vector(vector)?;
    reader.claim.take(vector, Reader::Waiters)?;
    let _share = Share(&reader.claim);
    loop {
        let waited = event::wait(session.own(vector)?, session.over(), deadline)
            .map_err(|source| DoorbellError::Io { doing: "wait for an interrupt", source })?;
        match waited {
            Waited::Rung => return Ok(true),
            Waited::TimedOut => return Ok(false),
            // The device is closed, or a new session replaces this one; pending interrupts are moved to the new session.
            Waited::Over => session = shared.session()?,
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) fn take(fd: std::os::fd::BorrowedFd<'_>) -> Result<bool, DoorbellError> {
    event::take(fd).map_err(|source| DoorbellError::Io { doing: "take an interrupt", source })
}

/// A waiter's share of its vector.
struct Share<'a>(&'a Claim);

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
