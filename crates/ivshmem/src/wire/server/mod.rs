//! The server's end: who is there, and what each client is to be told next.
//!
//! For each client the engine keeps the difference between what it was told and what is true, and works out the next
//! message when the client can take one. There is no queue of messages: a client that was stopped for an hour is
//! brought up to date when it reads again, and peers that came and went meanwhile are never mentioned to it.
//!
//! The caller owns sockets and descriptors. It asks [`Engine::next_message`], sends, and says how that went:
//!
//! ```
//! use ivshmem::wire::server::{Engine, Limits, Outgoing};
//!
//! let mut engine = Engine::new(Limits { vectors: 2, clients: 100, in_flight: 512 });
//! let id = engine.connect(1000)?;
//! let mut sent = 0;
//! while let Some((to, message)) = engine.next_message() {
//!     assert_eq!(to, id);
//!     engine.sent(to, message); // or engine.socket_full(to)
//!     sent += 1;
//! }
//! assert_eq!(sent, 3); // version, id and memory; the rest follows when the client has read something
//! engine.unread(id, 0);
//! assert_eq!(engine.next_message(), Some((id, Outgoing::Vector { peer: id, index: 0 })));
//! # Ok::<(), ivshmem::wire::Refusal>(())
//! ```

mod budget;
mod client;
#[cfg(test)]
mod history_tests;
mod id_set;
mod ids;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::budget::Budget;
use self::client::{Client, WaitsFor};
use self::id_set::IdSet;
use self::ids::Ids;
use super::{MAX_PEERS, MAX_VECTORS, PROTOCOL_VERSION, PeerId, Refusal};

/// What the engine must stay within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Vectors of each client, 0 to 256. Without any, a client hears of nobody: a peer is announced by its vectors.
    pub vectors: u16,
    /// Clients at the same time, 1 to 65,536.
    pub clients: u32,
    /// Messages sent and not yet read, all clients together. Each may carry a descriptor. Beyond it every client may
    /// still have its first three messages, or else one, in flight.
    pub in_flight: u32,
}

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// The protocol's version.
    Version,
    /// The client's own id.
    OwnId(PeerId),
    /// The shared memory; its descriptor goes along.
    Memory,
    /// The next vector of a peer, or of the client itself; that vector's eventfd goes along.
    Vector {
        /// Whose vector.
        peer: PeerId,
        /// Which of that peer's vectors, counted from 0.
        index: u16,
    },
    /// This peer is gone.
    Gone(PeerId),
}

impl Outgoing {
    /// The number that stands in the message.
    pub fn value(self) -> i64 {
        match self {
            Self::Version => PROTOCOL_VERSION,
            Self::Memory => -1,
            Self::OwnId(peer) | Self::Vector { peer, .. } | Self::Gone(peer) => peer.0.into(),
        }
    }
}

/// The state of a server, without sockets, clock or threads.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    /// By id.
    clients: Vec<Option<Client>>,
    connected: u32,
    /// Clients that have begun to read: the peers that others are told of.
    present: IdSet,
    ids: Ids,
    budget: Budget,
    /// Clients whose turn it is. One that left may still stand here; it is passed over.
    queue: VecDeque<PeerId>,
}

impl Engine {
    /// A server without clients.
    ///
    /// # Panics
    /// When `vectors` or `clients` is outside its range.
    pub fn new(limits: Limits) -> Self {
        assert!(limits.vectors <= MAX_VECTORS, "vectors: {}", limits.vectors);
        assert!((1..=MAX_PEERS).contains(&limits.clients), "clients: {}", limits.clients);
        Self {
            limits,
            clients: Vec::new(),
            connected: 0,
            present: IdSet::default(),
            ids: Ids::default(),
            budget: Budget::new(limits.in_flight),
            queue: VecDeque::new(),
        }
    }

    /// A client of this user has connected.
    ///
    /// # Errors
    /// Why it must be refused: send it [`Refusal::version`] and close. Nothing is kept of it.
    pub fn connect(&mut self, uid: u32) -> Result<PeerId, Refusal> {
        if self.connected >= self.limits.clients {
            return Err(Refusal::TooManyClients);
        }
        let id = self.ids.take(uid)?;
        let index = usize::from(id.0);
        if index >= self.clients.len() {
            self.clients.resize_with(index + 1, || None);
        }
        self.clients[index] = Some(Client::new(id));
        self.connected += 1;
        // Before all others: QEMU does nothing else until it has its first messages.
        self.queue.push_front(id);
        Ok(id)
    }

    /// A client is gone: those that were told of it will be told so.
    pub fn disconnect(&mut self, id: PeerId) {
        let Some(client) = self.clients.get_mut(usize::from(id.0)).and_then(Option::take) else { return };
        self.connected -= 1;
        if client.waits_for == WaitsFor::Budget {
            self.budget.unpark(client.in_flight, id);
        }
        for peer in client.seen.iter() {
            self.ids.forgotten(peer);
        }
        self.ids.release(id);
        if client.has_begun() {
            self.budget.change(client.in_flight, 0);
            self.present.remove(id);
            self.give_all_turns();
        }
    }

    /// Whom to send what. Until the caller says [`sent`](Self::sent) or [`socket_full`](Self::socket_full) the answer
    /// stays the same.
    pub fn next_message(&mut self) -> Option<(PeerId, Outgoing)> {
        loop {
            let Some(&id) = self.queue.front() else {
                // One at a time: whoever goes on uses up what made room for it.
                let id = self.budget.next_admitted()?;
                self.client_mut(id)?.waits_for = WaitsFor::News;
                self.give_turn(id);
                continue;
            };
            let client = self.clients.get_mut(usize::from(id.0)).and_then(Option::as_mut);
            let Some(client) = client.filter(|client| client.waits_for == WaitsFor::Turn) else {
                self.queue.pop_front();
                continue;
            };
            let message = client.next(&self.present);
            match message {
                Some(message)
                    if client.is_at_its_first_messages() || self.budget.admits(client.in_flight) =>
                {
                    return Some((id, message));
                }
                Some(_) => {
                    client.waits_for = WaitsFor::Budget;
                    self.budget.park(client.in_flight, id);
                }
                None => client.waits_for = WaitsFor::News,
            }
            self.queue.pop_front();
        }
    }

    /// The message that [`next_message`](Self::next_message) gave for this client is sent.
    pub fn sent(&mut self, id: PeerId, message: Outgoing) {
        let vectors = self.limits.vectors;
        let Some(client) = self.client_mut(id) else { return };
        client.in_flight += 1;
        let now = client.in_flight;
        let has_begun = client.has_begun();
        let new = client.sent(message, vectors);
        if has_begun {
            self.budget.change(now - 1, now);
        }
        if let Some(peer) = new {
            self.ids.seen(peer);
        }
    }

    /// The kernel did not take the message: the client's turn comes again with [`unread`](Self::unread), also when it
    /// tells the same number as before.
    pub fn socket_full(&mut self, id: PeerId) {
        if self.queue.front() == Some(&id) {
            self.queue.pop_front();
        }
        if let Some(client) = self.client_mut(id) {
            client.waits_for = WaitsFor::Room;
        }
    }

    /// So many messages to this client are not yet read. Call it whenever a client has read.
    pub fn unread(&mut self, id: PeerId, messages: u32) {
        let vectors = self.limits.vectors;
        let Some(client) = self.client_mut(id) else { return };
        let before = client.in_flight;
        // What was sent bounds what can be unread, whatever the kernel's arithmetic.
        let now = messages.min(before);
        client.in_flight = now;
        let begins = now < before && client.begin(vectors);
        let (counted, waits_for) = (client.has_begun(), client.waits_for);
        if begins {
            self.budget.change(0, now);
            self.present.insert(id);
            // Its greeting comes before the news about it.
            self.give_turn(id);
            self.give_all_turns();
            return;
        }
        if waits_for == WaitsFor::Budget {
            self.budget.unpark(before, id);
        }
        if counted {
            self.budget.change(before, now);
        }
        if waits_for != WaitsFor::Turn {
            self.give_turn(id);
        }
    }

    /// Messages to this client that are not yet read, as far as is known; 0 for one that is not connected.
    pub fn in_flight_to(&self, id: PeerId) -> u32 {
        self.client(id).map_or(0, |client| client.in_flight)
    }

    /// Whether a client holds anything back by not reading: messages for it, or its own announcement.
    pub fn is_behind(&self, id: PeerId) -> bool {
        self.client(id).is_some_and(|client| !client.has_begun() || client.next(&self.present).is_some())
    }

    /// Whether a client has read any of its first messages, so that the others are told of it.
    pub fn has_begun(&self, id: PeerId) -> bool {
        self.client(id).is_some_and(Client::has_begun)
    }

    /// Whether a client was sent everything up to its own vectors, and so has been told the state of its time.
    pub fn is_greeted(&self, id: PeerId) -> bool {
        self.client(id).is_some_and(Client::is_greeted)
    }

    /// Clients that are connected.
    pub fn connected(&self) -> u32 {
        self.connected
    }

    /// Ids that can still be given out.
    pub fn free_ids(&self) -> u32 {
        self.ids.free()
    }

    /// Messages sent and not yet read, of clients that have begun to read.
    pub fn in_flight(&self) -> u32 {
        self.budget.in_flight()
    }

    fn client(&self, id: PeerId) -> Option<&Client> {
        self.clients.get(usize::from(id.0))?.as_ref()
    }

    fn client_mut(&mut self, id: PeerId) -> Option<&mut Client> {
        self.clients.get_mut(usize::from(id.0))?.as_mut()
    }

    fn give_turn(&mut self, id: PeerId) {
        if let Some(client) = self.client_mut(id) {
            client.waits_for = WaitsFor::Turn;
            self.queue.push_back(id);
        }
    }

    /// There is news: everyone who knew everything gets a turn.
    fn give_all_turns(&mut self) {
        // By the set: the list is as long as the highest id, which burnt ids can make much more than there are clients.
        for id in self.present.iter() {
            let client = self.clients[usize::from(id.0)].as_mut().expect("who is present is connected");
            if client.waits_for == WaitsFor::News {
                client.waits_for = WaitsFor::Turn;
                self.queue.push_back(id);
            }
        }
    }
}
