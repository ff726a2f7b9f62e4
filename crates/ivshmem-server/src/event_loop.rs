//! The thread that serves all clients: waits for events, passes them to the engine, and sends the engine's messages.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::sys::linux::epoll::{self, Event};
use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::sys::linux::socket::{self, Sent};
use ivshmem::wire::server::{Engine, Outgoing};
use ivshmem::wire::{MESSAGE_LEN, Refusal};

use crate::admission::Porter;
use crate::connections::{Change, Connections, MessageCost, Newcomer, STALLED};
use crate::door::{Door, Knock, RETRY};
use crate::error::Error;
use crate::inquiry::Inquiries;
use crate::listener::Listener;
use crate::log::{self, Kind, Log};
use crate::memory::Region;
use crate::reserve;
use crate::status::{CounterStatus, LimitsStatus, PeerState, PeerStatus, ServerStatus, Status};

#[derive(Debug)]
pub(crate) struct EventLoop {
    epoll: OwnedFd,
    door: Door,
    region: Region,
    about: About,
    engine: Engine,
    connections: Connections,
    message_cost: MessageCost,
    /// Clients whose message the kernel refused for a reason that these clients did not cause.
    refused_by_kernel: Vec<PeerId>,
    /// When to repeat what the kernel refused.
    next_try: Instant,
    /// A client may have fallen behind since the last check.
    watching: bool,
    next_check: Instant,
    inquiries: Inquiries,
    counters: CounterStatus,
    log: Log,
}

/// What is fixed before the first client connects.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) server: ServerStatus,
    pub(crate) limits: LimitsStatus,
    pub(crate) since: Instant,
}

/// Messages sent between two polls for events, so that many messages do not delay an accept.
const SENDS_PER_ROUND: usize = 512;
/// Connections accepted between two polls for events.
const ACCEPTS_PER_ROUND: usize = 64;
const EVENTS_PER_ROUND: usize = 256;
/// How often the server checks for clients that have stopped reading, while there may be any.
const CHECK: Duration = Duration::from_secs(1);
/// How long a stopping server waits for clients that have not read their first messages, or the reason of their refusal.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lower tokens are client ids.
const FIRST_TURNED_AWAY: u64 = 1 << 16;
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const INQUIRY: u64 = u64::MAX - 2;

impl EventLoop {
    pub(crate) fn new(
        listener: Listener,
        porter: Porter,
        region: Region,
        about: About,
        engine: Engine,
        inquiries: Inquiries,
    ) -> Result<Self, Error> {
        let epoll = epoll::create().map_err(Error::io("creating an epoll"))?;
        let door = Door::open(listener, porter, epoll.as_fd(), LISTENER, FIRST_TURNED_AWAY)?;
        epoll::add(&epoll, &inquiries, INQUIRY).map_err(Error::io("waiting for questions"))?;
        let now = Instant::now();
        Ok(Self {
            epoll,
            door,
            region,
            about,
            engine,
            connections: Connections::default(),
            message_cost: MessageCost::measure().map_err(Error::io("measuring a socket"))?,
            refused_by_kernel: Vec::new(),
            next_try: now,
            watching: false,
            next_check: now,
            inquiries,
            counters: CounterStatus::default(),
            log: Log::new(now),
        })
    }

    /// Serves until `stop` becomes readable.
    pub(crate) fn run(mut self, stop: BorrowedFd<'_>) -> Result<(), Error> {
        epoll::add(&self.epoll, stop, STOP).map_err(Error::io("waiting for the end"))?;
        let mut stops = None;
        let mut more_to_send = false;
        loop {
            let asked_to_stop = self.round(more_to_send, stops)?;
            if asked_to_stop && stops.is_none() {
                // The descriptor stays readable.
                let _ = epoll::remove(&self.epoll, stop);
                self.door.close(self.epoll.as_fd(), &mut self.log);
                stops = Some(Instant::now() + FAREWELL);
            }
            more_to_send = self.send_some();
            if let Some(deadline) = stops
                && (Instant::now() >= deadline || !self.somebody_would_miss_a_word())
            {
                return Ok(());
            }
        }
    }

    /// Waits for events once and handles them. Returns whether `stop` is readable.
    fn round(&mut self, more_to_send: bool, deadline: Option<Instant>) -> Result<bool, Error> {
        let until = if more_to_send { Some(Instant::now()) } else { self.due(deadline) };
        let events = epoll::events::<EVENTS_PER_ROUND>(&self.epoll, until);
        let (mut stop, mut somebody_connects) = (false, false);
        for event in events.map_err(Error::io("waiting for events"))? {
            match event.token {
                STOP => stop = true,
                LISTENER => somebody_connects = true,
                INQUIRY => self.inquiries.heard(),
                FIRST_TURNED_AWAY.. => self.door.turned_away.event(self.epoll.as_fd(), event),
                _ => self.client_event(event),
            }
        }
        // After the other events: otherwise a new client could get an id that was freed in this round, and a pending event
        // of that id's previous client would be attributed to it.
        if somebody_connects && !stop {
            self.accept_some();
        }
        let now = Instant::now();
        self.retry_what_the_kernel_refused(now);
        self.door.reopen(self.epoll.as_fd(), now);
        self.check_on_clients(now);
        self.log.sum_up(now);
        if self.inquiries.due().is_some_and(|due| due <= now) {
            let status = self.status();
            self.inquiries.answer(status, now);
        }
        Ok(stop)
    }

    /// When something is to be done without an event; `None` when there is nothing to do.
    fn due(&self, deadline: Option<Instant>) -> Option<Instant> {
        let next_try = (!self.refused_by_kernel.is_empty()).then_some(self.next_try);
        let next_check = self.watching.then_some(self.next_check);
        let reopens = self.door.reopens();
        let times = [next_try, next_check, reopens, self.log.due(), self.inquiries.due(), deadline];
        times.into_iter().flatten().min()
    }

    fn client_event(&mut self, event: Event) {
        let Ok(id) = u16::try_from(event.token).map(PeerId) else { return };
        if event.ended {
            self.client_left(id);
            return;
        }
        // The protocol has no messages from clients. Unread bytes could carry a descriptor of the client's own end of the
        // connection, which would then stay open when its process has ended.
        if event.readable {
            if self.log.admits(Kind::ComingAndGoing) {
                tracing::warn!(client = %id, "client has sent something, which none may; closing its connection");
            }
            self.client_left(id);
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
        self.watching = true;
    }

    fn client_left(&mut self, id: PeerId) {
        let Some(connection) = self.connections.remove(id) else { return };
        // The epoll would keep the socket until its last copy is closed, and the id may belong to another client by then.
        let _ = epoll::remove(&self.epoll, &connection.socket);
        self.engine.disconnect(id);
        self.counters.left += 1;
        if self.log.admits(Kind::ComingAndGoing) {
            tracing::info!(client = %id, pid = connection.pid(), "client left");
        }
    }

    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_PER_ROUND {
            match self.door.accept(self.epoll.as_fd(), &mut self.log) {
                Knock::Somebody(socket) => self.admit(socket),
                Knock::Refused => {}
                Knock::Nobody => return,
            }
        }
    }

    fn admit(&mut self, socket: ForeignSocket) {
        match self.make_room(&socket) {
            Ok((id, newcomer)) => {
                self.counters.accepted += 1;
                if self.log.admits(Kind::ComingAndGoing) {
                    let who = newcomer.who;
                    tracing::info!(client = %id, pid = who.pid, uid = who.uid, "client connected");
                }
                self.connections.insert(id, newcomer.with(socket));
                self.watching = true;
            }
            Err(refusal) => self.door.refuse(self.epoll.as_fd(), &mut self.log, socket, refusal),
        }
    }

    fn make_room(&mut self, socket: &ForeignSocket) -> Result<(PeerId, Newcomer), Refusal> {
        let who = self.door.admit(socket)?;
        if !reserve::is_there(self.engine.connected()) {
            return Err(Refusal::OutOfMemory);
        }
        let id = self.engine.connect(who.uid)?;
        let newcomer = Newcomer::new(who, self.about.server.vectors).and_then(|newcomer| {
            epoll::add_connection(&self.epoll, socket, id.0.into())?;
            Ok(newcomer)
        });
        match newcomer {
            Ok(newcomer) => Ok((id, newcomer)),
            Err(_) => {
                self.engine.disconnect(id);
                Err(Refusal::OutOfDescriptors)
            }
        }
    }

    fn retry_what_the_kernel_refused(&mut self, now: Instant) {
        if now < self.next_try {
            return;
        }
        for id in std::mem::take(&mut self.refused_by_kernel) {
            self.look_what_is_read(id);
        }
    }

    /// Returns whether more messages are left to send.
    fn send_some(&mut self) -> bool {
        for _ in 0..SENDS_PER_ROUND {
            let Some((id, message)) = self.engine.next_message() else { return false };
            match self.send(id, message) {
                Ok(Sent::Bytes(MESSAGE_LEN)) => self.sent(id, message),
                Ok(Sent::WouldBlock) => self.engine.socket_full(id),
                Ok(Sent::Closed) => self.client_left(id),
                Ok(Sent::Bytes(cut)) => {
                    // The kernel takes all eight bytes or none. After a partial message the stream could not be repaired.
                    tracing::error!(client = %id, cut, "a message was cut short, closing the connection");
                    self.client_left(id);
                }
                Ok(Sent::TooManyInFlight) => self.kernel_refused(id, &"too many descriptors in flight"),
                Err(error) => self.kernel_refused(id, &error),
            }
            self.watching = true;
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

    fn sent(&mut self, id: PeerId, message: Outgoing) {
        self.engine.sent(id, message);
        self.counters.messages += 1;
        if let Outgoing::Vector { peer, index } = message
            && peer == id
            && index + 1 == self.about.server.vectors
            && tracing::enabled!(tracing::Level::DEBUG)
            && self.log.admits(Kind::ComingAndGoing)
        {
            tracing::debug!(client = %id, peers = self.engine.connected() - 1, "client greeted");
        }
    }

    /// Other processes of this user may have exhausted the kernel's limit. No message is lost: the client's messages wait.
    fn kernel_refused(&mut self, id: PeerId, why: &dyn std::fmt::Display) {
        self.engine.socket_full(id);
        if self.refused_by_kernel.is_empty() {
            self.next_try = Instant::now() + RETRY;
        }
        self.refused_by_kernel.push(id);
        if self.log.admits(Kind::Kernel) {
            tracing::warn!(client = %id, "cannot send, trying again: {why}");
        }
    }

    /// Logs clients that have stopped reading, and clients that have caught up.
    fn check_on_clients(&mut self, now: Instant) {
        if !self.watching || now < self.next_check {
            return;
        }
        self.watching = false;
        self.next_check = now + CHECK;
        for (id, connection) in self.connections.iter_mut() {
            let unread = self.engine.in_flight_to(id);
            let behind = unread > 0 && self.engine.is_behind(id);
            let pid = connection.pid();
            let change = connection.judge(behind, now);
            self.watching |= connection.is_on_probation();
            let Some(change) = change.filter(|_| self.log.admits(Kind::Stalls)) else { continue };
            match change {
                Change::Stalled => {
                    let seconds = STALLED.as_secs();
                    tracing::warn!(client = %id, pid, unread, "client has not read for {seconds} s; the rest waits");
                }
                Change::CaughtUp => tracing::info!(client = %id, pid, "client has caught up"),
            }
        }
    }

    /// Whether closing the connections now would leave a peer without its messages. A QEMU that gets its device at run time
    /// discards unread messages when the connection ends, and then loops indefinitely in `device_add`. A QEMU that starts reads
    /// them; it loops only if it was sent neither all three first messages nor a refusal.
    fn somebody_would_miss_a_word(&self) -> bool {
        self.door.turned_away.len() > 0 || self.connections.iter().any(|(id, _)| !self.engine.has_begun(id))
    }

    fn status(&self) -> Status {
        let now = Instant::now();
        let mut server = self.about.server.clone();
        server.uptime_seconds = now.duration_since(self.about.since).as_secs_f64();
        let mut counters = self.counters.clone();
        counters.refused = self.door.refused();
        counters.lost_log_lines = log::lost();
        Status {
            format: 1,
            server,
            limits: self.about.limits,
            clients: self.engine.connected(),
            free_ids: self.engine.free_ids(),
            in_flight: self.engine.in_flight(),
            turned_away: u32::try_from(self.door.turned_away.len()).expect("few are kept"),
            peers: self.peers(now),
            counters,
        }
    }

    fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        let peer = |(id, connection): (PeerId, &crate::connections::Connection)| {
            let who = connection.newcomer.who;
            let unread_bytes = socket::unread(&connection.socket).unwrap_or(0);
            PeerStatus {
                id: id.0,
                pid: who.pid,
                uid: who.uid,
                gid: who.gid,
                vectors: self.about.server.vectors,
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
        self.connections.iter().map(peer).collect()
    }
}

impl Drop for EventLoop {
    /// Also after an error: connections that wait get the reason of their refusal.
    fn drop(&mut self) {
        self.door.close(self.epoll.as_fd(), &mut self.log);
    }
}
