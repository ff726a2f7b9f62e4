//! The client's end of the protocol, with a server that sends arbitrary bytes, cut at any position.
//!
//! Each step of the input is one byte that describes the next piece, followed by the piece's bytes. A model checks every
//! event: the client may refuse any message, but what it accepts must be right.
#![no_main]

use std::collections::HashMap;

use ivshmem::PeerId;
use ivshmem::wire::{Client, ClientEvent, MAX_VECTORS, MessageReader, ProtocolError, RawMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut server = Server { input, next_fd: 0 };
    let mut reader = MessageReader::default();
    let mut client = Client::default();
    let mut model = Model::default();
    while let Some((bytes, fd)) = server.step(reader.missing()) {
        match reader.push(bytes, fd) {
            Ok(Some(message)) => model.check(&mut client, message),
            Ok(None) => {}
            Err(back) => assert_eq!(Some(back), fd, "the descriptor that does not fit comes back"),
        }
    }
});

/// Cuts the fuzzer's bytes into the results of single receives. Descriptors are numbers, each used once.
struct Server<'a> {
    input: &'a [u8],
    next_fd: u32,
}

impl<'a> Server<'a> {
    fn step(&mut self, room: usize) -> Option<(&'a [u8], Option<u32>)> {
        let (control, rest) = self.input.split_first()?;
        let length = (usize::from(control & 7) + 1).min(room).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        self.input = rest;
        let fd = (control & 8 != 0).then_some(self.next_fd);
        self.next_fd += 1;
        Some((bytes, fd))
    }
}

/// The state that a client must have after the events it has reported.
#[derive(Default)]
struct Model {
    own: Option<PeerId>,
    memory: bool,
    vectors: HashMap<PeerId, u16>,
    broken: Option<ProtocolError>,
}

impl Model {
    fn check(&mut self, client: &mut Client, message: RawMessage<u32>) {
        let (value, fd) = (message.value, message.fd);
        let result = client.push(message);
        if let Some(error) = self.broken {
            assert_eq!(result, Err(error), "an error lasts");
            return;
        }
        match result {
            Ok(ClientEvent::Version) => assert!(self.own.is_none() && value == 0 && fd.is_none()),
            Ok(ClientEvent::OwnId(id)) => {
                assert!(self.own.replace(id).is_none() && i64::from(id.0) == value && fd.is_none());
            }
            Ok(ClientEvent::Memory(memory)) => {
                assert!(self.own.is_some() && !self.memory && value == -1 && fd == Some(memory));
                self.memory = true;
            }
            Ok(ClientEvent::OwnVector { vector, fd: given }) => {
                self.grows(self.own.expect("an own vector comes after the id"), vector, (value, fd), given);
            }
            Ok(ClientEvent::PeerVector { peer, vector, fd: given }) => {
                assert_ne!(Some(peer), self.own);
                self.grows(peer, vector, (value, fd), given);
            }
            Ok(ClientEvent::PeerGone(peer)) => {
                assert!(Some(peer) != self.own && fd.is_none() && i64::from(peer.0) == value);
                assert!(self.vectors.remove(&peer).is_some(), "only who came can go");
            }
            Ok(ClientEvent::UnannouncedGone(peer)) => {
                assert!(Some(peer) != self.own && fd.is_none() && i64::from(peer.0) == value);
                assert!(self.memory && self.vectors.is_empty(), "vectors announce");
            }
            Ok(other) => panic!("an event that this model does not know: {other:?}"),
            Err(error) => self.broken = Some(error),
        }
        self.agrees(client);
    }

    fn grows(&mut self, peer: PeerId, vector: u16, (value, fd): (i64, Option<u32>), given: u32) {
        assert!(self.memory && i64::from(peer.0) == value && fd == Some(given));
        let count = self.vectors.entry(peer).or_default();
        assert_eq!(*count, vector, "vectors come in order");
        *count += 1;
        assert!(*count <= MAX_VECTORS);
    }

    fn agrees(&self, client: &Client) {
        let own = self.own.and_then(|own| self.vectors.get(&own)).copied().unwrap_or(0);
        assert_eq!(client.own_vectors(), own);
        for (&peer, &count) in self.vectors.iter().filter(|(peer, _)| Some(**peer) != self.own) {
            assert_eq!(client.peer_vectors(peer), Some(count));
        }
    }
}
