//! The link to a server. It passes the server's messages to the session and to the peer callbacks, and reconnects after a
//! lost connection.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::PeerEvent;
use super::connection::{Connection, Established, receive_changes};
use super::dispatch::{Doorbell, LINK, Link};
use super::reconnect::{Absence, Reconnect, Return};
use super::session::Session;
use super::shared::Shared;
use crate::sys::poller;

impl Doorbell {
    /// The doorbell of a server's client.
    pub(crate) fn start(
        connection: Connection,
        session: Arc<Session>,
        reconnect: Option<Reconnect>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(session)?);
        poller::add(&shared.poller, &connection, LINK)?;
        Self::with_link(shared, Box::new(Server { state: State::Up(connection), reconnect }))
    }
}

/// The link to a server, connected or not.
struct Server {
    state: State,
    reconnect: Option<Reconnect>,
}

enum State {
    Up(Connection),
    Away(Absence),
    Down,
}

impl Link for Server {
    fn receive(&mut self, shared: &Shared) {
        let State::Up(connection) = &mut self.state else { return };
        let Ok(session) = shared.session() else { return };
        let vectors = session.vectors();
        let (changes, result) = receive_changes(connection, &session);
        shared.watch_late(vectors, session.vectors());
        if result.is_err() {
            let _ = poller::remove(&shared.poller, &*connection);
            // Close the connection before any callback: a callback may start a program, and the start waits for the files
            // that the server sent.
            self.state = match self.reconnect {
                Some(_) => State::Away(Absence::new(session.vectors())),
                None => State::Down,
            };
        }
        for change in changes {
            shared.tell(&change);
        }
        if let Err(reason) = result {
            shared.tell(&PeerEvent::ServerGone { reason });
        }
    }

    /// Reconnects to a server after a lost connection.
    fn step(&mut self, shared: &Shared) -> Option<Instant> {
        let (State::Away(absence), Some(how)) = (&mut self.state, &self.reconnect) else { return None };
        let poller = &shared.poller;
        // The handshake's socket has the same token; `receive` ignores it until the handshake is complete.
        let watch = |socket: BorrowedFd<'_>| drop(poller::add(poller, socket, LINK));
        let unwatch = |socket: BorrowedFd<'_>| drop(poller::remove(poller, socket));
        match absence.step(how, watch, unwatch) {
            Return::Later(at) => return Some(at),
            Return::OtherMemory => {
                self.state = State::Down;
                shared.tell(&PeerEvent::MemoryReplaced);
            }
            Return::Same(Established { connection, session, memory }) => {
                drop(memory);
                let id = session.own_id();
                let _ = poller::add(&shared.poller, connection.as_fd(), LINK);
                self.state = State::Up(connection);
                shared.reconnect(session);
                shared.tell(&PeerEvent::Reconnected { id });
            }
        }
        None
    }
}
