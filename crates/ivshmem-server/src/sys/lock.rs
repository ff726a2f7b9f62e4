//! Locks of open files by flock.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::Errno;

/// An open file with an exclusive lock, which is released on drop.
#[derive(Debug)]
pub(crate) struct Locked(OwnedFd);

impl Locked {
    /// Takes the lock. Retries every millisecond, and fails with EAGAIN if another open file description still holds the lock
    /// at the deadline.
    pub(crate) fn take(file: OwnedFd, deadline: Instant) -> Result<Self, Errno> {
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::AGAIN) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                Err(e) => return Err(e),
            }
        }
    }
}

impl AsFd for Locked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A thread that closes descriptors may have a copy of this descriptor, which would keep the lock.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
