//! The connection to a server: receiving its messages, and the handshake.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::session::Session;
use super::{ConnectionError, PeerEvent};
use crate::sys::linux::foreign::{self, ForeignFd, ForeignSocket, Unclosed};
use crate::sys::linux::socket::{self, Received, Receiver};
use crate::wire::{Client, ClientEvent, MESSAGE_LEN, MessageReader};

/// A connection to a server, with the state of the protocol.
#[derive(Debug)]
pub(crate) struct Connection {
    receiver: Receiver<ForeignSocket>,
    reader: MessageReader<ForeignFd>,
    client: Client,
}

impl Connection {
    fn new(socket: ForeignSocket) -> Self {
        Self { receiver: socket.into(), reader: MessageReader::default(), client: Client::default() }
    }

    /// The event of the next message; `None` if there is none now. Never blocks.
    pub(crate) fn next(&mut self) -> Result<Option<ClientEvent<ForeignFd>>, ConnectionError> {
        let mut bytes = [0; MESSAGE_LEN];
        loop {
            let room = &mut bytes[..self.reader.missing()];
            let received =
                self.receiver.receive(room).map_err(ConnectionError::io("receive from the server"))?;
            let message = match received {
                Received::Bytes(count, fd) => {
                    if let Some(fd) = &fd {
                        check_room(fd)?;
                    }
                    self.reader.push(&bytes[..count], fd).map_err(|_| ConnectionError::TooManyDescriptors)?
                }
                Received::WouldBlock => return Ok(None),
                Received::Closed => return Err(ConnectionError::Gone),
                Received::TooManyDescriptors => return Err(ConnectionError::TooManyDescriptors),
                Received::NotAnEventfd => return Err(ConnectionError::NotAnEventfd),
                Received::UntrustedFile { place } => return Err(ConnectionError::UntrustedFile { place }),
                Received::NoDescriptorLeft => {
                    return Err(ConnectionError::OutOfDescriptors { limit: rlimit() });
                }
            };
            if let Some(message) = message {
                let event = self.client.push(message)?;
                if matches!(event, ClientEvent::Memory(_)) {
                    self.receiver.take_only_eventfds();
                }
                return Ok(Some(event));
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

/// Refuses a descriptor in the last quarter of those that this process may have, so that a server cannot use up the ones
/// that the rest of the process needs. The kernel assigns the lowest free number, so nearly all lower numbers are in use.
fn check_room(fd: &ForeignFd) -> Result<(), ConnectionError> {
    let (number, limit) = (u64::from(fd.as_fd().as_raw_fd().unsigned_abs()), rlimit());
    if number < limit - limit / 4 { Ok(()) } else { Err(ConnectionError::OutOfDescriptors { limit }) }
}

/// Refuses a new connection while too many descriptors from servers cannot be closed, for example files of a file system in
/// user space (FUSE) whose process does not answer. Otherwise servers could use up all descriptors of this process, one
/// connection after the other.
pub(crate) fn check_closing(timeout: Duration) -> Result<(), ConnectionError> {
    foreign::wait_for_room(timeout.min(CLOSING_TIMEOUT))
        .map_err(|Unclosed { files, sockets }| ConnectionError::NotClosed { files, sockets })
}

/// Descriptors whose closing does not depend on another process are closed within this time, even a large number of them.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(300);

/// The process's limit of open files. It is read each time, because programs change it at run time.
fn rlimit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// When to consider a handshake complete. The protocol does not mark its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The time limit for the whole handshake.
    pub(crate) timeout: Duration,
    /// After the memory, a handshake is complete if nothing arrives for this long. The time is longer if vectors are probably
    /// missing.
    pub(crate) quiet: Duration,
    /// If set, the handshake is complete only when this device has this many vectors.
    pub(crate) vectors: Option<u16>,
}

/// A handshake in progress.
#[derive(Debug)]
pub(crate) struct Handshake {
    // Dropped before the connection: while a file from a server is open, no ending thread can close a socket.
    memory: Option<ForeignFd>,
    connection: Connection,
    timeouts: Timeouts,
    /// Fewer own vectors than this are unlikely to be all.
    likely: u16,
    deadline: Instant,
    last_message: Instant,
    session: Option<Arc<Session>>,
}

/// The result of a complete handshake.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) connection: Connection,
    pub(crate) session: Arc<Session>,
    pub(crate) memory: ForeignFd,
}

/// The progress of a handshake.
#[derive(Debug)]
pub(crate) enum Progress {
    Complete,
    /// Call again when the socket is readable, and at this time at the latest.
    Waiting(Instant),
}

impl Handshake {
    /// Starts a handshake on a connected socket. The timeout counts from `began`.
    pub(crate) fn new(socket: ForeignSocket, timeouts: Timeouts, began: Instant) -> Self {
        let deadline = began.checked_add(timeouts.timeout).unwrap_or(began + A_YEAR);
        let connection = Connection::new(socket);
        Self { connection, timeouts, likely: 0, deadline, last_message: began, session: None, memory: None }
    }

    /// Sets the number of vectors that this device had at an earlier server. A client with fewer vectors waits longer: the
    /// first client of a restarted server has no peer whose vectors it could compare.
    pub(crate) fn likely(mut self, vectors: u16) -> Self {
        self.likely = vectors;
        self
    }

    /// Receives messages until the handshake is complete. Blocks, but not beyond the timeout.
    pub(crate) fn finish(mut self) -> Result<Established, ConnectionError> {
        loop {
            match self.step()? {
                Progress::Complete => return Ok(self.into_established()),
                Progress::Waiting(until) => socket::wait_readable(self.connection.as_fd(), until)
                    .map_err(ConnectionError::io("wait for the server"))?,
            };
        }
    }

    /// Receives the available messages, up to a limit per call, so that a server that floods the client cannot keep it busy
    /// without limit. Never blocks.
    pub(crate) fn step(&mut self) -> Result<Progress, ConnectionError> {
        for received in 0..MESSAGES_PER_STEP {
            let Some(event) = self.connection.next()? else {
                if received > 0 {
                    self.last_message = Instant::now();
                }
                return self.judge(true);
            };
            if self.take(event)? {
                return Ok(Progress::Complete);
            }
        }
        self.last_message = Instant::now();
        self.judge(false)
    }

    /// Judges by the clock whether a handshake without a definite end is complete.
    fn judge(&self, drained: bool) -> Result<Progress, ConnectionError> {
        let now = Instant::now();
        let settled = self.memory.is_some() && self.timeouts.vectors.is_none();
        let quiet_at = self.last_message + self.quiet();
        if settled && ((drained && now >= quiet_at) || now >= self.deadline) {
            return Ok(Progress::Complete);
        }
        if now >= self.deadline {
            return Err(self.too_late());
        }
        Ok(Progress::Waiting(if settled { quiet_at.min(self.deadline) } else { self.deadline }))
    }

    /// # Panics
    /// If the handshake is not complete.
    pub(crate) fn into_established(self) -> Established {
        Established {
            connection: self.connection,
            session: self.session.expect("complete: the id comes before the memory"),
            memory: self.memory.expect("complete: the memory has come"),
        }
    }

    /// Applies an event. Returns whether the handshake is definitely complete now.
    fn take(&mut self, event: ClientEvent<ForeignFd>) -> Result<bool, ConnectionError> {
        // Only these events can complete the handshake, and `is_complete` iterates over all peers.
        let decisive = matches!(event, ClientEvent::OwnVector { .. } | ClientEvent::Memory(_));
        match (event, &self.session) {
            (ClientEvent::OwnId(id), _) => {
                let session = Session::new(id).map_err(ConnectionError::io("make an eventfd"))?;
                self.session = Some(Arc::new(session));
            }
            (ClientEvent::Memory(fd), _) => self.memory = Some(fd),
            (event, Some(session)) => drop(session.apply(event)?),
            (_, None) => {}
        }
        Ok(decisive && self.is_complete())
    }

    /// The quiet time after which the handshake is complete. It is longer if vectors are probably missing.
    fn quiet(&self) -> Duration {
        let client = &self.connection.client;
        let misses = client.expects_more() || client.own_vectors() < self.likely;
        let factor = if misses { INTERRUPTED } else { 1 };
        self.timeouts.quiet.saturating_mul(factor).min(A_YEAR)
    }

    fn is_complete(&self) -> bool {
        match self.timeouts.vectors {
            Some(expected) => self.memory.is_some() && self.connection.client.own_vectors() >= expected,
            None => self.connection.client.is_greeted(),
        }
    }

    fn too_late(&self) -> ConnectionError {
        let timeout_ms = self.timeouts.timeout.as_millis();
        match (&self.session, &self.memory, self.timeouts.vectors) {
            (None, ..) => ConnectionError::TimedOut { missing: "version and id", timeout_ms },
            (_, None, _) => ConnectionError::TimedOut { missing: "the memory", timeout_ms },
            (_, _, expected) => ConnectionError::TooFewVectors {
                vectors: self.connection.client.own_vectors(),
                expected: expected.unwrap_or(0),
                timeout_ms,
            },
        }
    }
}

impl AsFd for Handshake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// Receives a bounded number of messages, and returns the changes: one event for consecutive messages about a peer.
pub(crate) fn receive_changes(
    connection: &mut Connection,
    session: &Session,
) -> (Vec<PeerEvent>, Result<(), ConnectionError>) {
    let mut changes = Vec::new();
    for _ in 0..MESSAGES_PER_STEP {
        match connection.next() {
            Ok(Some(event)) => match session.apply(event) {
                Ok(change) => merge(&mut changes, change),
                Err(error) => return (changes, Err(error)),
            },
            Ok(None) => break,
            Err(error) => return (changes, Err(error)),
        }
    }
    (changes, Ok(()))
}

/// Appends a change. Consecutive vectors of one peer become one event.
fn merge(changes: &mut Vec<PeerEvent>, change: Option<PeerEvent>) {
    let Some(change) = change else { return };
    match (changes.last_mut(), &change) {
        (
            Some(PeerEvent::Connected(last) | PeerEvent::VectorsChanged(last)),
            PeerEvent::VectorsChanged(now),
        ) if last.id == now.id => *last = *now,
        (Some(PeerEvent::OwnVectors(last)), PeerEvent::OwnVectors(now)) => *last = *now,
        _ => changes.push(change),
    }
}

/// The maximum number of messages to receive in one step: more than a handshake of 16 peers with 64 vectors has.
const MESSAGES_PER_STEP: usize = 2048;

/// The factor of the quiet time if vectors are probably missing.
const INTERRUPTED: u32 = 200;

/// Replaces a timeout beyond the range of the clock.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
