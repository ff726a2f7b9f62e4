use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use ivshmem::sys::linux::eventfd;
use ivshmem::wire::server::Engine;

use crate::{Builder, Error, Listening};

/// A server that runs in a thread of its own. Stops and removes its socket on drop.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    size: u64,
    vectors: u16,
    counters: Arc<Counters>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

/// How a server is doing, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Clients that are connected.
    pub clients: u32,
    /// Ids that can still be given out, of 65,536.
    pub free_ids: u32,
    /// Messages that clients have not read yet.
    pub in_flight: u32,
    /// Connections turned down since the start.
    pub refused: u64,
}

impl Server {
    /// A server that will listen on this path.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    pub(crate) fn start(listening: Listening) -> Result<Self, Error> {
        let stop = Arc::new(eventfd::create().map_err(Error::io("creating an eventfd"))?);
        let (path, size, vectors) = (listening.path().to_owned(), listening.size(), listening.vectors());
        let counters = listening.counters();
        let until = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("ivshmem-server".to_owned())
            .spawn(move || listening.run(&*until))
            .map_err(Error::io("starting the server's thread"))?;
        Ok(Self { path, size, vectors, counters, stop, thread: Some(thread) })
    }

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

    /// How it is doing now. May be called from any thread.
    pub fn status(&self) -> Status {
        self.counters.status()
    }

    /// Stops, removes the socket, and waits until that is done.
    ///
    /// # Errors
    /// When the server had gone down before.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        eventfd::ring(self.stop.as_fd()).map_err(Error::io("stopping the server"))?;
        thread.join().unwrap_or(Err(Error::Panicked))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{}: {error}", self.path.display());
        }
    }
}

/// What the serving thread tells the others.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    clients: AtomicU32,
    free_ids: AtomicU32,
    in_flight: AtomicU32,
    refused: AtomicU64,
}

impl Counters {
    pub(crate) fn update(&self, engine: &Engine) {
        self.clients.store(engine.connected(), Relaxed);
        self.free_ids.store(engine.free_ids(), Relaxed);
        self.in_flight.store(engine.in_flight(), Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    fn status(&self) -> Status {
        Status {
            clients: self.clients.load(Relaxed),
            free_ids: self.free_ids.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}
