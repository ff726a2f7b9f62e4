use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::foreign::ForeignFd;
use ivshmem::sys::linux::socket::{Received, Receiver};
use ivshmem::wire::{MESSAGE_LEN, MessageReader, RawMessage};
use rustix::event::{PollFd, PollFlags, poll};

/// Nothing here takes long; a test that would wait indefinitely fails after this time.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// Reads message by message, and panics on messages that would crash QEMU.
#[derive(Debug)]
pub(crate) struct Client {
    receiver: Receiver<UnixStream>,
    reader: MessageReader<OwnedFd>,
    read: usize,
    pub(crate) id: i64,
    pub(crate) memory: Option<OwnedFd>,
    pub(crate) own: Vec<OwnedFd>,
    pub(crate) peers: BTreeMap<i64, Vec<OwnedFd>>,
    pub(crate) gone: BTreeSet<i64>,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        Self {
            receiver: stream.into(),
            reader: MessageReader::default(),
            read: 0,
            id: -1,
            memory: None,
            own: Vec::new(),
            peers: BTreeMap::new(),
            gone: BTreeSet::new(),
        }
    }

    /// Connects and reads until it has this number of its own vectors.
    pub(crate) fn greeted(path: &Path, vectors: usize) -> Self {
        let mut client = Self::connect(path);
        client.read_until(|client| client.own.len() == vectors);
        client
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.receiver.get_ref()
    }

    /// Waits for one message; `None` when the server closed the connection.
    pub(crate) fn raw(&mut self) -> Option<RawMessage<OwnedFd>> {
        let deadline = Instant::now() + HANG;
        let mut buffer = [0; MESSAGE_LEN];
        loop {
            let missing = self.reader.missing();
            match self.receiver.receive(&mut buffer[..missing]).unwrap() {
                Received::Bytes(count, fd) => {
                    if let Some(message) =
                        self.reader.push(&buffer[..count], fd.map(ForeignFd::into_owned)).unwrap()
                    {
                        return Some(message);
                    }
                }
                Received::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    assert!(!left.is_zero(), "no message for {HANG:?}: {self:?}");
                    let timeout = eventfd::timespec(left);
                    poll(&mut [PollFd::new(&self.receiver, PollFlags::IN)], Some(&timeout)).unwrap();
                }
                Received::Closed => return None,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether something can be read now.
    pub(crate) fn has_news(&self) -> bool {
        let now = eventfd::timespec(Duration::ZERO);
        poll(&mut [PollFd::new(&self.receiver, PollFlags::IN)], Some(&now)).unwrap() > 0
    }

    /// Reads one message as QEMU does.
    pub(crate) fn read_one(&mut self) {
        let message = self.raw().expect("the server closed the connection");
        self.read += 1;
        match (self.read, message.value, message.fd) {
            (1, 0, None) => {}
            (2, id @ 0..=65_535, None) => self.id = id,
            (3, -1, Some(memory)) => self.memory = Some(memory),
            (4.., id, Some(vector)) if id == self.id => self.own.push(vector),
            (4.., id @ 0..=65_535, Some(vector)) => {
                assert!(!self.gone.contains(&id), "QEMU aborts: {id} came back");
                self.peers.entry(id).or_default().push(vector);
            }
            (4.., id @ 0..=65_535, None) => {
                assert!(self.peers.remove(&id).is_some(), "QEMU aborts: {id} was not there");
                self.gone.insert(id);
            }
            (read, value, fd) => panic!("message {read} is {value} with {fd:?}"),
        }
    }

    pub(crate) fn read_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.read_one();
        }
    }

    /// Reads until exactly these peers are connected, with `vectors` vectors each.
    pub(crate) fn read_until_peers_are(&mut self, ids: impl IntoIterator<Item = i64>, vectors: usize) {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        self.read_until(|client| {
            client.peers.keys().eq(ids.iter()) && client.peers.values().all(|peer| peer.len() == vectors)
        });
    }

    /// Size of the shared memory in bytes.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(rustix::fs::fstat(self.memory.as_ref().unwrap()).unwrap().st_size).unwrap()
    }
}

/// Waits until a condition becomes true in another thread or process.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < HANG, "{what}: not within {HANG:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
