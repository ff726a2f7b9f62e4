//! Descriptors in a tokio runtime.
// UNSAFETY: tokio requires that a descriptor stays the same while it is registered.
#![expect(unsafe_code, reason = "registering a descriptor with a tokio runtime")]

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::foreign::ForeignFd;

/// Registers a descriptor with the current tokio runtime, which then reports when it is readable.
///
/// # Panics
/// Outside a runtime that has I/O enabled.
pub fn watch(fd: ForeignFd) -> io::Result<AsyncFd<ForeignFd>> {
    // SAFETY: a ForeignFd returns the same open descriptor for as long as it lives, and no other code closes it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
