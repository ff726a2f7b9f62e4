//! Lets one thread wait for many descriptors.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

/// A set of descriptors to wait for.
pub type Poller = OwnedFd;

/// Creates an empty set of descriptors, closed on exec.
pub fn create() -> io::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}

/// Adds `fd` to the set. [`wait`] returns `token` while it is readable: level triggered.
pub fn add(epoll: impl AsFd, fd: impl AsFd, token: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(token), EventFlags::IN)?)
}

/// Adds a connected socket to the set, edge triggered. [`events`] reports, once each, that it can receive something, that the other end has
/// received something, and that the connection has ended.
pub fn add_connection(epoll: impl AsFd, socket: impl AsFd, token: u64) -> io::Result<()> {
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    Ok(epoll::add(epoll, socket, epoll::EventData::new_u64(token), flags)?)
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
    ready.clear();
    ready.extend(fill(epoll, &mut [NONE; BATCH], deadline)?.iter().map(|event| event.data.u64()));
    Ok(())
}

/// An event of a descriptor in the set.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The descriptor's token.
    pub token: u64,
    /// Whether there is something to receive.
    pub readable: bool,
    /// Whether the connection has ended.
    pub ended: bool,
}

/// Like [`wait`], but returns the events, at most `MOST`.
pub fn events<const MOST: usize>(epoll: impl AsFd, deadline: Option<Instant>) -> io::Result<Vec<Event>> {
    let event = |event: &epoll::Event| {
        let (flags, token) = (event.flags, event.data.u64());
        let ended = flags.intersects(EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR);
        Event { token, readable: flags.contains(EventFlags::IN), ended }
    };
    Ok(fill(epoll, &mut [NONE; MOST], deadline)?.iter().map(event).collect())
}

const NONE: epoll::Event = epoll::Event { flags: EventFlags::empty(), data: epoll::EventData::new_u64(0) };

fn fill(
    epoll: impl AsFd,
    events: &mut [epoll::Event],
    deadline: Option<Instant>,
) -> io::Result<&[epoll::Event]> {
    let left = deadline.map(|d| super::eventfd::timespec(d.saturating_duration_since(Instant::now())));
    match epoll::wait(epoll, &mut *events, left.as_ref()) {
        Ok(count) => Ok(&events[..count]),
        Err(Errno::INTR) => Ok(&[]),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::linux::eventfd;

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

    #[test]
    fn a_connection_tells_once_what_it_receives_what_the_other_end_has_received_and_its_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let set = create().unwrap();
        add_connection(&set, &ours, 9).unwrap();
        let events = || {
            let events = events::<2>(&set, Some(Instant::now())).unwrap();
            events.iter().map(|event| (event.token, event.readable, event.ended)).collect::<Vec<_>>()
        };
        assert_eq!(events(), [(9, false, false)], "there is room");
        assert_eq!(events(), []);
        (&ours).write_all(b"x").unwrap();
        assert_eq!(events(), []);
        theirs.read_exact(&mut [0]).unwrap();
        assert_eq!(events(), [(9, false, false)], "it was received");
        theirs.write_all(b"x").unwrap();
        assert_eq!(events(), [(9, true, false)]);
        drop(theirs);
        assert_eq!(events(), [(9, true, true)]);
        assert_eq!(events(), []);
    }
}
