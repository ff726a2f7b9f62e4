//! Refused connections that have not read the reason.
//!
//! A QEMU whose device is plugged in at run time connects first (`chardev-add`) and reads later (`device_add`). When the
//! connection ends, it discards what it has not read, and `device_add` then loops for the version indefinitely. So a refused
//! connection stays open until the peer has read.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use ivshmem::sys::linux::epoll::{self, Event};
use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::socket;

#[derive(Debug)]
pub(crate) struct Refused {
    by_token: BTreeMap<u64, ForeignSocket>,
    next_token: u64,
}

/// Each of them takes a descriptor, so the oldest is closed when there are more.
const MAX: usize = 16;

impl Refused {
    /// The epoll reports tokens of `first_token` and above for these connections.
    pub(crate) fn new(first_token: u64) -> Self {
        Self { by_token: BTreeMap::new(), next_token: first_token }
    }

    /// Keeps a connection to which the refusal was sent.
    pub(crate) fn keep(&mut self, epoll: BorrowedFd<'_>, socket: ForeignSocket) {
        if epoll::add_connection(epoll, &socket, self.next_token).is_ok() {
            self.by_token.insert(self.next_token, socket);
            self.next_token += 1;
        }
        if self.by_token.len() > MAX {
            self.close_oldest(epoll);
        }
    }

    /// Handles an event of one of these connections.
    pub(crate) fn event(&mut self, epoll: BorrowedFd<'_>, event: Event) {
        let Some(socket) = self.by_token.get(&event.token) else { return };
        // A peer that sends something is not a QEMU that waits for the reason.
        // While the kernel reports a read, it still counts one byte of the message that was read.
        if event.ended || event.readable || socket::unread(socket).is_ok_and(|bytes| bytes <= 1) {
            let ended = self.by_token.remove(&event.token);
            forget(epoll, ended);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Closes the oldest connection to free its descriptor.
    pub(crate) fn close_oldest(&mut self, epoll: BorrowedFd<'_>) {
        let oldest = self.by_token.pop_first().map(|(_, socket)| socket);
        forget(epoll, oldest);
    }
}

/// Without this, the epoll would keep the socket until its last copy is closed, which may be later.
fn forget(epoll: BorrowedFd<'_>, socket: Option<ForeignSocket>) {
    if let Some(socket) = socket {
        let _ = epoll::remove(epoll, &socket);
    }
}
