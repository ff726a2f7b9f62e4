//! The acceptor: accepts connections, and refuses those that the server may not or cannot serve, with the reason.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::peer::Credentials;
use ivshmem::sys::linux::{epoll, eventfd, peer, socket};
use ivshmem::wire::Refusal;

use crate::admission::Gatekeeper;
use crate::error::Error;
use crate::listener::Listener;
use crate::log::{Kind, Log, refusal_index};
use crate::refused::Refused;
use crate::sys::Errno;

#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: Listener,
    /// The listener's token in the epoll.
    token: u64,
    gatekeeper: Gatekeeper,
    pub(crate) unread: Refused,
    /// A spare descriptor. It is closed for a moment to accept, and refuse, a connection when no other descriptor is left.
    reserve: Option<OwnedFd>,
    /// Set while no connection can be accepted: when to try again.
    paused: Option<Instant>,
    /// Indexed by `refusal_index`.
    refused: [u64; Refusal::ALL.len() + 1],
}

/// The result of one attempt to accept.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// A connection.
    Connection(ForeignSocket),
    /// A connection was accepted and refused, because no descriptor is left.
    Refused,
    /// No connection waits, or none can be accepted now.
    None,
}

/// How long to wait before repeating a call that the kernel refused for lack of resources.
pub(crate) const RETRY: Duration = Duration::from_millis(10);

impl Acceptor {
    /// Starts accepting: the epoll reports `token` for new connections, and `first_refused` or above for refused ones.
    pub(crate) fn open(
        listener: Listener,
        gatekeeper: Gatekeeper,
        epoll: BorrowedFd<'_>,
        token: u64,
        first_refused: u64,
    ) -> Result<Self, Error> {
        epoll::add(epoll, &listener, token).map_err(Error::io("waiting for connections"))?;
        Ok(Self {
            listener,
            token,
            gatekeeper,
            unread: Refused::new(first_refused),
            reserve: Some(eventfd::create().map_err(Error::io("creating an eventfd"))?),
            paused: None,
            refused: Default::default(),
        })
    }

    pub(crate) fn accept(&mut self, epoll: BorrowedFd<'_>, log: &mut Log) -> Attempt {
        loop {
            match socket::accept(&self.listener) {
                Ok(socket) => return Attempt::Connection(socket),
                Err(Errno::AGAIN) => return Attempt::None,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return self.accept_without_descriptors(epoll, log, error),
            }
        }
    }

    /// Returns the credentials of the peer, or the refusal if that user may not connect now.
    pub(crate) fn admit(&mut self, socket: &ForeignSocket) -> Result<Credentials, Refusal> {
        self.gatekeeper.admit(socket, Instant::now())
    }

    /// Sends the reason in the version message, for which a fresh socket always has room. A QEMU that starts prints it and exits;
    /// in a running QEMU, `device_add` fails with it.
    pub(crate) fn refuse(
        &mut self,
        epoll: BorrowedFd<'_>,
        log: &mut Log,
        socket: ForeignSocket,
        refusal: Refusal,
    ) {
        self.refused[refusal_index(refusal)] += 1;
        let version = refusal.version();
        let told = socket::send(socket.as_fd(), &version.to_le_bytes(), None);
        if log.admits(Kind::Refused(refusal)) {
            let who = peer::credentials(&socket).ok();
            let (uid, pid) = (who.map(|who| who.uid), who.and_then(|who| who.pid));
            tracing::warn!(version, uid, pid, ?told, "client refused: {refusal}");
        }
        self.unread.keep(epoll, socket);
    }

    /// When to try again to accept, while accepting is paused.
    pub(crate) fn reopens(&self) -> Option<Instant> {
        self.paused
    }

    /// Resumes accepting, if the pause is over.
    pub(crate) fn reopen(&mut self, epoll: BorrowedFd<'_>, now: Instant) {
        if self.paused.is_none_or(|until| now < until) {
            return;
        }
        self.reserve = self.reserve.take().or_else(|| eventfd::create().ok());
        let added = epoll::add(epoll, &self.listener, self.token);
        self.paused = added.is_err().then(|| now + RETRY);
    }

    /// Stops accepting, and sends the reason to every connection that waits. Connections on a socket that a service manager
    /// keeps are left to the next server.
    pub(crate) fn close(&mut self, epoll: BorrowedFd<'_>, log: &mut Log) {
        if self.listener.is_inherited() {
            let _ = epoll::remove(epoll, &self.listener);
            self.paused = None;
            return;
        }
        self.listener.remove_name();
        let _ = socket::refuse_connections(&self.listener);
        loop {
            match self.accept(epoll, log) {
                Attempt::Connection(socket) => self.refuse(epoll, log, socket, Refusal::Stopping),
                Attempt::Refused => {}
                Attempt::None => break,
            }
        }
        self.paused = None;
        let _ = epoll::remove(epoll, &self.listener);
    }

    /// Number of refused connections, by reason.
    pub(crate) fn refused(&self) -> BTreeMap<&'static str, u64> {
        Refusal::ALL.iter().map(|refusal| (refusal.name(), self.refused[refusal_index(*refusal)])).collect()
    }

    /// Accepts with the spare descriptor and refuses. If there is none, or that fails too, accepting pauses until there is
    /// room.
    fn accept_without_descriptors(&mut self, epoll: BorrowedFd<'_>, log: &mut Log, error: Errno) -> Attempt {
        let accepted = self.reserve.take().and_then(|reserve| {
            drop(reserve);
            socket::accept(&self.listener).ok()
        });
        let Some(socket) = accepted else {
            self.pause(epoll, log, error);
            return Attempt::None;
        };
        self.refuse(epoll, log, socket, Refusal::OutOfDescriptors);
        self.reserve = eventfd::create().ok();
        if self.reserve.is_none() {
            self.unread.close_oldest(epoll);
            self.reserve = eventfd::create().ok();
        }
        Attempt::Refused
    }

    fn pause(&mut self, epoll: BorrowedFd<'_>, log: &mut Log, error: Errno) {
        if log.admits(Kind::Kernel) {
            tracing::warn!("cannot accept, trying again: {error}");
        }
        if epoll::remove(epoll, &self.listener).is_ok() {
            self.paused = Some(Instant::now() + RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Admission;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "both ends are the test's")]
    fn a_door_that_was_closed_while_it_was_paused_stays_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        // A service manager's socket stays open, so only the clearing of the pause in `close` prevents `reopen` from adding it to
        // the epoll again.
        let listener = Listener::inherited(UnixListener::bind(&path).unwrap().into()).unwrap();
        let epoll = epoll::create().unwrap();
        let mut log = Log::new(Instant::now());
        let mut acceptor =
            Acceptor::open(listener, Gatekeeper::new(Admission::default()), epoll.as_fd(), 1, 100).unwrap();
        let _waits = UnixStream::connect(&path).unwrap();
        let events = || epoll::events::<4>(&epoll, Some(Instant::now())).unwrap().len();
        assert_eq!(events(), 1);
        acceptor.pause(epoll.as_fd(), &mut log, Errno::MFILE);
        assert_eq!(events(), 0);
        acceptor.reopen(epoll.as_fd(), Instant::now() + RETRY);
        assert_eq!(events(), 1, "a pause ends");
        acceptor.pause(epoll.as_fd(), &mut log, Errno::MFILE);
        acceptor.close(epoll.as_fd(), &mut log);
        assert_eq!(acceptor.reopens(), None);
        acceptor.reopen(epoll.as_fd(), Instant::now() + RETRY);
        assert_eq!(events(), 0);
    }
}
