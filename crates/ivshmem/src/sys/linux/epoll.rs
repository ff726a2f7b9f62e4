//! Lets one thread wait for many descriptors, level triggered.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll;
use rustix::io::Errno;

/// A set of descriptors to wait for.
pub type Poller = OwnedFd;

/// Creates an empty set of descriptors, closed on exec.
pub fn create() -> io::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}

/// Adds `fd` to the set. [`wait`] returns `token` while it is readable.
pub fn add(epoll: impl AsFd, fd: impl AsFd, token: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
}

/// Removes `fd` from the set. Closing it would not suffice while another process has the same open file description.
pub fn remove(epoll: impl AsFd, fd: impl AsFd) -> io::Result<()> {
    Ok(epoll::delete(epoll, fd)?)
}

/// The maximum number of tokens that one wait returns.
pub const BATCH: usize = 64;

/// Waits until a descriptor is ready or the deadline has passed, and replaces the contents of `ready` with the tokens. A
/// signal also ends the wait.
pub fn wait(epoll: impl AsFd, ready: &mut Vec<u64>, deadline: Option<Instant>) -> io::Result<()> {
    let mut events: [epoll::Event; BATCH] =
        [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; BATCH];
    let left = deadline.map(|d| super::eventfd::timespec(d.saturating_duration_since(Instant::now())));
    ready.clear();
    match epoll::wait(epoll, &mut events[..], left.as_ref()) {
        Ok(count) => ready.extend(events[..count].iter().map(|event| event.data.u64())),
        Err(Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::eventfd;

    #[test]
    fn readable_descriptors_are_told_until_removed() {
        let (set, fd) = (create().unwrap(), eventfd::create().unwrap());
        let mut ready = vec![7];
        add(&set, &fd, 5).unwrap();
        wait(&set, &mut ready, Some(Instant::now())).unwrap();
        assert!(ready.is_empty());
        eventfd::ring(fd.as_fd()).unwrap();
        wait(&set, &mut ready, None).unwrap();
        assert_eq!(ready, [5]);
        remove(&set, &fd).unwrap();
        wait(&set, &mut ready, Some(Instant::now())).unwrap();
        assert!(ready.is_empty());
    }
}
