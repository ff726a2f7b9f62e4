//! The status socket: sends each who connects one document and closes.
//!
//! It has a thread of its own, so that who reads slowly or not at all keeps only others waiting who want to read.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::socket::{self, Sent};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::Error;
use crate::inquiry::Inquirer;
use crate::listener::Listener;

#[derive(Debug)]
pub(crate) struct StatusSocket {
    listener: Listener,
    inquirer: Inquirer,
    /// Given up to answer though no descriptor is left, which is when the status is wanted most.
    reserve: Option<OwnedFd>,
}

/// How long one may take to read it. A document that the socket can hold takes no time.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait before asking a kernel again that had no room.
const RETRY: Duration = Duration::from_millis(100);

impl StatusSocket {
    pub(crate) fn new(listener: Listener, inquirer: Inquirer) -> Result<Self, Error> {
        let reserve = eventfd::create().map_err(Error::io("creating an eventfd"))?;
        Ok(Self { listener, inquirer, reserve: Some(reserve) })
    }

    /// Answers until `end` becomes readable or nobody serves any more.
    pub(crate) fn run(mut self, end: BorrowedFd<'_>) {
        while wait(self.listener.as_fd(), PollFlags::IN, end, None) {
            let accepted = match socket::accept(&self.listener) {
                Err(Errno::MFILE | Errno::NFILE) => {
                    drop(self.reserve.take());
                    socket::accept(&self.listener)
                }
                accepted => accepted,
            };
            match accepted {
                Ok(reader) => {
                    let Some(status) = self.inquirer.ask() else { return };
                    send(reader.as_fd(), status.to_json().as_bytes(), end);
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => {
                    // Its readers see that nothing comes; the server's log tells that descriptors are short.
                    wait(end, PollFlags::IN, end, Some(Instant::now() + RETRY));
                }
            }
            self.reserve = self.reserve.take().or_else(|| eventfd::create().ok());
        }
    }
}

/// As much as its reader takes in time.
fn send(reader: BorrowedFd<'_>, mut rest: &[u8], end: BorrowedFd<'_>) {
    // As much as the kernel allows; then most documents fit at once, read or not.
    let _ = set_socket_send_buffer_size(reader, rest.len());
    let deadline = Instant::now() + PATIENCE;
    while !rest.is_empty() {
        match socket::send(reader, rest, None) {
            Ok(Sent::Bytes(sent)) => rest = &rest[sent..],
            Ok(Sent::WouldBlock) => {
                if !wait(reader, PollFlags::OUT, end, Some(deadline)) {
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Waits until `fd` is ready; false when the end has come or the deadline has passed.
fn wait(fd: BorrowedFd<'_>, ready: PollFlags, end: BorrowedFd<'_>, deadline: Option<Instant>) -> bool {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut fds = [PollFd::new(&fd, ready), PollFd::new(&end, PollFlags::IN)];
        match poll(&mut fds, left.map(eventfd::timespec).as_ref()) {
            Err(Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) if !fds[1].revents().is_empty() => return false,
            Ok(_) => return !fds[0].revents().is_empty(),
        }
    }
}
