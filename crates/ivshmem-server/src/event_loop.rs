//! The one thread that serves all clients: waits for events, feeds the engine, sends what the engine wants sent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::socket::{self, Sent};
use ivshmem::wire::server::{Engine, Outgoing};
use ivshmem::wire::{MESSAGE_LEN, Refusal};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketFlags, accept_with};

use crate::Error;
use crate::connections::{Change, Connections, MessageCost, Newcomer, STALLED};
use crate::listener::Listener;
use crate::memory::Region;
use crate::server::Counters;
use crate::throttle::Throttle;
use crate::turned_away::TurnedAway;

#[derive(Debug)]
pub(crate) struct EventLoop {
    epoll: OwnedFd,
    listener: Listener,
    region: Region,
    vectors: u16,
    engine: Engine,
    connections: Connections,
    turned_away: TurnedAway,
    /// Given up for a moment to accept, and refuse, when no descriptor is left.
    reserve: Option<OwnedFd>,
    message_cost: MessageCost,
    /// Clients to whom the kernel refused to send for a reason that is not theirs.
    refused_by_kernel: Vec<PeerId>,
    accepting_paused: bool,
    /// When to ask the kernel again for what it refused.
    next_try: Instant,
    /// Somebody may have fallen behind since the last check.
    watching: bool,
    next_check: Instant,
    counters: Arc<Counters>,
    log: Log,
}

#[derive(Debug, Default)]
struct Log {
    coming_and_going: Throttle,
    refusals: Throttle,
    kernel: Throttle,
}

/// Messages sent between two looks at the events, so that no flood of news delays an accept.
const SENDS_PER_ROUND: usize = 512;
/// Connections accepted between two looks at the events.
const ACCEPTS_PER_ROUND: usize = 64;
const EVENTS_PER_ROUND: usize = 256;
/// How long to wait before asking a kernel again that had no room.
const RETRY: Duration = Duration::from_millis(10);
/// How often to look for clients that have stopped reading, while there may be any.
const CHECK: Duration = Duration::from_secs(1);

/// Tokens below are the ids of clients.
const FIRST_TURNED_AWAY: u64 = 1 << 16;
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

impl EventLoop {
    pub(crate) fn new(
        listener: Listener,
        region: Region,
        vectors: u16,
        engine: Engine,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::io("creating an epoll"))?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)
            .map_err(Error::io("waiting for connections"))?;
        Ok(Self {
            epoll,
            listener,
            region,
            vectors,
            engine,
            connections: Connections::default(),
            turned_away: TurnedAway::new(FIRST_TURNED_AWAY),
            reserve: Some(eventfd::create().map_err(Error::io("creating an eventfd"))?),
            message_cost: MessageCost::measure().map_err(Error::io("measuring a socket"))?,
            refused_by_kernel: Vec::new(),
            accepting_paused: false,
            next_try: Instant::now(),
            watching: false,
            next_check: Instant::now(),
            counters,
            log: Log::default(),
        })
    }

    /// Serves until `stop` becomes readable.
    pub(crate) fn run(mut self, stop: BorrowedFd<'_>) -> Result<(), Error> {
        epoll::add(&self.epoll, stop, EventData::new_u64(STOP), EventFlags::IN)
            .map_err(Error::io("waiting for the end"))?;
        let mut events = Vec::with_capacity(EVENTS_PER_ROUND);
        let mut more_to_send = false;
        loop {
            let timeout = self.timeout(more_to_send).map(eventfd::timespec);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(e) => return Err(Error::io("waiting for events")(e)),
            }
            let mut somebody_connects = false;
            for event in events.drain(..) {
                match event.data.u64() {
                    STOP => return Ok(()),
                    LISTENER => somebody_connects = true,
                    token @ FIRST_TURNED_AWAY.. => self.turned_away.event(token, event.flags),
                    id => self.client_event(id, event.flags),
                }
            }
            // After the others: an id given up in this round must not be mistaken for its next owner.
            if somebody_connects {
                self.accept_some();
            }
            self.retry_what_the_kernel_refused();
            more_to_send = self.send_some();
            self.check_on_clients();
            self.counters.update(&self.engine);
        }
    }

    fn timeout(&self, more_to_send: bool) -> Option<Duration> {
        if more_to_send {
            Some(Duration::ZERO)
        } else if self.accepting_paused || !self.refused_by_kernel.is_empty() {
            Some(self.next_try.saturating_duration_since(Instant::now()))
        } else if self.watching {
            Some(self.next_check.saturating_duration_since(Instant::now()))
        } else {
            None
        }
    }

    fn client_event(&mut self, token: u64, flags: EventFlags) {
        let Ok(id) = u16::try_from(token).map(PeerId) else { return };
        if flags.intersects(EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR) {
            self.client_left(id);
            return;
        }
        // A send that the kernel refuses makes the socket report room. To believe that would be to ask without a pause.
        if !self.refused_by_kernel.contains(&id) {
            self.look_what_is_read(id);
        }
    }

    /// The kernel reports every read of a client that has little left to read.
    fn look_what_is_read(&mut self, id: PeerId) {
        let Some(connection) = self.connections.get(id) else { return };
        if let Ok(bytes) = socket::unread(&connection.socket) {
            self.engine.unread(id, self.message_cost.messages(bytes));
        }
        self.watching = true;
    }

    fn client_left(&mut self, id: PeerId) {
        let Some(connection) = self.connections.remove(id) else { return };
        self.engine.disconnect(id);
        if self.log.coming_and_going.admits(Instant::now()) {
            tracing::info!(client = %id, pid = connection.pid(), "client left");
        }
    }

    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_PER_ROUND {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(&self.listener, flags) {
                Ok(socket) => self.admit(socket),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => {
                    // Without a descriptor to give up there is nothing to do until one is free.
                    let Some(reserve) = self.reserve.take() else { return self.pause_accepting(error) };
                    drop(reserve);
                    let accepted = accept_with(&self.listener, flags);
                    if let Ok(socket) = accepted {
                        self.refuse(socket, Refusal::OutOfDescriptors);
                    }
                    self.reserve = eventfd::create().ok();
                    if self.reserve.is_none() {
                        self.turned_away.close_oldest();
                        self.reserve = eventfd::create().ok();
                    }
                }
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        match self.make_room(&socket) {
            Ok((id, connection)) => {
                if self.log.coming_and_going.admits(Instant::now()) {
                    let (pid, uid) = (connection.pid(), connection.uid());
                    tracing::info!(client = %id, pid, uid, "client connected");
                }
                self.connections.insert(id, connection.with(socket));
                self.watching = true;
            }
            Err(refusal) => self.refuse(socket, refusal),
        }
    }

    fn make_room(&mut self, socket: &OwnedFd) -> Result<(PeerId, Newcomer), Refusal> {
        let who = socket_peercred(socket).map_err(|_| Refusal::NotAdmitted)?;
        let id = self.engine.connect(who.uid.as_raw())?;
        let flags = EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let newcomer = Newcomer::new(who, self.vectors).and_then(|newcomer| {
            epoll::add(&self.epoll, socket, EventData::new_u64(id.0.into()), flags)?;
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

    /// Says why by the version message; a fresh socket always has room for it. QEMU prints it and exits.
    fn refuse(&mut self, socket: OwnedFd, refusal: Refusal) {
        self.counters.refused();
        let version = refusal.version();
        let told = socket::send(socket.as_fd(), &version.to_le_bytes(), None);
        if self.log.refusals.admits(Instant::now()) {
            let who = socket_peercred(&socket).ok();
            let (pid, uid) = (who.map(|w| w.pid.as_raw_nonzero().get()), who.map(|w| w.uid.as_raw()));
            let (clients, free_ids) = (self.engine.connected(), self.engine.free_ids());
            tracing::warn!(version, pid, uid, clients, free_ids, ?told, "client refused: {refusal}");
        }
        self.turned_away.keep(self.epoll.as_fd(), socket);
    }

    fn pause_accepting(&mut self, error: Errno) {
        if self.log.kernel.admits(Instant::now()) {
            tracing::warn!("cannot accept, trying again: {error}");
        }
        if epoll::delete(&self.epoll, &self.listener).is_ok() {
            self.accepting_paused = true;
            self.next_try = Instant::now() + RETRY;
        }
    }

    fn retry_what_the_kernel_refused(&mut self) {
        if Instant::now() < self.next_try {
            return;
        }
        for id in std::mem::take(&mut self.refused_by_kernel) {
            self.look_what_is_read(id);
            self.engine.retry(id);
        }
        if self.accepting_paused {
            let data = EventData::new_u64(LISTENER);
            let resumed = epoll::add(&self.epoll, &self.listener, data, EventFlags::IN);
            self.accepting_paused = resumed.is_err();
            self.reserve = self.reserve.take().or_else(|| eventfd::create().ok());
        }
    }

    /// Tells whether there is more to send.
    fn send_some(&mut self) -> bool {
        for _ in 0..SENDS_PER_ROUND {
            let Some((id, message)) = self.engine.next_message() else { return false };
            match self.send(id, message) {
                Ok(Sent::Bytes(MESSAGE_LEN)) => self.sent(id, message),
                Ok(Sent::WouldBlock) => self.engine.socket_full(id),
                Ok(Sent::Closed) => self.client_left(id),
                Ok(Sent::Bytes(cut)) => {
                    // The kernel takes eight bytes or none. If it ever cut them, the stream could not be mended.
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
            // A peer is announced only while it is connected, so its eventfds are there.
            Outgoing::Vector { peer, index } => self.connections.vector(peer, index),
            _ => None,
        };
        socket::send(connection.socket.as_fd(), &message.value().to_le_bytes(), fd)
    }

    fn sent(&mut self, id: PeerId, message: Outgoing) {
        self.engine.sent(id, message);
        if let Outgoing::Vector { peer, index } = message
            && peer == id
            && index + 1 == self.vectors
        {
            tracing::debug!(client = %id, peers = self.engine.connected() - 1, "client greeted");
        }
    }

    /// Other processes of this user may have used up what the kernel allows. Nothing is lost: the client waits.
    fn kernel_refused(&mut self, id: PeerId, why: &dyn std::fmt::Display) {
        self.engine.socket_full(id);
        if self.refused_by_kernel.is_empty() {
            self.next_try = Instant::now() + RETRY;
        }
        self.refused_by_kernel.push(id);
        if self.log.kernel.admits(Instant::now()) {
            tracing::warn!(client = %id, "cannot send, trying again: {why}");
        }
    }

    /// Logs who has stopped reading, and who has caught up.
    fn check_on_clients(&mut self) {
        let now = Instant::now();
        if !self.watching || now < self.next_check {
            return;
        }
        self.watching = false;
        self.next_check = now + CHECK;
        for (id, connection) in self.connections.iter_mut() {
            let unread = self.engine.in_flight_to(id);
            let behind = unread > 0 && self.engine.is_behind(id);
            let pid = connection.pid();
            match connection.judge(behind, now) {
                Some(Change::Stalled) => {
                    let seconds = STALLED.as_secs();
                    tracing::warn!(client = %id, pid, unread, "client has not read for {seconds} s; the rest waits");
                }
                Some(Change::CaughtUp) => tracing::info!(client = %id, pid, "client has caught up"),
                None => {}
            }
            self.watching |= connection.is_on_probation();
        }
    }
}

impl Drop for EventLoop {
    /// QEMU spins for ever on a connection that ends before its first messages, so nobody is left without a word.
    fn drop(&mut self) {
        self.listener.remove_name();
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            self.refuse(socket, Refusal::Stopping);
        }
    }
}
