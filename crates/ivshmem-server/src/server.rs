use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ivshmem::sys::linux::eventfd;

use crate::builder::Builder;
use crate::error::Error;
use crate::listening::Listening;
use crate::status::Status;
use crate::status_query::StatusQuery;

/// A server that runs in a separate thread. Stops and removes its socket on drop.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    size: u64,
    vectors: u16,
    query: StatusQuery,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Server {
    /// Returns a builder for a server that listens on this path.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    fn start(listening: Listening) -> Result<Self, Error> {
        let stop = Arc::new(eventfd::create().map_err(Error::io("creating an eventfd"))?);
        let (path, size, vectors) = (listening.path().to_owned(), listening.size(), listening.vectors());
        let query = listening.query();
        let until = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("ivshmem-server".to_owned())
            .spawn(move || listening.run(&*until))
            .map_err(Error::io("starting the server's thread"))?;
        Ok(Self { path, size, vectors, query, stop, thread: Some(thread) })
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the shared memory in bytes, a power of two.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Vectors of each client.
    pub fn vectors(&self) -> u16 {
        self.vectors
    }

    /// The server's state now. May be called from any thread, and waits for the serving thread: for microseconds, or longer
    /// if called without a pause, because answers take at most a tenth of that thread's time.
    ///
    /// # Errors
    /// When the server no longer runs.
    pub fn status(&self) -> Result<Status, Error> {
        self.query.ask().ok_or(Error::Down)
    }

    /// Stops the server, removes the socket, and waits until that is done. The server waits up to one second for clients
    /// that have not yet read their first messages: a QEMU that gets its device at run time loops indefinitely in `device_add` if
    /// its connection has ended before.
    ///
    /// # Errors
    /// The error that ended the server, if it failed before this call.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        eventfd::ring(self.stop.as_fd()).map_err(Error::io("stopping the server"))?;
        thread.join().unwrap_or(Err(Error::Panicked))
    }
}

impl Builder {
    /// Like [`listen`](Self::listen), and serves in a separate thread.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen), and when no thread can be started.
    pub fn start(self) -> Result<Server, Error> {
        Server::start(self.listen()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{}: {error}", self.path.display());
        }
    }
}
