use std::collections::HashMap;

use thiserror::Error;

use super::{MAX_PEERS, MAX_VECTORS, PeerId, RawMessage, Refusal};
use crate::ErrorKind;

/// The client's end of one connection. It takes the messages one by one, in order, and returns an event for each.
///
/// It does not trust the server: every message results in an event or a [`ProtocolError`], and the memory in use is bounded
/// by the number of ids. After an error the connection is unusable, so every later message results in the same error.
#[derive(Debug)]
pub struct Client {
    state: State,
    /// The number of vectors of each peer, without this client itself.
    peers: HashMap<PeerId, u16>,
    own_vectors: u16,
}

/// The meaning of one message.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent<F> {
    /// The server has the same version as this library.
    Version,
    /// This client's id.
    OwnId(PeerId),
    /// The shared memory.
    Memory(F),
    /// An interrupt vector of another client. The vectors of a peer come in order; vector 0 announces a new peer.
    PeerVector {
        /// The peer.
        peer: PeerId,
        /// The vector, from 0 to below [`MAX_VECTORS`].
        vector: u16,
        /// The descriptor that raises the interrupt.
        fd: F,
    },
    /// An interrupt vector of this client, in order. It may come long after the other messages.
    OwnVector {
        /// The vector, from 0 to below [`MAX_VECTORS`].
        vector: u16,
        /// The descriptor that becomes readable at an interrupt.
        fd: F,
    },
    /// A peer has disconnected. The server may later assign its id to another client.
    PeerGone(PeerId),
    /// A peer that was not announced has disconnected: vectors announce peers, and this server sends none.
    UnannouncedGone(PeerId),
}

/// How a server refused the client or violated the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The server refused this client.
    #[error("the server refused the connection: {0}")]
    Refused(Refusal),
    /// The socket is a server's status socket, which sends the server's state as JSON.
    #[error(
        "this is the status socket of a server, not the one for clients; connect to that one (`ivshmem status` shows its \
         path, and what else this one says)"
    )]
    StatusSocket,
    /// The server sent a number that is invalid at this point of the protocol.
    #[error("the server sent {value} where {expected} is due")]
    Unexpected {
        /// The number.
        value: i64,
        /// The message that the protocol requires here.
        expected: &'static str,
    },
    /// The server sent a message without its descriptor.
    #[error("the server sent {what} without its descriptor")]
    MissingDescriptor {
        /// The kind of message.
        what: &'static str,
    },
    /// The server sent a descriptor with a message that has none, or a second descriptor with one message.
    #[error("the server sent a descriptor with {what}, which has none, or more than one descriptor")]
    StrayDescriptor {
        /// The kind of message.
        what: &'static str,
    },
    /// The server announced the memory twice.
    #[error("the server announced the memory twice")]
    SecondMemory,
    /// The server announced more vectors than the protocol can address.
    #[error("the server announced more than {MAX_VECTORS} vectors for peer {peer}")]
    TooManyVectors {
        /// The peer with the vectors.
        peer: PeerId,
    },
    /// The server announced the disconnection of a peer that was not connected, though this server sends vectors, which announce
    /// peers.
    #[error("the server said that peer {peer} left, which was not connected")]
    UnknownPeer {
        /// The id in the message.
        peer: PeerId,
    },
    /// The server announced the disconnection of this client itself.
    #[error("the server said that this client (id {peer}) had left")]
    OwnDisconnect {
        /// This client's id.
        peer: PeerId,
    },
}

/// The first bytes of a status. No server has such a version.
const STATUS: &[u8] = b"{\"";

impl ProtocolError {
    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_) => ErrorKind::Refused,
            _ => ErrorKind::Protocol,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self { state: State::Version, peers: HashMap::new(), own_vectors: 0 }
    }
}

impl Client {
    /// Processes the next message.
    ///
    /// # Errors
    /// How the server violated the protocol, or why it refused the client. The message's descriptor is dropped.
    pub fn push<F>(&mut self, message: RawMessage<F>) -> Result<ClientEvent<F>, ProtocolError> {
        let result = match self.state {
            State::Version => self.version(message),
            State::Id => self.own_id_message(message),
            State::Memory(own) => self.memory(message, own),
            State::Running(own) => self.change(message, own),
            State::Broken(error) => Err(error),
        };
        if let Err(error) = result {
            self.state = State::Broken(error);
        }
        result
    }

    /// The number of this client's vectors so far.
    pub fn own_vectors(&self) -> u16 {
        self.own_vectors
    }

    /// The number of a peer's vectors so far; `None` if no such peer is connected.
    pub fn peer_vectors(&self, peer: PeerId) -> Option<u16> {
        self.peers.get(&peer).copied()
    }

    /// Whether the handshake is definitely complete: there are peers, and this client has at least as many vectors as every one
    /// of them. The protocol does not mark the end of a handshake, so `false` means only that this is unknown.
    pub fn is_greeted(&self) -> bool {
        self.peers.values().max().is_some_and(|most| self.own_vectors >= *most)
    }

    /// Whether more vectors of this client are expected: it has none, or fewer than some peer.
    pub fn expects_more(&self) -> bool {
        self.own_vectors == 0 || self.peers.values().any(|vectors| *vectors > self.own_vectors)
    }

    fn version<F>(&mut self, message: RawMessage<F>) -> Result<ClientEvent<F>, ProtocolError> {
        if message.value.to_le_bytes().starts_with(STATUS) {
            return Err(ProtocolError::StatusSocket);
        }
        if let Some(refusal) = Refusal::from_version(message.value) {
            return Err(ProtocolError::Refused(refusal));
        }
        none(message.fd, "the version")?;
        self.state = State::Id;
        Ok(ClientEvent::Version)
    }

    fn own_id_message<F>(&mut self, message: RawMessage<F>) -> Result<ClientEvent<F>, ProtocolError> {
        let own = id(message.value, "this client's id (0..65535)")?;
        none(message.fd, "this client's id")?;
        self.state = State::Memory(own);
        Ok(ClientEvent::OwnId(own))
    }

    fn memory<F>(&mut self, message: RawMessage<F>, own: PeerId) -> Result<ClientEvent<F>, ProtocolError> {
        if message.value != MEMORY {
            let expected = "-1 with the memory";
            return Err(ProtocolError::Unexpected { value: message.value, expected });
        }
        let fd = message.fd.ok_or(ProtocolError::MissingDescriptor { what: "the memory" })?;
        self.state = State::Running(own);
        Ok(ClientEvent::Memory(fd))
    }

    fn change<F>(&mut self, message: RawMessage<F>, own: PeerId) -> Result<ClientEvent<F>, ProtocolError> {
        if message.value == MEMORY {
            return Err(ProtocolError::SecondMemory);
        }
        let peer = id(message.value, "a peer's id (0..65535)")?;
        match message.fd {
            Some(fd) if peer == own => {
                let vector = next(&mut self.own_vectors, peer)?;
                Ok(ClientEvent::OwnVector { vector, fd })
            }
            Some(fd) => {
                let vector = next(self.peers.entry(peer).or_insert(0), peer)?;
                Ok(ClientEvent::PeerVector { peer, vector, fd })
            }
            None if peer == own => Err(ProtocolError::OwnDisconnect { peer }),
            None if self.peers.remove(&peer).is_some() => Ok(ClientEvent::PeerGone(peer)),
            None if self.own_vectors == 0 && self.peers.is_empty() => Ok(ClientEvent::UnannouncedGone(peer)),
            None => Err(ProtocolError::UnknownPeer { peer }),
        }
    }
}

/// The next message that the protocol requires.
#[derive(Clone, Copy, Debug)]
enum State {
    Version,
    Id,
    Memory(PeerId),
    Running(PeerId),
    Broken(ProtocolError),
}

/// The number of the message with the memory's descriptor.
const MEMORY: i64 = -1;

const _: () = assert!(MAX_PEERS == 1 << 16, "every u16 is an id");

fn id(value: i64, expected: &'static str) -> Result<PeerId, ProtocolError> {
    u16::try_from(value).map(PeerId).map_err(|_| ProtocolError::Unexpected { value, expected })
}

fn none<F>(fd: Option<F>, what: &'static str) -> Result<(), ProtocolError> {
    if fd.is_some() { Err(ProtocolError::StrayDescriptor { what }) } else { Ok(()) }
}

fn next(count: &mut u16, peer: PeerId) -> Result<u16, ProtocolError> {
    let vector = *count;
    if vector == MAX_VECTORS {
        return Err(ProtocolError::TooManyVectors { peer });
    }
    *count += 1;
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::MessageReader;

    type Message = RawMessage<u32>;
    type Event = ClientEvent<u32>;

    fn message(value: i64, fd: Option<u32>) -> Message {
        RawMessage { value, fd }
    }

    /// A client with id 3 that has its memory.
    fn greeted() -> Client {
        let mut client = Client::default();
        client.push(message(0, None)).unwrap();
        client.push(message(3, None)).unwrap();
        client.push(message(-1, Some(1))).unwrap();
        client
    }

    #[test]
    fn a_status_is_told_from_a_version() {
        let mut client = Client::default();
        let status = i64::from_le_bytes(*b"{\"format");
        assert_eq!(client.push(message(status, None)), Err(ProtocolError::StatusSocket));
        assert_eq!(ProtocolError::StatusSocket.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn a_session_of_qemus_server_is_understood() {
        let mut client = Client::default();
        assert_eq!(client.push(message(0, None)), Ok(Event::Version));
        assert_eq!(client.push(message(3, None)), Ok(Event::OwnId(PeerId(3))));
        assert_eq!(client.push(message(-1, Some(9))), Ok(Event::Memory(9)));
        for vector in 0..2 {
            let event = Event::PeerVector { peer: PeerId(1), vector, fd: 20 };
            assert_eq!(client.push(message(1, Some(20))), Ok(event));
        }
        assert!(!client.is_greeted() && client.expects_more());
        for vector in 0..2 {
            assert_eq!(client.push(message(3, Some(30))), Ok(Event::OwnVector { vector, fd: 30 }));
        }
        assert!(client.is_greeted() && !client.expects_more());
        assert_eq!(client.push(message(1, None)), Ok(Event::PeerGone(PeerId(1))));
        let again = Event::PeerVector { peer: PeerId(1), vector: 0, fd: 21 };
        assert_eq!(client.push(message(1, Some(21))), Ok(again));
        assert_eq!((client.own_vectors(), client.peer_vectors(PeerId(1))), (2, Some(1)));
    }

    #[test]
    fn another_version_is_a_refusal_and_lasts() {
        let mut client = Client::default();
        let refused = ProtocolError::Refused(Refusal::TooManyClients);
        assert_eq!(client.push(message(-2, None)), Err(refused));
        assert_eq!(client.push(message(0, None)), Err(refused));
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.to_string().contains("too many clients"));
    }

    #[test]
    fn a_greeting_out_of_order_is_an_error() {
        let cases: [(&[Message], &str); 7] = [
            (&[message(0, Some(1))], "with the version"),
            (&[message(0, None), message(-1, Some(1))], "where this client's id"),
            (&[message(0, None), message(65_536, None)], "sent 65536"),
            (&[message(0, None), message(5, Some(1))], "with this client's id"),
            (&[message(0, None), message(5, None), message(5, Some(1))], "where -1 with the memory"),
            (&[message(0, None), message(5, None), message(-1, None)], "without its descriptor"),
            (&[message(0, None), message(5, None), message(-2, Some(1))], "sent -2"),
        ];
        for (messages, text) in cases {
            let mut client = Client::default();
            let last = messages.iter().map(|m| client.push(message(m.value, m.fd))).last().unwrap();
            let error = last.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            assert!(error.to_string().contains(text), "{error} has no {text:?}");
        }
    }

    #[test]
    fn a_running_server_that_lies_is_told() {
        let lies = [
            (message(-1, Some(1)), ProtocolError::SecondMemory),
            (message(-1, None), ProtocolError::SecondMemory),
            (message(7, None), ProtocolError::UnknownPeer { peer: PeerId(7) }),
            (message(3, None), ProtocolError::OwnDisconnect { peer: PeerId(3) }),
        ];
        for announced in [3, 4] {
            for (lie, error) in &lies {
                let mut client = greeted();
                client.push(message(announced, Some(1))).unwrap();
                assert_eq!(client.push(message(lie.value, lie.fd)), Err(*error));
            }
        }
        for value in [-2, 65_536, i64::MIN, i64::MAX] {
            let result = greeted().push(message(value, Some(1)));
            assert!(matches!(result, Err(ProtocolError::Unexpected { .. })), "{value}: {result:?}");
        }
    }

    #[test]
    fn of_a_server_without_vectors_whoever_leaves_is_taken_for_a_peer() {
        let mut client = greeted();
        for peer in [7, 7, 0] {
            let event = Event::UnannouncedGone(PeerId(u16::try_from(peer).unwrap()));
            assert_eq!(client.push(message(peer, None)), Ok(event));
        }
        let own = ProtocolError::OwnDisconnect { peer: PeerId(3) };
        assert_eq!(client.push(message(3, None)), Err(own));
    }

    #[test]
    fn vectors_end_at_the_limit_for_peers_and_for_oneself() {
        for peer in [PeerId(3), PeerId(4)] {
            let mut client = greeted();
            for _ in 0..MAX_VECTORS {
                client.push(message(peer.0.into(), Some(1))).unwrap();
            }
            let error = client.push(message(peer.0.into(), Some(1))).unwrap_err();
            assert_eq!(error, ProtocolError::TooManyVectors { peer });
        }
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let value = prop_oneof![8 => -2_i64..6, 1 => 65_534_i64..65_538, 1 => any::<i64>()];
        (value, proptest::option::of(any::<u32>())).prop_map(|(value, fd)| message(value, fd))
    }

    /// Messages that a correct server could send to a client with id 2: peers connect, get vectors and disconnect.
    fn valid_session() -> impl Strategy<Value = Vec<Message>> {
        proptest::collection::vec((0_i64..6, any::<bool>()), 0..200).prop_map(|steps| {
            let mut messages = vec![message(0, None), message(2, None), message(-1, Some(100))];
            let mut known = [0_u16; 6];
            for (step, (id, goes)) in (101..).zip(steps) {
                let count = &mut known[usize::try_from(id).unwrap()];
                if goes && id != 2 && *count > 0 {
                    *count = 0;
                    messages.push(message(id, None));
                } else if *count < MAX_VECTORS {
                    *count += 1;
                    messages.push(message(id, Some(step)));
                }
            }
            messages
        })
    }

    /// Sends messages through a stream that is split into pieces of the lengths in `cuts`, in turn.
    fn through_stream(messages: &[Message], cuts: &[usize]) -> Vec<Event> {
        let mut reader = MessageReader::default();
        let mut client = Client::default();
        let mut cuts = cuts.iter().cycle();
        let mut events = Vec::new();
        for message in messages {
            let bytes = message.to_bytes();
            let mut sent = 0;
            while sent < bytes.len() {
                let cut = (*cuts.next().unwrap()).min(reader.missing());
                let fd = if sent == 0 { message.fd } else { None };
                if let Some(whole) = reader.push(&bytes[sent..sent + cut], fd).unwrap() {
                    events.push(client.push(whole).unwrap());
                }
                sent += cut;
            }
        }
        events
    }

    proptest! {
        #[test]
        fn any_messages_in_any_order_never_panic_and_memory_stays_bounded(
            greeted_first in any::<bool>(),
            messages in proptest::collection::vec(any_message(), 0..400),
        ) {
            let mut client = if greeted_first { greeted() } else { Client::default() };
            let mut broken = None;
            for message in messages {
                let result = client.push(message);
                if let Some(error) = broken {
                    prop_assert_eq!(result, Err(error));
                } else {
                    broken = result.err();
                }
                prop_assert!(client.own_vectors() <= MAX_VECTORS);
                prop_assert!(client.peers.values().all(|v| (1..=MAX_VECTORS).contains(v)));
            }
        }

        #[test]
        fn any_bytes_cut_anywhere_never_panic(
            pieces in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 1..9), proptest::option::of(any::<u32>())), 0..200),
        ) {
            let mut reader = MessageReader::default();
            let mut client = Client::default();
            for (bytes, fd) in pieces {
                let fits = bytes.len().min(reader.missing());
                if let Ok(Some(message)) = reader.push(&bytes[..fits], fd) {
                    let _ = client.push(message);
                }
            }
        }

        #[test]
        fn a_valid_session_gives_the_same_events_for_every_cut(
            messages in valid_session(),
            cuts in proptest::collection::vec(1_usize..=8, 1..40),
        ) {
            let whole = through_stream(&messages, &[8]);
            prop_assert_eq!(whole.len(), messages.len());
            prop_assert_eq!(&through_stream(&messages, &[1]), &whole);
            prop_assert_eq!(through_stream(&messages, &cuts), whole);
        }
    }
}
