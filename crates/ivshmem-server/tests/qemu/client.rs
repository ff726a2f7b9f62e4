//! A client that checks every message of the server against the protocol's rules, and the comparison of several such
//! clients.
//!
//! The rules are those of real QEMU (an id that is announced again, or a second departure, aborts it): a checker that is
//! connected together with a QEMU receives the same messages, and names the broken rule instead of aborting.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use ivshmem::sys::linux::eventfd::timespec;
use ivshmem::sys::linux::foreign::ForeignFd;
use ivshmem::sys::linux::socket::{Received, Receiver};
use ivshmem::wire::{MessageReader, RawMessage};
use rustix::event::{PollFd, PollFlags, poll};

use crate::descriptors::eventfd_number;
use crate::process::HANG_LIMIT;

/// The kernel's ids of the eventfds of each connected client, by client id and in the order of the vectors.
pub(crate) type Census = BTreeMap<u16, Vec<u64>>;

/// One connection. Any broken rule causes a panic that names it.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Receiver<UnixStream>,
    reader: MessageReader<OwnedFd>,
    vectors: usize,
    messages: u64,
    refused: Option<i64>,
    closed: bool,
    id: Option<u16>,
    memory: Option<OwnedFd>,
    own: Vec<u64>,
    peers: Census,
    announced: Vec<u16>,
    left: BTreeSet<u16>,
    kept: Option<BTreeMap<u16, Vec<OwnedFd>>>,
}

impl Client {
    /// Connects without reading. `vectors` is the server's number of vectors per client.
    pub(crate) fn connect(path: &Path, vectors: usize) -> Self {
        let socket = UnixStream::connect(path).unwrap_or_else(|e| panic!("connect to {path:?}: {e}"));
        Self {
            socket: socket.into(),
            reader: MessageReader::default(),
            vectors,
            messages: 0,
            refused: None,
            closed: false,
            id: None,
            memory: None,
            own: Vec::new(),
            peers: BTreeMap::new(),
            announced: Vec::new(),
            left: BTreeSet::new(),
            kept: None,
        }
    }

    /// Keeps the eventfds open, as a real client does; otherwise only their ids are kept.
    pub(crate) fn keeping_eventfds(mut self) -> Self {
        self.kept = Some(BTreeMap::new());
        self
    }

    /// Reads until its own vectors are complete or the server has refused it.
    pub(crate) fn greeted(mut self) -> Self {
        read_until("the greeting is complete", std::slice::from_mut(&mut self), |c| {
            c[0].is_complete() || c[0].refused.is_some()
        });
        self
    }

    /// Whether the handshake is complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.own.len() == self.vectors
    }

    /// The version that the server sent instead of 0.
    pub(crate) fn refused(&self) -> Option<i64> {
        self.refused
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn id(&self) -> u16 {
        self.id.expect("greeted")
    }

    pub(crate) fn memory(&self) -> &OwnedFd {
        self.memory.as_ref().expect("greeted")
    }

    /// The known peers, without this client.
    pub(crate) fn peers(&self) -> &Census {
        &self.peers
    }

    /// Every id that was ever announced to this client, in order.
    pub(crate) fn announced(&self) -> &[u16] {
        &self.announced
    }

    /// Messages received so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// The eventfds of a peer, or its own; only with `keeping_eventfds`.
    pub(crate) fn eventfds_of(&self, id: u16) -> &[OwnedFd] {
        &self.kept.as_ref().expect("keeping eventfds")[&id]
    }

    /// All known clients, including this one.
    pub(crate) fn census(&self) -> Census {
        let mut census = self.peers.clone();
        census.extend(self.id.map(|id| (id, self.own.clone())));
        census
    }

    /// Reads at most `limit` messages of those that have arrived, and returns their number.
    pub(crate) fn read(&mut self, limit: usize) -> usize {
        let mut bytes = [0; 8];
        for done in 0..limit {
            // A message may arrive in pieces; only whole ones count.
            loop {
                let missing = self.reader.missing();
                match self.socket.receive(&mut bytes[..missing]).unwrap() {
                    Received::Bytes(n, fd) => {
                        match self
                            .reader
                            .push(&bytes[..n], fd.map(ForeignFd::into_owned))
                            .expect("one descriptor")
                        {
                            Some(message) => break self.take(message),
                            None => continue,
                        }
                    }
                    Received::WouldBlock => return done,
                    Received::Closed => {
                        self.closed = true;
                        return done;
                    }
                    Received::TooManyDescriptors => panic!("several descriptors in one message"),
                    Received::NoDescriptorLeft => panic!("this process has no descriptor left"),
                    other => panic!("{other:?}"),
                }
            }
        }
        limit
    }

    fn take(&mut self, RawMessage { value, fd }: RawMessage<OwnedFd>) {
        assert_eq!(self.refused, None, "message {value} behind a refusal");
        self.messages += 1;
        match (self.messages, value, fd) {
            (1, 0, None) => {}
            (1, other, None) => self.refused = Some(other),
            (2, id, None) => self.id = Some(u16::try_from(id).expect("an id has 16 bits")),
            (3, -1, Some(memory)) => self.memory = Some(memory),
            (4.., id, Some(eventfd)) => self.vector(u16::try_from(id).expect("an id has 16 bits"), eventfd),
            (4.., id, None) => self.leave(u16::try_from(id).expect("an id has 16 bits")),
            (nth, value, fd) => panic!("Q9: message {nth} is {value} with {fd:?}"),
        }
    }

    fn vector(&mut self, id: u16, eventfd: OwnedFd) {
        let number = eventfd_number(&eventfd).expect("an interrupt is an eventfd");
        let vectors = if Some(id) == self.id {
            &mut self.own
        } else {
            assert!(!self.left.contains(&id), "Q2: {id} is announced again after it has left");
            if !self.peers.contains_key(&id) {
                self.announced.push(id);
            }
            self.peers.entry(id).or_default()
        };
        vectors.push(number);
        assert!(vectors.len() <= self.vectors, "{id} has more than {} vectors", self.vectors);
        if let Some(kept) = &mut self.kept {
            kept.entry(id).or_default().push(eventfd);
        }
    }

    fn leave(&mut self, id: u16) {
        assert_ne!(Some(id), self.id, "the server announces to the client that it has left");
        assert!(self.peers.remove(&id).is_some(), "Q2b: {id} leaves and is not known");
        self.left.insert(id);
        if let Some(kept) = &mut self.kept {
            kept.remove(&id);
        }
    }
}

/// Reads on all `clients` until `done`, which may check other conditions too.
pub(crate) fn read_until(what: &str, clients: &mut [Client], mut done: impl FnMut(&[Client]) -> bool) {
    let start = Instant::now();
    let mut seen = 0;
    loop {
        for client in &mut *clients {
            seen += client.read(usize::MAX);
        }
        if done(clients) {
            return;
        }
        assert!(start.elapsed() < HANG_LIMIT, "never came true: {what} ({seen} messages read meanwhile)");
        let mut fds: Vec<_> =
            clients.iter().filter(|c| !c.closed).map(|c| PollFd::new(&c.socket, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Some(&timespec(std::time::Duration::from_millis(5))));
    }
}

/// The common census of all clients, if they agree and each peer has all its vectors; otherwise the clients that differ.
pub(crate) fn agreed(clients: &[Client]) -> Result<Census, String> {
    let census = clients[0].census();
    let mut doubts = String::new();
    for client in clients {
        let other = client.census();
        let ids = |c: &Census| c.keys().copied().collect::<BTreeSet<_>>();
        if ids(&other) != ids(&census) {
            let _ = writeln!(doubts, "{:?} knows {:?}, not {:?}", client.id, ids(&other), ids(&census));
        }
        for (id, vectors) in &other {
            if vectors.len() != client.vectors || census.get(id).is_some_and(|v| v != vectors) {
                let _ = writeln!(doubts, "{:?} has {} vectors of {id}, or others", client.id, vectors.len());
            }
        }
    }
    if doubts.is_empty() { Ok(census) } else { Err(doubts) }
}

/// Reads on all of these clients until they agree on exactly `size` connected clients, which may include others.
pub(crate) fn agree(clients: &mut [Client], size: usize) -> Census {
    let mut last = Err(String::new());
    read_until(&format!("all agree on {size} clients"), clients, |c| {
        last = agreed(c);
        last.as_ref().is_ok_and(|census| census.len() == size)
    });
    last.expect("agreed")
}

/// The ids of all eventfds in a census.
pub(crate) fn eventfds_in(census: &Census) -> BTreeSet<u64> {
    census.values().flatten().copied().collect()
}
