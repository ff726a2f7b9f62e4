//! The doorbell of one device, and its one thread: it receives from the server, if there is one, and calls the
//! callbacks.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

use super::callbacks::{Callback, Executor, Function};
use super::connection::{Connection, Greeted, receive_changes};
use super::reconnect::{Absence, Reconnect, Return};
use super::session::Session;
use super::shared::{Shared, WAKE};
use super::{DoorbellError, Peer, PeerEvent, RawInterrupt, Registration, wait};
use crate::PeerId;
use crate::sys::linux::epoll;

/// Sends and receives the interrupts of one device. Closed by `close` or by dropping it.
pub(crate) struct Doorbell {
    shared: Arc<Shared>,
    /// `None` for a device that can only ring: nothing ever happens there.
    dispatcher: Option<ThreadId>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Doorbell {
    pub(crate) fn start(
        connection: Connection,
        session: Arc<Session>,
        reconnect: Option<Reconnect>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(session)?);
        epoll::add(&shared.epoll, &connection, SERVER)?;
        Self::dispatch(Dispatcher { shared, link: Link::Up(connection), reconnect })
    }

    /// The doorbell of a device that no server talks to: it has the vectors of this session and no others, ever.
    pub(crate) fn without_server(session: Session) -> std::io::Result<Self> {
        let silent = session.vectors() == 0;
        let shared = Arc::new(Shared::new(Arc::new(session))?);
        if silent {
            return Ok(Self { shared, dispatcher: None, thread: Mutex::new(None) });
        }
        Self::dispatch(Dispatcher { shared, link: Link::Down, reconnect: None })
    }

    fn dispatch(dispatcher: Dispatcher) -> std::io::Result<Self> {
        let shared = Arc::clone(&dispatcher.shared);
        let thread =
            thread::Builder::new().name("ivshmem-doorbell".into()).spawn(move || dispatcher.run())?;
        Ok(Self { shared, dispatcher: Some(thread.thread().id()), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn own_id(&self) -> PeerId {
        self.shared.own_id()
    }

    pub(crate) fn vectors(&self) -> Result<u16, DoorbellError> {
        Ok(self.shared.session()?.vectors())
    }

    pub(crate) fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        self.shared.session()?.peers()
    }

    pub(crate) fn peer(&self, id: PeerId) -> Result<Option<Peer>, DoorbellError> {
        self.shared.session()?.peer(id)
    }

    pub(crate) fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        self.shared.session()?.ring(peer, vector)
    }

    pub(crate) fn wait(&self, vector: u16, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
        wait::wait(&self.shared, vector, deadline)
    }

    pub(crate) fn on_interrupt(
        &self,
        vector: u16,
        function: Function<u16>,
        executor: Option<Executor>,
    ) -> Result<Registration, DoorbellError> {
        self.shared.on_interrupt(vector, Callback::new(function, executor))
    }

    pub(crate) fn on_peer(&self, function: Function<PeerEvent>) -> Result<Registration, DoorbellError> {
        if !self.shared.session()?.knows_peers() {
            return Err(DoorbellError::PeersUnknown);
        }
        self.shared.on_peer(Callback::new(function, None))
    }

    pub(crate) fn raw_interrupt(&self, vector: u16) -> Result<RawInterrupt, DoorbellError> {
        RawInterrupt::new(&self.shared, vector)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Wakes all who wait, ends the dispatcher and waits for its end, unless the dispatcher itself is calling.
    pub(crate) fn close(&self) {
        self.shared.close();
        if Some(thread::current().id()) == self.dispatcher {
            return;
        }
        // Locked while joining, so that a second closer waits as well. The dispatcher never comes here.
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nothing in the dispatcher panics but callbacks, and theirs are caught.
            let _ = thread.join();
        }
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("own_id", &self.own_id()).finish_non_exhaustive()
    }
}

/// What the dispatcher thread owns.
struct Dispatcher {
    shared: Arc<Shared>,
    link: Link,
    reconnect: Option<Reconnect>,
}

/// The connection to the server.
enum Link {
    Up(Connection),
    Away(Absence),
    Down,
}

impl Dispatcher {
    fn run(mut self) {
        let mut ready = Vec::with_capacity(epoll::BATCH);
        let mut deadline = None;
        while !self.shared.is_closed() {
            if epoll::wait(&self.shared.epoll, &mut ready, deadline).is_err() {
                // The descriptor is our own, so this cannot happen while it is open.
                return;
            }
            for token in &ready {
                match (*token, &mut self.link) {
                    (WAKE, _) => return,
                    (SERVER, Link::Up(_)) => self.receive(),
                    (SERVER, _) => {}
                    (vector, _) => {
                        if let Ok(vector) = u16::try_from(vector) {
                            self.shared.deliver(vector);
                        }
                    }
                }
            }
            deadline = self.come_back();
        }
    }

    fn receive(&mut self) {
        let Link::Up(connection) = &mut self.link else { return };
        let Ok(session) = self.shared.session() else { return };
        let vectors = session.vectors();
        let (changes, result) = receive_changes(connection, &session);
        self.shared.watch_late(vectors, session.vectors());
        for change in changes {
            self.tell(change);
        }
        if let Err(reason) = result {
            if let Link::Up(connection) = &self.link {
                let _ = epoll::remove(&self.shared.epoll, connection);
            }
            self.link = if self.reconnect.is_some() { Link::Away(Absence::new()) } else { Link::Down };
            self.tell(PeerEvent::ServerGone { reason });
        }
    }

    /// Tries to reach a server that went away; when to call again.
    fn come_back(&mut self) -> Option<Instant> {
        let (Link::Away(absence), Some(how)) = (&mut self.link, &self.reconnect) else { return None };
        let epoll = &self.shared.epoll;
        let watch = |socket: BorrowedFd<'_>| drop(epoll::add(epoll, socket, SERVER));
        let unwatch = |socket: BorrowedFd<'_>| drop(epoll::remove(epoll, socket));
        match absence.step(how, watch, unwatch) {
            Return::Later(at) => return Some(at),
            Return::OtherMemory => {
                self.link = Link::Down;
                self.tell(PeerEvent::MemoryReplaced);
            }
            Return::Same(Greeted { connection, session, .. }) => {
                let id = session.own_id();
                let _ = epoll::add(&self.shared.epoll, connection.as_fd(), SERVER);
                self.link = Link::Up(connection);
                self.shared.reconnect(session);
                self.tell(PeerEvent::Reconnected { id });
            }
        }
        None
    }

    fn tell(&self, event: PeerEvent) {
        self.shared.peer_events.deliver(&event, || true);
    }
}

/// The token of the server's socket, the old one or the one that is greeting.
const SERVER: u64 = WAKE + 1;
