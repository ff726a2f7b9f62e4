//! The thread that serves all clients: waits for events and passes them to the parts that they concern.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::epoll;
use ivshmem::sys::linux::foreign::ForeignSocket;
use ivshmem::wire::server::Engine;

use crate::acceptor::{Acceptor, Attempt};
use crate::admission::Gatekeeper;
use crate::clients::Clients;
use crate::error::Error;
use crate::listener::Listener;
use crate::log::{self, Log};
use crate::memory::Region;
use crate::status::{LimitsStatus, ServerStatus, Status};
use crate::status_query::StatusQueries;

#[derive(Debug)]
pub(crate) struct EventLoop {
    epoll: OwnedFd,
    acceptor: Acceptor,
    clients: Clients,
    info: ServerInfo,
    queries: StatusQueries,
    log: Log,
}

/// What is fixed before the first client connects.
#[derive(Debug)]
pub(crate) struct ServerInfo {
    pub(crate) server: ServerStatus,
    pub(crate) limits: LimitsStatus,
    pub(crate) since: Instant,
}

/// Connections accepted between two polls for events.
const ACCEPTS_PER_ROUND: usize = 64;
const EVENTS_PER_ROUND: usize = 256;
/// How long a stopping server waits for clients that have not read their first messages, or the reason of their refusal.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lower tokens are client ids.
const FIRST_REFUSED: u64 = 1 << 16;
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const QUERY: u64 = u64::MAX - 2;

impl EventLoop {
    pub(crate) fn new(
        listener: Listener,
        gatekeeper: Gatekeeper,
        region: Region,
        info: ServerInfo,
        engine: Engine,
        queries: StatusQueries,
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let epoll = epoll::create().map_err(Error::io("creating an epoll"))?;
        let acceptor = Acceptor::open(listener, gatekeeper, epoll.as_fd(), LISTENER, FIRST_REFUSED)?;
        epoll::add(&epoll, &queries, QUERY).map_err(Error::io("waiting for questions"))?;
        let clients = Clients::new(engine, region, info.server.vectors, now)?;
        Ok(Self { epoll, acceptor, clients, info, queries, log: Log::new(now) })
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
                self.acceptor.close(self.epoll.as_fd(), &mut self.log);
                stops = Some(Instant::now() + FAREWELL);
            }
            more_to_send = self.clients.send_some(self.epoll.as_fd(), &mut self.log);
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
        let (epoll, log) = (self.epoll.as_fd(), &mut self.log);
        let (mut stop, mut somebody_connects) = (false, false);
        for event in events.map_err(Error::io("waiting for events"))? {
            match event.token {
                STOP => stop = true,
                LISTENER => somebody_connects = true,
                QUERY => self.queries.heard(),
                FIRST_REFUSED.. => self.acceptor.unread.event(epoll, event),
                _ => self.clients.event(epoll, event, log),
            }
        }
        // After the other events: otherwise a new client could get an id that was freed in this round, and a pending event
        // of that id's previous client would be attributed to it.
        if somebody_connects && !stop {
            self.accept_some();
        }
        let now = Instant::now();
        self.clients.retry_what_the_kernel_refused(now);
        self.acceptor.reopen(self.epoll.as_fd(), now);
        self.clients.check(now, &mut self.log);
        self.log.sum_up(now);
        if self.queries.due().is_some_and(|due| due <= now) {
            let status = self.status();
            self.queries.answer(status, now);
        }
        Ok(stop)
    }

    /// When something is to be done without an event; `None` when there is nothing to do.
    fn due(&self, deadline: Option<Instant>) -> Option<Instant> {
        let times =
            [self.clients.due(), self.acceptor.reopens(), self.log.due(), self.queries.due(), deadline];
        times.into_iter().flatten().min()
    }

    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_PER_ROUND {
            match self.acceptor.accept(self.epoll.as_fd(), &mut self.log) {
                Attempt::Connection(socket) => self.admit(socket),
                Attempt::Refused => {}
                Attempt::None => return,
            }
        }
    }

    fn admit(&mut self, socket: ForeignSocket) {
        let (epoll, log) = (self.epoll.as_fd(), &mut self.log);
        let admitted = self.acceptor.admit(&socket);
        match admitted.and_then(|who| self.clients.make_room(epoll, &socket, who)) {
            Ok((id, newcomer)) => self.clients.add(id, newcomer.with(socket), log),
            Err(refusal) => self.acceptor.refuse(epoll, log, socket, refusal),
        }
    }

    /// Whether closing the connections now would leave a peer without its messages. A QEMU that gets its device at run time
    /// discards unread messages when the connection ends, and then loops indefinitely in `device_add`. A QEMU that starts reads
    /// them; it loops only if it was sent neither all three first messages nor a refusal.
    fn somebody_would_miss_a_word(&self) -> bool {
        self.acceptor.unread.len() > 0 || !self.clients.have_begun()
    }

    fn status(&self) -> Status {
        let now = Instant::now();
        let mut server = self.info.server.clone();
        server.uptime_seconds = now.duration_since(self.info.since).as_secs_f64();
        let mut counters = self.clients.counters();
        counters.refused = self.acceptor.refused();
        counters.lost_log_lines = log::lost();
        let engine = self.clients.engine();
        Status {
            format: 1,
            server,
            limits: self.info.limits,
            clients: engine.connected(),
            free_ids: engine.free_ids(),
            in_flight: engine.in_flight(),
            turned_away: u32::try_from(self.acceptor.unread.len()).expect("few are kept"),
            peers: self.clients.status(now),
            counters,
        }
    }
}

impl Drop for EventLoop {
    /// Also after an error: connections that wait get the reason of their refusal.
    fn drop(&mut self) {
        self.acceptor.close(self.epoll.as_fd(), &mut self.log);
    }
}
