//! The sockets and eventfds of the clients, and whether the clients keep up.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::peer::Credentials;
use ivshmem::sys::linux::{eventfd, socket};

/// One client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: ForeignSocket,
    pub(crate) newcomer: Newcomer,
    backlog: Backlog,
}

/// Everything that the server keeps for a client besides its socket.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) who: Credentials,
    pub(crate) since: Instant,
    vectors: Vec<OwnedFd>,
}

/// Whether a client keeps up with its messages.
#[derive(Clone, Copy, Debug)]
enum Backlog {
    /// No messages wait, or the client reads them.
    Fine,
    /// The client has been behind since this time.
    Behind(Instant),
    /// The client has been behind for [`STALLED`], which was logged.
    Logged,
}

/// A change in a client's reading that the server logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Stalled,
    CaughtUp,
}

/// A client that is behind for this long is logged.
pub(crate) const STALLED: Duration = Duration::from_secs(5);

impl Newcomer {
    pub(crate) fn new(who: Credentials, vectors: u16) -> io::Result<Self> {
        let vectors = (0..vectors).map(|_| eventfd::create()).collect::<io::Result<_>>()?;
        Ok(Self { who, since: Instant::now(), vectors })
    }

    pub(crate) fn with(self, socket: ForeignSocket) -> Connection {
        Connection { socket, newcomer: self, backlog: Backlog::Fine }
    }
}

impl Connection {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.newcomer.who.pid
    }

    /// Whether the client has been behind for [`STALLED`].
    pub(crate) fn is_stalled(&self) -> bool {
        matches!(self.backlog, Backlog::Logged)
    }

    /// Records whether the client is behind now, and returns a change to log.
    fn judge(&mut self, behind: bool, now: Instant) -> Option<Change> {
        match (self.backlog, behind) {
            (Backlog::Fine, true) => self.backlog = Backlog::Behind(now),
            (Backlog::Behind(since), true) if now.duration_since(since) >= STALLED => {
                self.backlog = Backlog::Logged;
                return Some(Change::Stalled);
            }
            (Backlog::Behind(_), false) => self.backlog = Backlog::Fine,
            (Backlog::Logged, false) => {
                self.backlog = Backlog::Fine;
                return Some(Change::CaughtUp);
            }
            _ => {}
        }
        None
    }

    /// Whether the client's state can change by the passing of time alone.
    fn is_on_probation(&self) -> bool {
        matches!(self.backlog, Backlog::Behind(_))
    }
}

/// Connections by id.
#[derive(Debug)]
pub(crate) struct Connections {
    by_id: Vec<Option<Connection>>,
    /// A client may have fallen behind since the last check.
    watching: bool,
    next_check: Instant,
}

/// How often to check for clients that have stopped reading, while there may be any.
const CHECK: Duration = Duration::from_secs(1);

impl Connections {
    pub(crate) fn new(now: Instant) -> Self {
        Self { by_id: Vec::new(), watching: false, next_check: now }
    }

    /// Has the clients checked, because one may have fallen behind.
    pub(crate) fn watch(&mut self) {
        self.watching = true;
    }

    /// When the next check is due; `None` when no client can have fallen behind.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        self.watching.then_some(self.next_check)
    }

    /// Checks on the clients, if that is due. Passes the id, the process and the change of each client that has stopped
    /// reading or has caught up.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        is_behind: impl Fn(PeerId) -> bool,
        mut report: impl FnMut(PeerId, Option<u32>, Change),
    ) {
        if self.next_check().is_none_or(|due| now < due) {
            return;
        }
        self.next_check = now + CHECK;
        let mut watching = false;
        for (id, connection) in self.iter_mut() {
            if let Some(change) = connection.judge(is_behind(id), now) {
                report(id, connection.pid(), change);
            }
            watching |= connection.is_on_probation();
        }
        self.watching = watching;
    }

    pub(crate) fn insert(&mut self, id: PeerId, connection: Connection) {
        self.watch();
        let index = usize::from(id.0);
        if index >= self.by_id.len() {
            self.by_id.resize_with(index + 1, || None);
        }
        self.by_id[index] = Some(connection);
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&Connection> {
        self.by_id.get(usize::from(id.0))?.as_ref()
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Connection> {
        self.by_id.get_mut(usize::from(id.0))?.take()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Connection)> {
        (0..=u16::MAX).zip(&self.by_id).filter_map(|(id, slot)| Some((PeerId(id), slot.as_ref()?)))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Connection)> {
        (0..=u16::MAX).zip(&mut self.by_id).filter_map(|(id, slot)| Some((PeerId(id), slot.as_mut()?)))
    }

    pub(crate) fn vector(&self, peer: PeerId, index: u16) -> Option<BorrowedFd<'_>> {
        Some(self.get(peer)?.newcomer.vectors.get(usize::from(index))?.as_fd())
    }
}

/// Bytes that the kernel charges for each message until it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageCost(u32);

impl MessageCost {
    /// Measures the cost on a socket pair of this process.
    pub(crate) fn measure() -> io::Result<Self> {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
        socket::send(ours.as_fd(), &[0; ivshmem::wire::MESSAGE_LEN], None)?;
        Ok(Self(socket::unread(&ours)?.max(1)))
    }

    /// Converts bytes to a number of messages. Rounds, because the kernel wakes the server while it still counts one byte
    /// of the message that was read.
    pub(crate) fn messages(self, bytes: u32) -> u32 {
        (bytes + self.0 / 2) / self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_that_the_kernel_counts_while_it_reports_a_read_is_no_message() {
        let cost = MessageCost::measure().unwrap();
        for messages in 0..300 {
            assert_eq!(cost.messages(messages * cost.0), messages);
            assert_eq!(cost.messages(messages * cost.0 + 1), messages);
        }
    }

    #[test]
    fn a_client_is_reported_once_when_it_stalls_and_once_when_it_has_caught_up() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let who = ivshmem::sys::linux::peer::credentials(&socket).unwrap();
        let mut connection = Newcomer::new(who, 1).unwrap().with(OwnedFd::from(socket).into());
        let start = Instant::now();
        assert_eq!(connection.judge(true, start), None);
        assert!(connection.is_on_probation());
        assert_eq!(connection.judge(false, start + STALLED), None, "it has read in time");
        assert_eq!(connection.judge(true, start + STALLED), None);
        assert_eq!(connection.judge(true, start + 2 * STALLED), Some(Change::Stalled));
        assert_eq!(connection.judge(true, start + 9 * STALLED), None);
        assert_eq!(connection.judge(false, start + 9 * STALLED), Some(Change::CaughtUp));
        assert_eq!(connection.judge(false, start + 9 * STALLED), None);
    }
}
