//! Connections that were refused and have not read why.
//!
//! A QEMU whose device is plugged in while it runs connects first and reads later. It forgets what it has not read when
//! the connection is closed, and then waits for the version for ever. So a refused connection stays open until it is
//! read.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::socket;
use rustix::event::epoll::{self, EventData, EventFlags};

#[derive(Debug)]
pub(crate) struct TurnedAway {
    by_token: BTreeMap<u64, ForeignSocket>,
    next_token: u64,
}

/// Each of them takes a descriptor, so the oldest must go when there are more.
const MAX: usize = 16;

impl TurnedAway {
    /// Its tokens in an epoll are `first_token` and above.
    pub(crate) fn new(first_token: u64) -> Self {
        Self { by_token: BTreeMap::new(), next_token: first_token }
    }

    /// Keeps a connection to which the refusal was sent.
    pub(crate) fn keep(&mut self, epoll: BorrowedFd<'_>, socket: ForeignSocket) {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if epoll::add(epoll, &socket, EventData::new_u64(self.next_token), flags).is_ok() {
            self.by_token.insert(self.next_token, socket);
            self.next_token += 1;
        }
        if self.by_token.len() > MAX {
            self.close_oldest(epoll);
        }
    }

    /// Something has happened to the connection with this token.
    pub(crate) fn event(&mut self, epoll: BorrowedFd<'_>, token: u64, flags: EventFlags) {
        let Some(socket) = self.by_token.get(&token) else { return };
        // Who sends something is no QEMU that waits for a word.
        let gone = flags.intersects(EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR | EventFlags::IN);
        // While the kernel reports a read, it still holds one byte of what was read.
        if gone || socket::unread(socket).is_ok_and(|bytes| bytes <= 1) {
            let ended = self.by_token.remove(&token);
            forget(epoll, ended);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Gives up the one that has waited longest, for its descriptor.
    pub(crate) fn close_oldest(&mut self, epoll: BorrowedFd<'_>) {
        let oldest = self.by_token.pop_first().map(|(_, socket)| socket);
        forget(epoll, oldest);
    }
}

/// The epoll would know the socket until its last copy is closed, which may be later.
fn forget(epoll: BorrowedFd<'_>, socket: Option<ForeignSocket>) {
    if let Some(socket) = socket {
        let _ = epoll::delete(epoll, &socket);
    }
}
