//! Waiting for a few descriptors.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use ivshmem::sys::linux::eventfd::timespec;
use rustix::event::{PollFd, PollFlags};

use super::Errno;

/// Waits until one of `readable` is readable, one of `writable` has room, or the deadline has passed. Returns which of
/// `readable` are; none after a signal, which also ends the wait.
pub(crate) fn wait<'fd>(
    readable: &[BorrowedFd<'fd>],
    writable: impl IntoIterator<Item = BorrowedFd<'fd>>,
    deadline: Option<Instant>,
) -> Result<Vec<bool>, Errno> {
    let readers = readable.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
    let writers = writable.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT));
    let mut fds: Vec<_> = readers.chain(writers).collect();
    let left = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
    match rustix::event::poll(&mut fds, left.as_ref()) {
        Ok(_) => Ok(fds[..readable.len()].iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; readable.len()]),
        Err(e) => Err(e),
    }
}

/// Whether the other end of a connection has closed it.
pub(crate) fn is_closed(socket: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let now = rustix::event::Timespec::default();
    rustix::event::poll(&mut fds, Some(&now)).is_ok()
        && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
