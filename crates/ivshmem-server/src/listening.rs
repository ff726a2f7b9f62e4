use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use ivshmem::sys::linux::eventfd;

use crate::error::Error;
use crate::event_loop::EventLoop;
use crate::status_query::StatusQuery;
use crate::status_socket::StatusSocket;

/// A server that listens but does not serve yet.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    size: u64,
    vectors: u16,
    query: StatusQuery,
    event_loop: EventLoop,
    status_socket: Option<StatusSocket>,
}

impl Listening {
    pub(crate) fn new(
        path: PathBuf,
        size: u64,
        vectors: u16,
        query: StatusQuery,
        event_loop: EventLoop,
        status_socket: Option<StatusSocket>,
    ) -> Self {
        Self { path, size, vectors, query, event_loop, status_socket }
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

    /// Serves in the calling thread until `stop` becomes readable, then removes the socket. The server waits up to one
    /// second for clients that have not yet read their first messages: a QEMU that gets its device at run time loops indefinitely
    /// in `device_add` if its connection has ended before.
    ///
    /// # Errors
    /// When waiting for events fails, or the thread for the status socket cannot be started.
    pub fn run(self, stop: impl AsFd) -> Result<(), Error> {
        let Some(status_socket) = self.status_socket else { return self.event_loop.run(stop.as_fd()) };
        let bell = Arc::new(eventfd::create().map_err(Error::io("creating an eventfd"))?);
        let end = End(Arc::clone(&bell));
        let status = thread::Builder::new()
            .name("ivshmem-status".to_owned())
            .spawn(move || status_socket.run(bell.as_fd()))
            .map_err(Error::io("starting the status thread"))?;
        let result = self.event_loop.run(stop.as_fd());
        drop(end);
        status.join().map_err(|_| Error::Panicked)?;
        result
    }

    pub(crate) fn query(&self) -> StatusQuery {
        self.query.clone()
    }
}

/// Ends the status thread when the server ends, also after an error or a panic.
struct End(Arc<OwnedFd>);

impl Drop for End {
    fn drop(&mut self) {
        // Ringing fails only if the counter is full, and then the eventfd is readable.
        let _ = eventfd::ring(self.0.as_fd());
    }
}
