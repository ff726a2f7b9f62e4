//! The clients: which messages they get, and whether they read them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use ivshmem::PeerId;
use ivshmem::sys::linux::epoll::{self, Event};
use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::peer::Credentials;
use ivshmem::sys::linux::socket::{self, Sent};
use ivshmem::wire::server::{Engine, Outgoing};
use ivshmem::wire::{MESSAGE_LEN, Refusal};

use crate::acceptor::RETRY;
use crate::connections::{Change, Connection, Connections, MessageCost, Newcomer, STALLED};
use crate::error::Error;
use crate::log::{Kind, Log};
use crate::memory::Region;
use crate::reserve;
use crate::status::{CounterStatus, PeerState, PeerStatus};

#[derive(Debug)]
pub(crate) struct Clients {
    engine: Engine,
    region: Region,
    /// Number of vectors of each client.
    vectors: u16,
    connections: Connections,
    message_cost: MessageCost,
    /// Clients whose message the kernel refused for a reason that these clients did not cause.
    refused_by_kernel: Vec<PeerId>,
    /// When to repeat what the kernel refused.
    next_try: Instant,
    counters: CounterStatus,
}

/// Messages sent between two polls for events, so that many messages do not delay an accept.
const SENDS_PER_ROUND: usize = 512;

impl Clients {
    pub(crate) fn new(engine: Engine, region: Region, vectors: u16, now: Instant) -> Result<Self, Error> {
        Ok(Self {
            engine,
            region,
            vectors,
            connections: Connections::new(now),
            message_cost: MessageCost::measure().map_err(Error::io("measuring a socket"))?,
            refused_by_kernel: Vec::new(),
            next_try: now,
            counters: CounterStatus::default(),
        })
    }

    /// Gives a new client its id and its eventfds. The epoll reports the id as the token.
    pub(crate) fn make_room(
        &mut self,
        epoll: BorrowedFd<'_>,
        socket: &ForeignSocket,
        who: Credentials,
    ) -> Result<(PeerId, Newcomer), Refusal> {
        if !reserve::is_there(self.engine.connected()) {
            return Err(Refusal::OutOfMemory);
        }
        let id = self.engine.connect(who.uid)?;
        let newcomer = Newcomer::new(who, self.vectors).and_then(|newcomer| {
            epoll::add_connection(epoll, socket, id.0.into())?;
            Ok(newcomer)
        });
        newcomer.map(|newcomer| (id, newcomer)).map_err(|_| {
            self.engine.disconnect(id);
            Refusal::OutOfDescriptors
        })
    }

    /// Adds a client for which there is room.
    pub(crate) fn add(&mut self, id: PeerId, connection: Connection, log: &mut Log) {
        self.counters.accepted += 1;
        if log.admits(Kind::ComingAndGoing) {
            let who = connection.newcomer.who;
            tracing::info!(client = %id, pid = who.pid, uid = who.uid, "client connected");
        }
        self.connections.insert(id, connection);
    }

    /// Handles an event whose token is a client's id.
    pub(crate) fn event(&mut self, epoll: BorrowedFd<'_>, event: Event, log: &mut Log) {
        let Ok(id) = u16::try_from(event.token).map(PeerId) else { return };
        if event.ended {
            self.left(epoll, id, log);
            return;
        }
        // The protocol has no messages from clients. Unread bytes could carry a descriptor of the client's own end of the
        // connection, which would then stay open when its process has ended.
        if event.readable {
            if log.admits(Kind::ComingAndGoing) {
                tracing::warn!(client = %id, "client has sent something, which none may; closing its connection");
            }
            self.left(epoll, id, log);
            return;
        }
        // A send that the kernel refuses makes the socket report room. Reacting to that report would repeat the send
        // without a pause.
        if !self.refused_by_kernel.contains(&id) {
            self.look_what_is_read(id);
        }
    }

    /// Updates the number of unread messages. The kernel reports every read of a client that has few unread messages.
    fn look_what_is_read(&mut self, id: PeerId) {
        let Some(connection) = self.connections.get(id) else { return };
        let known = self.engine.in_flight_to(id);
        let unread =
            socket::unread(&connection.socket).map_or(known, |bytes| self.message_cost.messages(bytes));
        self.engine.unread(id, unread);
        self.connections.watch();
    }

    fn left(&mut self, epoll: BorrowedFd<'_>, id: PeerId, log: &mut Log) {
        let Some(connection) = self.connections.remove(id) else { return };
        // The epoll would keep the socket until its last copy is closed, and the id may belong to another client by then.
        let _ = epoll::remove(epoll, &connection.socket);
        self.engine.disconnect(id);
        self.counters.left += 1;
        if log.admits(Kind::ComingAndGoing) {
            tracing::info!(client = %id, pid = connection.pid(), "client left");
        }
    }

    /// When to repeat what the kernel refused or to check on the clients; `None` when there is nothing to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next_try = (!self.refused_by_kernel.is_empty()).then_some(self.next_try);
        next_try.into_iter().chain(self.connections.next_check()).min()
    }

    pub(crate) fn retry_what_the_kernel_refused(&mut self, now: Instant) {
        if now < self.next_try {
            return;
        }
        for id in std::mem::take(&mut self.refused_by_kernel) {
            self.look_what_is_read(id);
        }
    }

    /// Returns whether more messages are left to send.
    pub(crate) fn send_some(&mut self, epoll: BorrowedFd<'_>, log: &mut Log) -> bool {
        for _ in 0..SENDS_PER_ROUND {
            let Some((id, message)) = self.engine.next_message() else { return false };
            match self.send(id, message) {
                Ok(Sent::Bytes(MESSAGE_LEN)) => self.sent(id, message, log),
                Ok(Sent::WouldBlock) => self.engine.socket_full(id),
                Ok(Sent::Closed) => self.left(epoll, id, log),
                Ok(Sent::Bytes(cut)) => {
                    // The kernel takes all eight bytes or none. After a partial message the stream could not be repaired.
                    tracing::error!(client = %id, cut, "a message was cut short, closing the connection");
                    self.left(epoll, id, log);
                }
                Ok(Sent::TooManyInFlight) => self.kernel_refused(id, &"too many descriptors in flight", log),
                Err(error) => self.kernel_refused(id, &error, log),
            }
            self.connections.watch();
        }
        true
    }

    fn send(&self, id: PeerId, message: Outgoing) -> io::Result<Sent> {
        let Some(connection) = self.connections.get(id) else { return Ok(Sent::Closed) };
        let fd = match message {
            Outgoing::Memory => Some(self.region.as_fd()),
            // A peer is announced only while it is connected, so its eventfds exist.
            Outgoing::Vector { peer, index } => self.connections.vector(peer, index),
            _ => None,
        };
        socket::send(connection.socket.as_fd(), &message.value().to_le_bytes(), fd)
    }

    fn sent(&mut self, id: PeerId, message: Outgoing, log: &mut Log) {
        self.engine.sent(id, message);
        self.counters.messages += 1;
        if let Outgoing::Vector { peer, index } = message
            && peer == id
            && index + 1 == self.vectors
            && tracing::enabled!(tracing::Level::DEBUG)
            && log.admits(Kind::ComingAndGoing)
        {
            tracing::debug!(client = %id, peers = self.engine.connected() - 1, "client greeted");
        }
    }

    /// Other processes of this user may have exhausted the kernel's limit. No message is lost: the client's messages wait.
    fn kernel_refused(&mut self, id: PeerId, why: &dyn std::fmt::Display, log: &mut Log) {
        self.engine.socket_full(id);
        if self.refused_by_kernel.is_empty() {
            self.next_try = Instant::now() + RETRY;
        }
        self.refused_by_kernel.push(id);
        if log.admits(Kind::Kernel) {
            tracing::warn!(client = %id, "cannot send, trying again: {why}");
        }
    }

    /// Logs clients that have stopped reading, and clients that have caught up.
    pub(crate) fn check(&mut self, now: Instant, log: &mut Log) {
        let engine = &self.engine;
        let behind = |id| engine.in_flight_to(id) > 0 && engine.is_behind(id);
        self.connections.check(now, behind, |id, pid, change| {
            if !log.admits(Kind::Stalls) {
                return;
            }
            let (seconds, unread) = (STALLED.as_secs(), engine.in_flight_to(id));
            match change {
                Change::Stalled => {
                    tracing::warn!(client = %id, pid, unread, "client has not read for {seconds} s; the rest waits");
                }
                Change::CaughtUp => tracing::info!(client = %id, pid, "client has caught up"),
            }
        });
    }

    /// Whether each client was sent all of its first messages.
    pub(crate) fn have_begun(&self) -> bool {
        self.connections.iter().all(|(id, _)| self.engine.has_begun(id))
    }

    /// Numbers of clients, ids and messages.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What has happened to clients since the start.
    pub(crate) fn counters(&self) -> CounterStatus {
        self.counters.clone()
    }

    /// The state of each client.
    pub(crate) fn status(&self, now: Instant) -> Vec<PeerStatus> {
        let status = |(id, connection): (PeerId, &Connection)| {
            let who = connection.newcomer.who;
            let unread_bytes = socket::unread(&connection.socket).unwrap_or(0);
            PeerStatus {
                id: id.0,
                pid: who.pid,
                uid: who.uid,
                gid: who.gid,
                vectors: self.vectors,
                connected_seconds: now.duration_since(connection.newcomer.since).as_secs_f64(),
                state: match (self.engine.has_begun(id), self.engine.is_greeted(id)) {
                    (false, _) => PeerState::Connected,
                    (true, false) => PeerState::Greeting,
                    (true, true) => PeerState::Greeted,
                },
                unread_messages: self.message_cost.messages(unread_bytes),
                unread_bytes,
                behind: self.engine.is_behind(id),
                stalled: connection.is_stalled(),
            }
        };
        self.connections.iter().map(status).collect()
    }
}
