//! The server's end: the connected clients, and the next message to each of them.
//!
//! For each client the engine stores which peers it has announced to the client, compares them with the connected peers, and
//! computes the next message when the client can receive one. There is no queue of messages: a client that was stopped for
//! an hour is updated when it reads again, and peers that connected and disconnected in the meantime are never announced to
//! it.
//!
//! The caller owns sockets and descriptors. It calls [`Engine::next_message`], sends the message, and reports the result:
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

/// The limits of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The number of vectors of each client, 0 to 256. With 0, no peers are announced, because vectors announce them.
    pub vectors: u16,
    /// The maximum number of connected clients, 1 to 65,536.
    pub clients: u32,
    /// The maximum number of messages that are sent and not yet read, for all clients together. Each may have a descriptor.
    /// Beyond the limit, every client may still have its first three messages, or otherwise one message, in flight.
    pub in_flight: u32,
}

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// The protocol's version.
    Version,
    /// The client's own id.
    OwnId(PeerId),
    /// The shared memory, with its descriptor.
    Memory,
    /// The next vector of a peer or of the client itself, with the vector's eventfd.
    Vector {
        /// The owner of the vector.
        peer: PeerId,
        /// The index of the vector, counted from 0.
        index: u16,
    },
    /// This peer has disconnected.
    Gone(PeerId),
}

impl Outgoing {
    /// The number in the message.
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
    /// The clients, indexed by id.
    clients: Vec<Option<Client>>,
    connected: u32,
    /// The clients that have started to read, and are therefore announced to the others.
    present: IdSet,
    ids: Ids,
    budget: Budget,
    /// The clients that have a turn. It may contain disconnected clients, which are skipped.
    queue: VecDeque<PeerId>,
}

impl Engine {
    /// Creates an engine without clients.
    ///
    /// # Panics
    /// If `vectors` or `clients` is outside its range.
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

    /// Adds a client that this user has connected, and returns its id.
    ///
    /// # Errors
    /// The reason to refuse the client: send it [`Refusal::version`] and close the connection. The engine does not store it.
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
        // Before all others, because QEMU blocks until it has its first messages.
        self.queue.push_front(id);
        Ok(id)
    }

    /// Removes a client. The engine will announce this to the clients to which it has announced the client.
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

    /// The next message to send, and its receiver. The result stays the same until the caller calls [`sent`](Self::sent) or
    /// [`socket_full`](Self::socket_full).
    pub fn next_message(&mut self) -> Option<(PeerId, Outgoing)> {
        loop {
            let Some(&id) = self.queue.front() else {
                // One client at a time, because its next message uses up the room that admitted it.
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

    /// Reports that the message from [`next_message`](Self::next_message) was sent to this client.
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

    /// Reports that the client's socket is full. The client gets another turn with the next call of [`unread`](Self::unread),
    /// even if the number of messages is unchanged.
    pub fn socket_full(&mut self, id: PeerId) {
        if self.queue.front() == Some(&id) {
            self.queue.pop_front();
        }
        if let Some(client) = self.client_mut(id) {
            client.waits_for = WaitsFor::Room;
        }
    }

    /// Reports the number of messages that this client has not read yet. Call it whenever a client has read.
    pub fn unread(&mut self, id: PeerId, messages: u32) {
        let vectors = self.limits.vectors;
        let Some(client) = self.client_mut(id) else { return };
        let before = client.in_flight;
        // At most the sent messages can be unread, whatever the kernel counts.
        let now = messages.min(before);
        client.in_flight = now;
        let begins = now < before && client.begin(vectors);
        let (counted, waits_for) = (client.has_begun(), client.waits_for);
        if begins {
            self.budget.change(0, now);
            self.present.insert(id);
            // The client's handshake comes before its announcement to the others.
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

    /// The number of messages sent to this client and not yet reported as read; 0 if it is not connected.
    pub fn in_flight_to(&self, id: PeerId) -> u32 {
        self.client(id).map_or(0, |client| client.in_flight)
    }

    /// Whether a client delays messages by not reading: those to it, or its own announcement.
    pub fn is_behind(&self, id: PeerId) -> bool {
        self.client(id).is_some_and(|client| !client.has_begun() || client.next(&self.present).is_some())
    }

    /// Whether a client has read any of its first messages, so that it is announced to the others.
    pub fn has_begun(&self, id: PeerId) -> bool {
        self.client(id).is_some_and(Client::has_begun)
    }

    /// Whether all messages up to the client's own vectors have been sent to it, which completes its handshake.
    pub fn is_greeted(&self, id: PeerId) -> bool {
        self.client(id).is_some_and(Client::is_greeted)
    }

    /// The number of connected clients.
    pub fn connected(&self) -> u32 {
        self.connected
    }

    /// The number of free ids.
    pub fn free_ids(&self) -> u32 {
        self.ids.free()
    }

    /// The number of messages sent and not yet read, for all clients that have started to read.
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

    /// Gives a turn to all clients that were up to date.
    fn give_all_turns(&mut self) {
        // Iterate over the set: the list is as long as the highest id, which burnt ids can make much higher than the
        // number of clients.
        for id in self.present.iter() {
            let client = self.clients[usize::from(id.0)].as_mut().expect("who is present is connected");
            if client.waits_for == WaitsFor::News {
                client.waits_for = WaitsFor::Turn;
                self.queue.push_back(id);
            }
        }
    }
}
