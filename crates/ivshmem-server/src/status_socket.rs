//! The status socket: sends one document to each process that connects, and closes the connection.
//!
//! It has a separate thread, and no reader waits for another one that does not read: the thread serves all of them at once
//! and skips those that have gone. If there are too many readers, the user who has most of them loses one.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::socket::{self, Sent};
use ivshmem::sys::linux::{eventfd, peer};

use crate::error::Error;
use crate::listener::Listener;
use crate::status_query::StatusQuery;
use crate::sys::socket::set_send_buffer;
use crate::sys::{Errno, poll};

#[derive(Debug)]
pub(crate) struct StatusSocket {
    listener: Listener,
    query: StatusQuery,
    readers: Vec<Reader>,
    /// A spare descriptor, closed to answer when no other descriptor is left, because the status is needed most then.
    reserve: Option<OwnedFd>,
    /// No connection can be accepted before this time.
    paused: Option<Instant>,
}

/// A reader that has not received the whole document yet.
#[derive(Debug)]
struct Reader {
    socket: ForeignSocket,
    uid: u32,
    document: Arc<[u8]>,
    sent: usize,
    deadline: Instant,
}

/// How long a reader may take. A document that fits into the socket's buffer takes no time.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before repeating a call that the kernel refused for lack of resources.
const RETRY: Duration = Duration::from_millis(100);
/// Maximum number of readers at the same time, and of new ones that share one answer.
const MAX_READERS: usize = 64;
/// Connections accepted before readers are served; most may be gone already.
const MAX_ACCEPTS: usize = 4096;

impl StatusSocket {
    pub(crate) fn new(listener: Listener, query: StatusQuery) -> Result<Self, Error> {
        let reserve = eventfd::create().map_err(Error::io("creating an eventfd"))?;
        Ok(Self { listener, query, readers: Vec::new(), reserve: Some(reserve), paused: None })
    }

    /// Answers until `end` becomes readable or the server no longer serves.
    pub(crate) fn run(mut self, end: BorrowedFd<'_>) {
        while let Some(somebody_connects) = self.wait(end) {
            if somebody_connects {
                let newcomers = self.accept();
                if !newcomers.is_empty() {
                    let Some(status) = self.query.ask() else { return };
                    let document: Arc<[u8]> = status.to_json().into_bytes().into();
                    self.readers.extend(newcomers.into_iter().map(|socket| Reader::new(socket, &document)));
                }
            }
            let now = Instant::now();
            self.readers.retain_mut(|reader| reader.send() && now < reader.deadline);
            self.make_room();
            self.reserve = self.reserve.take().or_else(|| eventfd::create().ok());
        }
    }

    /// Waits for an event and returns whether a connection waits; `None` at the end.
    fn wait(&mut self, end: BorrowedFd<'_>) -> Option<bool> {
        let now = Instant::now();
        self.paused = self.paused.filter(|until| now < *until);
        let next = self.readers.iter().map(|reader| reader.deadline).chain(self.paused).min();
        let sources = [end, self.listener.as_fd()];
        let sources = if self.paused.is_none() { &sources[..] } else { &sources[..1] };
        let readers = self.readers.iter().map(|reader| reader.socket.as_fd());
        let ready = poll::wait(sources, readers, next).ok()?;
        (!ready[0]).then_some(ready.get(1) == Some(&true))
    }

    /// Accepts connections, without those that are already closed.
    fn accept(&mut self) -> Vec<ForeignSocket> {
        let mut newcomers = Vec::new();
        for _ in 0..MAX_ACCEPTS {
            if newcomers.len() == MAX_READERS {
                break;
            }
            match socket::accept(&self.listener) {
                Ok(socket) if poll::is_closed(&socket) => {}
                Ok(socket) => newcomers.push(socket),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::MFILE | Errno::NFILE) if self.reserve.take().is_some() => {}
                Err(Errno::MFILE | Errno::NFILE) if !self.readers.is_empty() => drop(self.readers.remove(0)),
                Err(_) => {
                    // The connections stay in the backlog; the server's log reports that descriptors are short.
                    self.paused = newcomers.is_empty().then(|| Instant::now() + RETRY);
                    break;
                }
            }
        }
        newcomers
    }

    /// Drops the oldest reader of the user who has most of them, until the number is within the limit.
    fn make_room(&mut self) {
        while self.readers.len() > MAX_READERS {
            let mut counts = HashMap::<u32, usize>::new();
            self.readers.iter().for_each(|reader| *counts.entry(reader.uid).or_default() += 1);
            let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(uid, _)| uid);
            if let Some(index) = self.readers.iter().position(|reader| Some(reader.uid) == most) {
                self.readers.remove(index);
            }
        }
    }
}

impl Reader {
    fn new(socket: ForeignSocket, document: &Arc<[u8]>) -> Self {
        // As much as the kernel allows; then most documents fit at once, whether or not the reader reads.
        set_send_buffer(&socket, document.len());
        let uid = peer::credentials(&socket).map_or(u32::MAX, |who| who.uid);
        Self { socket, uid, document: Arc::clone(document), sent: 0, deadline: Instant::now() + TIMEOUT }
    }

    /// Sends what fits into the socket's buffer and returns whether a part is left.
    fn send(&mut self) -> bool {
        while self.sent < self.document.len() {
            match socket::send(self.socket.as_fd(), &self.document[self.sent..], None) {
                Ok(Sent::Bytes(sent)) => self.sent += sent,
                Ok(Sent::WouldBlock) => return true,
                _ => return false,
            }
        }
        false
    }
}
