//! Random histories with clients as strict as QEMU. In every order of events, each client gets a sequence of messages on
//! which QEMU does not abort, and a client that reads all messages has the current list of peers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// One event of a history. A client is selected by a number modulo the number of clients.
#[derive(Clone, Debug)]
enum Event {
    Connect { uid: u32 },
    Leave { who: usize },
    Read { who: usize, messages: usize },
    Send { messages: usize },
    KernelRefuses,
    KernelRelents,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3_u32).prop_map(|uid| Event::Connect { uid }),
        2 => any::<usize>().prop_map(|who| Event::Leave { who }),
        6 => (any::<usize>(), 1..12_usize).prop_map(|(who, messages)| Event::Read { who, messages }),
        6 => (1..30_usize).prop_map(|messages| Event::Send { messages }),
        1 => Just(Event::KernelRefuses),
        1 => Just(Event::KernelRelents),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_client_survives_any_history_and_ends_with_the_truth(
        vectors in 1..5_u16,
        capacity in 3..24_usize,
        in_flight in 0..40_u32,
        events in vec(event(), 0..250),
    ) {
        let limits = Limits { vectors, clients: 12, in_flight };
        let mut world = World::new(limits, capacity);
        for event in events {
            world.happens(event);
        }
        world.settles();
    }
}

struct World {
    limits: Limits,
    /// The number of messages that a socket holds.
    capacity: usize,
    engine: Engine,
    clients: BTreeMap<PeerId, Strict>,
    refused_by_kernel: Vec<PeerId>,
}

/// A client that aborts on the same messages as QEMU.
#[derive(Default)]
struct Strict {
    unread: VecDeque<Outgoing>,
    sent: usize,
    /// Whether it has read a message after its first three messages were sent.
    begun: bool,
    /// The peers that were connected when it started to read, and still are.
    present_then: BTreeSet<PeerId>,
    read: usize,
    own_vectors: u16,
    /// The number of vectors of each peer that is connected from its view.
    told: BTreeMap<PeerId, u16>,
    gone: BTreeSet<PeerId>,
    /// All peers that were ever announced to it.
    heard_of: BTreeSet<PeerId>,
}

impl World {
    fn new(limits: Limits, capacity: usize) -> Self {
        let engine = Engine::new(limits);
        Self { limits, capacity, engine, clients: BTreeMap::new(), refused_by_kernel: Vec::new() }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Connect { uid } => self.connect(uid),
            Event::Leave { who } => {
                if let Some(id) = self.pick(who) {
                    self.clients.remove(&id);
                    self.engine.disconnect(id);
                    for client in self.clients.values_mut() {
                        client.present_then.remove(&id);
                    }
                }
            }
            Event::Read { who, messages } => {
                if let Some(id) = self.pick(who) {
                    self.read(id, messages);
                }
            }
            Event::Send { messages } => {
                for _ in 0..messages {
                    if !self.send_one() {
                        break;
                    }
                }
            }
            Event::KernelRefuses => {
                if let Some((id, _)) = self.engine.next_message() {
                    self.engine.socket_full(id);
                    self.refused_by_kernel.push(id);
                }
            }
            Event::KernelRelents => {
                for id in self.refused_by_kernel.drain(..) {
                    self.engine.unread(id, self.engine.in_flight_to(id));
                }
            }
        }
    }

    fn connect(&mut self, uid: u32) {
        let expected = (0..=u16::MAX).map(PeerId).find(|id| {
            !self.clients.contains_key(id) && !self.clients.values().any(|c| c.heard_of.contains(id))
        });
        match self.engine.connect(uid) {
            Ok(id) => {
                assert_eq!(Some(id), expected, "the lowest id that no living client knows");
                self.clients.insert(id, Strict::default());
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::TooManyClients);
                assert_eq!(self.clients.len(), 12);
            }
        }
    }

    fn read(&mut self, id: PeerId, messages: usize) {
        let vectors = self.limits.vectors;
        let present: BTreeSet<_> = self.begun().filter(|other| *other != id).collect();
        let client = self.clients.get_mut(&id).unwrap();
        let now = client.unread.len().min(messages);
        for message in client.unread.drain(..now).collect::<Vec<_>>() {
            client.takes(id, message, vectors);
        }
        if now > 0 && client.sent >= 3 && !client.begun {
            client.begun = true;
            client.present_then = present;
        }
        self.engine.unread(id, u32::try_from(client.unread.len()).unwrap());
    }

    /// Sends the next message. Returns false if there is none.
    fn send_one(&mut self) -> bool {
        let Some((id, message)) = self.engine.next_message() else { return false };
        assert_eq!(self.engine.next_message(), Some((id, message)), "asking twice changes nothing");
        if self.clients[&id].unread.len() == self.capacity {
            self.engine.socket_full(id);
            return true;
        }
        match message {
            Outgoing::Vector { peer, index: 0 } if peer == id => {
                let client = &self.clients[&id];
                for peer in &client.present_then {
                    let known = client
                        .unread
                        .iter()
                        .filter(|m| matches!(m, Outgoing::Vector { peer: p, .. } if p == peer));
                    let known = known.count() + usize::from(client.told.get(peer).copied().unwrap_or(0));
                    assert_eq!(known, usize::from(self.limits.vectors), "the others before oneself");
                }
            }
            Outgoing::Vector { peer, .. } => {
                assert!(self.is_begun(peer), "only who is there, and reads, is announced");
            }
            Outgoing::Gone(peer) => assert!(!self.is_begun(peer), "who is there is not gone"),
            _ => {}
        }
        let client = self.clients.get_mut(&id).unwrap();
        client.sent += 1;
        client.unread.push_back(message);
        if let Outgoing::Vector { peer, .. } = message
            && peer != id
        {
            client.heard_of.insert(peer);
        }
        self.engine.sent(id, message);
        for (own, parked) in &self.engine.budget.parked {
            assert_eq!(self.engine.in_flight_to(*parked), *own, "who waits is there, with its own number");
        }
        let begun: Vec<_> = self.clients.values().filter(|client| client.begun).collect();
        let in_flight: usize = begun.iter().map(|client| client.unread.len()).sum();
        assert_eq!(usize::try_from(self.engine.in_flight()).unwrap(), in_flight);
        let budget = usize::try_from(self.limits.in_flight).unwrap();
        assert!(in_flight <= budget + 2 * begun.len(), "two of the first messages may be left unread");
        let with_descriptor = |m: &&Outgoing| matches!(m, Outgoing::Memory | Outgoing::Vector { .. });
        let descriptors =
            self.clients.values().flat_map(|client| client.unread.iter().filter(with_descriptor));
        assert!(descriptors.count() <= budget + self.clients.len(), "one for each client beyond the budget");
        true
    }

    /// All clients read all messages, and then have the current list of peers.
    fn settles(&mut self) {
        self.happens(Event::KernelRelents);
        loop {
            let mut progress = false;
            while self.send_one() {
                progress = true;
            }
            for id in self.clients.keys().copied().collect::<Vec<_>>() {
                progress |= !self.clients[&id].unread.is_empty();
                self.read(id, usize::MAX);
            }
            if !progress {
                break;
            }
        }
        let all: BTreeMap<_, _> = self.clients.keys().map(|id| (*id, self.limits.vectors)).collect();
        for (id, client) in &self.clients {
            let mut others = all.clone();
            others.remove(id);
            assert_eq!(client.own_vectors, self.limits.vectors, "client {id} has its own vectors");
            assert_eq!(client.told, others, "client {id} knows the others");
            assert!(self.engine.is_greeted(*id) && !self.engine.is_behind(*id));
            assert_eq!(self.engine.in_flight_to(*id), 0);
        }
        assert!(self.engine.budget.parked.is_empty(), "nobody waits");
        for id in all.keys() {
            self.engine.disconnect(*id);
        }
        assert_eq!((self.engine.connected(), self.engine.in_flight()), (0, 0));
        assert_eq!(self.engine.free_ids(), MAX_PEERS, "nobody lives, so every id is free");
    }

    fn pick(&self, who: usize) -> Option<PeerId> {
        self.clients.keys().nth(who.checked_rem(self.clients.len())?).copied()
    }

    fn is_begun(&self, id: PeerId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.begun)
    }

    fn begun(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.clients.iter().filter(|(_, client)| client.begun).map(|(id, _)| *id)
    }
}

impl Strict {
    fn takes(&mut self, id: PeerId, message: Outgoing, vectors: u16) {
        match (self.read, message) {
            (0, Outgoing::Version) | (2, Outgoing::Memory) => {}
            (1, Outgoing::OwnId(own)) => assert_eq!(own, id),
            (3.., Outgoing::Vector { peer, index }) if peer == id => {
                assert_eq!(index, self.own_vectors, "own vectors are counted by message");
                self.own_vectors += 1;
                assert!(self.own_vectors <= vectors);
            }
            (3.., Outgoing::Vector { peer, index }) => {
                assert!(!self.gone.contains(&peer), "QEMU aborts when an id comes back");
                let count = self.told.entry(peer).or_default();
                assert_eq!(index, *count, "vectors are counted by message");
                *count += 1;
                assert!(*count <= vectors);
            }
            (3.., Outgoing::Gone(peer)) => {
                assert!(self.told.remove(&peer).is_some(), "QEMU aborts when who is not there leaves");
                assert!(self.gone.insert(peer));
            }
            (read, message) => panic!("{message:?} as message {read}"),
        }
        self.read += 1;
    }
}
