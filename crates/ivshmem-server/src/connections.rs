//! The sockets and eventfds of the clients, and how they get on.

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
    patience: Patience,
}

/// All that a client needs besides its socket.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) who: Credentials,
    pub(crate) since: Instant,
    vectors: Vec<OwnedFd>,
}

/// Whether a client keeps things waiting.
#[derive(Clone, Copy, Debug)]
enum Patience {
    /// Everything is told, or it reads.
    Fine,
    /// It has been behind since then.
    Behind(Instant),
    /// It has been behind for long, and that was logged.
    Logged,
}

/// What changed about a client's reading, worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Stalled,
    CaughtUp,
}

/// A client that is behind for so long is worth a line in the log.
pub(crate) const STALLED: Duration = Duration::from_secs(5);

impl Newcomer {
    pub(crate) fn new(who: Credentials, vectors: u16) -> io::Result<Self> {
        let vectors = (0..vectors).map(|_| eventfd::create()).collect::<io::Result<_>>()?;
        Ok(Self { who, since: Instant::now(), vectors })
    }

    pub(crate) fn with(self, socket: ForeignSocket) -> Connection {
        Connection { socket, newcomer: self, patience: Patience::Fine }
    }
}

impl Connection {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.newcomer.who.pid
    }

    /// Whether it has been behind for long.
    pub(crate) fn is_stalled(&self) -> bool {
        matches!(self.patience, Patience::Logged)
    }

    /// Takes down whether the client is behind now.
    pub(crate) fn judge(&mut self, behind: bool, now: Instant) -> Option<Change> {
        match (self.patience, behind) {
            (Patience::Fine, true) => self.patience = Patience::Behind(now),
            (Patience::Behind(since), true) if now.duration_since(since) >= STALLED => {
                self.patience = Patience::Logged;
                return Some(Change::Stalled);
            }
            (Patience::Behind(_), false) => self.patience = Patience::Fine,
            (Patience::Logged, false) => {
                self.patience = Patience::Fine;
                return Some(Change::CaughtUp);
            }
            _ => {}
        }
        None
    }

    /// Whether time alone may change what is to be said about it.
    pub(crate) fn is_on_probation(&self) -> bool {
        matches!(self.patience, Patience::Behind(_))
    }
}

/// Connections by id.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    by_id: Vec<Option<Connection>>,
}

impl Connections {
    pub(crate) fn insert(&mut self, id: PeerId, connection: Connection) {
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

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Connection)> {
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
    /// Measures it on a socket of our own.
    pub(crate) fn measure() -> io::Result<Self> {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
        socket::send(ours.as_fd(), &[0; ivshmem::wire::MESSAGE_LEN], None)?;
        Ok(Self(socket::unread(&ours)?.max(1)))
    }

    /// How many messages these bytes are. Rounded, because the kernel reports a read while it still counts one byte of
    /// what was read.
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
