use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ivshmem::wire::server::{Engine, Limits};
use ivshmem::wire::{MAX_PEERS, MAX_VECTORS};

use crate::descriptors::in_flight_budget;
use crate::event_loop::EventLoop;
use crate::listener::Listener;
use crate::memory::Region;
use crate::server::Counters;
use crate::size::rounded_up;
use crate::{Backing, Error, Server};

/// What a server is to be like. The defaults are those of QEMU's server, except that the memory is sealed and has no
/// name.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    path: PathBuf,
    size: u64,
    vectors: u32,
    backing: Backing,
    prealloc: bool,
    max_clients: u32,
    access: Access,
}

/// Who may use what the server creates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) owner: Option<(u32, u32)>,
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            size: 4 << 20,
            vectors: 1,
            backing: Backing::default(),
            prealloc: false,
            max_clients: MAX_PEERS,
            access: Access { mode: 0o600, owner: None },
        }
    }

    /// Bytes of the shared memory, 4 KiB to 1 TiB; 4 MiB unless said otherwise. QEMU demands a power of two, so any
    /// other size is rounded up to one, which is logged.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// Vectors of each client, 1 to 256; 1 unless said otherwise.
    pub fn vectors(mut self, vectors: u32) -> Self {
        self.vectors = vectors;
        self
    }

    /// Where the memory comes from; sealed memory without a name unless said otherwise.
    pub fn backing(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// Whether sealed memory is taken from the host at once. Files are always allocated at once.
    pub fn prealloc(mut self, prealloc: bool) -> Self {
        self.prealloc = prealloc;
        self
    }

    /// Clients at the same time, 1 to 65,536. Descriptors usually set a lower limit: each client takes one and as many
    /// as it has vectors. See [`raise_descriptor_limit`](crate::raise_descriptor_limit).
    pub fn max_clients(mut self, clients: u32) -> Self {
        self.max_clients = clients;
        self
    }

    /// Permissions of the socket, and of a named object that is created; 0o600 unless said otherwise. Who may write to
    /// the socket may connect.
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode & 0o777;
        self
    }

    /// Owner and group of the socket, and of a named object that is created; those of this process unless said
    /// otherwise. Usually only root may give files away.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.access.owner = Some((uid, gid));
        self
    }

    /// Creates the memory and listens. Clients can connect from now on and are served as soon as
    /// [`Listening::run`] is called.
    ///
    /// # Errors
    /// When an argument is outside its range, another server uses the same socket or memory, or the system has no room.
    pub fn listen(self) -> Result<Listening, Error> {
        let size = rounded_up(self.size)?;
        let vectors = u16::try_from(self.vectors).ok().filter(|n| (1..=MAX_VECTORS).contains(n));
        let vectors = vectors.ok_or(Error::Vectors(self.vectors))?;
        if !(1..=MAX_PEERS).contains(&self.max_clients) {
            return Err(Error::Clients(self.max_clients));
        }
        if size != self.size {
            tracing::warn!("{} bytes rounded up to {size}: QEMU takes powers of two from 4096 on", self.size);
        }
        let region = Region::open(&self.backing, size, self.prealloc, self.access)?;
        let counters = Arc::new(Counters::default());
        let limits = Limits { vectors, clients: self.max_clients, in_flight: in_flight_budget() };
        let engine = Engine::new(limits);
        counters.update(&engine);
        // Last of all: from here on there may be clients, which must not be left without an answer.
        let listener = Listener::bind(&self.path, self.access)?;
        let event_loop = EventLoop::new(listener, region, vectors, engine, Arc::clone(&counters))?;
        Ok(Listening { path: self.path, size, vectors, counters, event_loop })
    }

    /// Like [`listen`](Self::listen), and serves in a thread of its own.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen), and when no thread can be started.
    pub fn start(self) -> Result<Server, Error> {
        Server::start(self.listen()?)
    }
}

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    size: u64,
    vectors: u16,
    counters: Arc<Counters>,
    event_loop: EventLoop,
}

impl Listening {
    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the shared memory, a power of two.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Vectors of each client.
    pub fn vectors(&self) -> u16 {
        self.vectors
    }

    /// Serves in the calling thread until `stop` becomes readable, then removes the socket.
    ///
    /// # Errors
    /// When the kernel cannot wait for events.
    pub fn run(self, stop: impl AsFd) -> Result<(), Error> {
        self.event_loop.run(stop.as_fd())
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}
