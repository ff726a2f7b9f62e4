//! The server's engine with any history of clients that connect, disconnect, read, and do not read.
//!
//! The rules of real QEMU apply to every client: messages in the right order, an id never announced again after its peer
//! left, one departure for each announced peer. When all clients have read everything, each must know exactly the connected
//! ones.
#![no_main]

use std::collections::{BTreeMap, HashMap, HashSet};

use ivshmem::PeerId;
use ivshmem::wire::server::{Engine, Limits, Outgoing};
use ivshmem::wire::{Client, ClientEvent, RawMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[vectors, clients, budget], history)) = input.split_first_chunk() else { return };
    let limits = Limits {
        vectors: u16::from(vectors % 4) + 1,
        clients: u32::from(clients % 24) + 1,
        in_flight: u32::from(budget % 64),
    };
    let mut world = World { engine: Engine::new(limits), limits, clients: BTreeMap::new() };
    for step in history.chunks_exact(2) {
        world.step(step[0], usize::from(step[1]));
    }
    world.settle();
});

struct World {
    engine: Engine,
    limits: Limits,
    clients: BTreeMap<PeerId, Qemu>,
}

impl World {
    fn step(&mut self, what: u8, which: usize) {
        match what % 8 {
            0 => self.connect(u32::from(what / 8) % 3),
            1 => {
                if let Some(id) = self.pick(which) {
                    self.clients.remove(&id);
                    self.engine.disconnect(id);
                }
            }
            2 => {
                if let Some((id, _)) = self.engine.next_message() {
                    self.engine.socket_full(id);
                }
            }
            3 => {
                if let Some(id) = self.pick(which) {
                    self.read(id, u32::from(what / 8) + 1);
                }
            }
            4 => {
                if let Some(id) = self.pick(which) {
                    self.read(id, 0);
                }
            }
            5 => {
                for _ in 0..which {
                    self.send();
                }
            }
            _ => {
                self.send();
            }
        }
        let (limits, connected) = (self.limits, u32::try_from(self.clients.len()).unwrap());
        assert_eq!(self.engine.connected(), connected);
        assert!(self.engine.in_flight() <= limits.in_flight + 3 * connected, "beyond the budget");
    }

    fn connect(&mut self, uid: u32) {
        let full = self.clients.len() >= self.limits.clients as usize;
        match self.engine.connect(uid) {
            Ok(id) => {
                assert!(!full, "a client beyond the limit");
                assert!(self.clients.values().all(|c| !c.seen.contains(&id)), "an id that a living client has seen");
                assert!(self.clients.insert(id, Qemu::new(id)).is_none(), "an id that is in use");
            }
            Err(refusal) => assert_ne!(refusal.version(), 0, "{refusal}"),
        }
    }

    fn pick(&self, which: usize) -> Option<PeerId> {
        self.clients.keys().nth(which % self.clients.len().max(1)).copied()
    }

    fn send(&mut self) -> bool {
        let Some((id, message)) = self.engine.next_message() else { return false };
        let client = self.clients.get_mut(&id).expect("a message for somebody who is connected");
        client.take(message, self.limits.vectors);
        self.engine.sent(id, message);
        true
    }

    fn read(&mut self, id: PeerId, messages: u32) {
        let client = self.clients.get_mut(&id).expect("picked among the living");
        client.unread -= client.unread.min(messages);
        let unread = client.unread;
        self.engine.unread(id, unread);
    }

    /// All clients read until no messages are left; then each knows all others.
    fn settle(&mut self) {
        let ids: Vec<PeerId> = self.clients.keys().copied().collect();
        let mut rounds = 0;
        loop {
            for &id in &ids {
                self.read(id, u32::MAX);
            }
            let mut sent = 0;
            while self.send() {
                sent += 1;
            }
            if sent == 0 {
                break;
            }
            rounds += 1;
            assert!(rounds < 100_000, "the engine never comes to an end");
        }
        assert_eq!(self.engine.in_flight(), 0);
        for (&id, client) in &self.clients {
            assert!(self.engine.is_greeted(id) && !self.engine.is_behind(id));
            assert_eq!(client.protocol.own_vectors(), self.limits.vectors);
            for &peer in ids.iter().filter(|peer| **peer != id) {
                assert_eq!(client.protocol.peer_vectors(peer), Some(self.limits.vectors), "{id} about {peer}");
            }
            assert_eq!(client.peers.len() + 1, ids.len(), "{id} believes in somebody who is gone");
        }
    }
}

/// The messages of one client, and the state that real QEMU would have.
struct Qemu {
    id: PeerId,
    protocol: Client,
    peers: HashMap<PeerId, u16>,
    seen: HashSet<PeerId>,
    unread: u32,
}

impl Qemu {
    fn new(id: PeerId) -> Self {
        Self { id, protocol: Client::default(), peers: HashMap::new(), seen: HashSet::from([id]), unread: 0 }
    }

    fn take(&mut self, message: Outgoing, vectors: u16) {
        self.unread += 1;
        let fd = matches!(message, Outgoing::Memory | Outgoing::Vector { .. }).then_some(());
        match self.protocol.push(RawMessage { value: message.value(), fd }).expect("only what the protocol allows") {
            ClientEvent::OwnId(id) => assert_eq!(id, self.id),
            ClientEvent::OwnVector { vector, .. } => {
                assert!(matches!(message, Outgoing::Vector { index, .. } if index == vector));
            }
            ClientEvent::PeerVector { peer, vector, .. } => {
                assert!(matches!(message, Outgoing::Vector { index, .. } if index == vector && index < vectors));
                // QEMU frees a peer's memory once and crashes when the id is announced again.
                assert!(vector > 0 || self.seen.insert(peer), "id {peer} is announced again");
                self.peers.insert(peer, vector + 1);
            }
            ClientEvent::PeerGone(peer) => assert!(self.peers.remove(&peer).is_some()),
            _ => {}
        }
    }
}
