// UNSAFETY: tokio wants a promise that a descriptor stays the same while it is registered.
#![expect(unsafe_code, reason = "registering a descriptor with a tokio runtime")]

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::foreign::ForeignFd;

/// Makes a descriptor's readability known to the tokio runtime that this is called in.
///
/// # Panics
/// Outside a runtime that has I/O enabled.
pub fn watch(fd: ForeignFd) -> io::Result<AsyncFd<ForeignFd>> {
    // SAFETY: a ForeignFd gives the same open descriptor for as long as it lives, and nobody else closes it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
