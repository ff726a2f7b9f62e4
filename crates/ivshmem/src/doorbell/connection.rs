//! A server's socket: its messages one by one, and the greeting up to its end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::session::Session;
use super::{ConnectionError, PeerEvent};
use crate::sys::linux::foreign::{self, ForeignFd, ForeignSocket, Unclosed};
use crate::sys::linux::socket::{self, Received, Receiver};
use crate::wire::{Client, ClientEvent, MESSAGE_LEN, MessageReader};

/// A connection that has been greeted, and everything it gave so far.
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

    /// What the next message says; `None` when there is none now. Never blocks.
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

/// Refuses a descriptor in the last quarter of those that this process may have, so that no server takes what the rest of
/// the process needs. The kernel gives the lowest free number, so with this one nearly all below it are taken.
fn check_room(fd: &ForeignFd) -> Result<(), ConnectionError> {
    let (number, limit) = (u64::from(fd.as_fd().as_raw_fd().unsigned_abs()), rlimit());
    if number < limit - limit / 4 { Ok(()) } else { Err(ConnectionError::OutOfDescriptors { limit }) }
}

/// Hears no new server while descriptors that servers sent cannot be closed: those of a file system in user space (FUSE) whose
/// process does not answer, for one. Else servers could take all that this process may have, one connection after the other.
pub(crate) fn check_closing(patience: Duration) -> Result<(), ConnectionError> {
    foreign::wait_for_room(patience.min(CLOSING_PATIENCE))
        .map_err(|Unclosed { files, sockets }| ConnectionError::NotClosed { files, sockets })
}

/// Descriptors whose closing waits for no process are closed sooner, even many.
const CLOSING_PATIENCE: Duration = Duration::from_millis(300);

/// The process's limit of open files; programs change it at run time.
fn rlimit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// When a greeting is taken to be complete, since nothing in the protocol marks its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For everything together.
    pub(crate) timeout: Duration,
    /// A socket with nothing to receive for so long, once the memory has come, has said everything; longer when vectors
    /// are plainly missing.
    pub(crate) quiet: Duration,
    /// Be content with nothing else than so many own vectors.
    pub(crate) vectors: Option<u16>,
}

/// A greeting that is on its way.
#[derive(Debug)]
pub(crate) struct Greeting {
    // Dropped first: no socket is closed by a thread that ends while a file of a server is open.
    memory: Option<ForeignFd>,
    connection: Connection,
    patience: Patience,
    deadline: Instant,
    last_message: Instant,
    session: Option<Arc<Session>>,
}

/// A greeting that is complete.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) connection: Connection,
    pub(crate) session: Arc<Session>,
    pub(crate) memory: ForeignFd,
}

/// How far a greeting is.
#[derive(Debug)]
pub(crate) enum Progress {
    Complete,
    /// Call again when the socket is readable, and at this time at the latest.
    Waiting(Instant),
}

impl Greeting {
    /// `began` is when the caller's patience began.
    pub(crate) fn new(socket: ForeignSocket, patience: Patience, began: Instant) -> Self {
        let deadline = began.checked_add(patience.timeout).unwrap_or(began + A_YEAR);
        let connection = Connection::new(socket);
        Self { connection, patience, deadline, last_message: began, session: None, memory: None }
    }

    /// Takes messages until the greeting is complete. Blocks, but not beyond the patience.
    pub(crate) fn finish(mut self) -> Result<Greeted, ConnectionError> {
        loop {
            match self.step()? {
                Progress::Complete => return Ok(self.into_greeted()),
                Progress::Waiting(until) => socket::wait_readable(self.connection.as_fd(), until)
                    .map_err(ConnectionError::io("wait for the server"))?,
            };
        }
    }

    /// Takes what there is. Never blocks; a server that floods does not keep it for ever.
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

    /// What the clock says about a greeting that may be complete or not.
    fn judge(&self, drained: bool) -> Result<Progress, ConnectionError> {
        let now = Instant::now();
        let settled = self.memory.is_some() && self.patience.vectors.is_none();
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
    /// When the greeting is not complete.
    pub(crate) fn into_greeted(self) -> Greeted {
        Greeted {
            connection: self.connection,
            session: self.session.expect("complete: the id comes before the memory"),
            memory: self.memory.expect("complete: the memory has come"),
        }
    }

    /// Tells whether the greeting is beyond doubt complete now.
    fn take(&mut self, event: ClientEvent<ForeignFd>) -> Result<bool, ConnectionError> {
        // Nothing else can complete it, and looking is work for each peer.
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

    /// A server that was interrupted in the middle of its greeting deserves more patience than one that may be done.
    fn quiet(&self) -> Duration {
        let factor = if self.connection.client.expects_more() { INTERRUPTED } else { 1 };
        self.patience.quiet.saturating_mul(factor).min(A_YEAR)
    }

    fn is_complete(&self) -> bool {
        match self.patience.vectors {
            Some(expected) => self.memory.is_some() && self.connection.client.own_vectors() >= expected,
            None => self.connection.client.is_greeted(),
        }
    }

    fn too_late(&self) -> ConnectionError {
        let timeout_ms = self.patience.timeout.as_millis();
        match (&self.session, &self.memory, self.patience.vectors) {
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

impl AsFd for Greeting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// Takes up to a bounded number of messages and tells what they changed, each peer once.
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

/// Vectors of one peer come in a row; they become one event.
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

/// So many messages without looking at anything else: more than a greeting of 16 peers with 64 vectors.
const MESSAGES_PER_STEP: usize = 2048;

/// So many times longer is a server given when vectors are plainly missing.
const INTERRUPTED: u32 = 200;

/// What stands for a timeout that no clock can express.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
