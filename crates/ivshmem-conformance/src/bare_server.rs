//! A minimal server that behaves like QEMU's own: one thread, blocking sends, and no handling of slow clients. Optionally
//! it sends its handshake in pieces and its last vectors late.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ivshmem::sys::linux::{epoll, eventfd, socket};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// Options of a bare server's handshake.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Size of the memory in bytes.
    pub size: u64,
    /// Vectors of each client.
    pub vectors: u16,
    /// Sends each message in two pieces, and pauses after every 16 messages.
    pub in_pieces: bool,
    /// Number of the client's own vectors that are sent late, after everything else and a pause.
    pub late_vectors: u16,
    /// Existing memory to share instead of new memory.
    pub memory: Option<Arc<OwnedFd>>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { size: 1 << 20, vectors: 2, in_pieces: false, late_vectors: 0, memory: None }
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct BareServer {
    path: PathBuf,
    memory: Arc<OwnedFd>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl BareServer {
    /// Listens on `path` in a separate thread.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn start(path: &Path, manner: Manner) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let memory = match &manner.memory {
            Some(memory) => Arc::clone(memory),
            None => {
                let memory = memfd_create("bare-server", MemfdFlags::CLOEXEC)?;
                ftruncate(&memory, manner.size)?;
                Arc::new(memory)
            }
        };
        let stop = Arc::new(eventfd::create()?);
        let service = Service {
            listener,
            memory: Arc::clone(&memory),
            manner,
            clients: BTreeMap::new(),
            epoll: epoll::create()?,
        };
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || service.run(&seen));
        Ok(Self { path: path.to_path_buf(), memory, stop, thread: Some(thread) })
    }

    /// The memory, so that another server can share it too.
    pub fn memory(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.memory)
    }
}

impl Drop for BareServer {
    /// Closes all connections and removes the socket.
    fn drop(&mut self) {
        // A failure of either of these would be visible in the test.
        let _ = eventfd::ring(self.stop.as_fd());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends one message as a hostile server in a test does: any value, with or without a descriptor.
///
/// # Errors
/// An error of the operating system; `BrokenPipe` when the client is gone.
pub fn send(stream: &UnixStream, value: i64, fd: Option<&OwnedFd>) -> io::Result<()> {
    send_bytes(stream, &value.to_le_bytes(), fd)
}

fn send_bytes(stream: &UnixStream, mut bytes: &[u8], mut fd: Option<&OwnedFd>) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket::send(stream.as_fd(), bytes, fd.map(AsFd::as_fd))? {
            socket::Sent::Bytes(sent) => {
                bytes = &bytes[sent..];
                fd = None;
            }
            socket::Sent::WouldBlock | socket::Sent::TooManyInFlight => {
                std::thread::sleep(Duration::from_micros(50));
            }
            socket::Sent::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    Ok(())
}

struct Service {
    listener: UnixListener,
    memory: Arc<OwnedFd>,
    manner: Manner,
    clients: BTreeMap<u16, Client>,
    epoll: OwnedFd,
}

struct Client {
    stream: UnixStream,
    vectors: Vec<OwnedFd>,
}

const LISTENER: u64 = 1 << 20;
const STOP: u64 = 1 << 21;
/// Pause between the pieces of a handshake, far below the time after which a client considers it complete.
const PAUSE: Duration = Duration::from_millis(1);
/// Pause before the late vectors, far above that time.
const LATE: Duration = Duration::from_millis(50);

impl Service {
    fn run(mut self, stop: &OwnedFd) {
        let watched = epoll::add(&self.epoll, &self.listener, LISTENER)
            .and_then(|()| epoll::add(&self.epoll, stop, STOP));
        let mut ready = Vec::new();
        while watched.is_ok() && epoll::wait(&self.epoll, &mut ready, None).is_ok() {
            for token in ready.clone() {
                match token {
                    STOP => return,
                    // The next round handles a client that disconnects during its handshake.
                    LISTENER => drop(self.accept()),
                    client => self.gone(client),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        let id = (0..).find(|id| !self.clients.contains_key(id)).expect("fewer than 65536 clients in a test");
        let vectors: Vec<OwnedFd> =
            (0..self.manner.vectors).map(|_| eventfd::create()).collect::<io::Result<_>>()?;
        // As in QEMU's server, both directions of the announcement are completed before anything else.
        self.greet(&stream, id, &vectors)?;
        for other in self.clients.values() {
            for vector in &vectors {
                let _ = send(&other.stream, id.into(), Some(vector));
            }
        }
        epoll::add(&self.epoll, &stream, id.into())?;
        self.clients.insert(id, Client { stream, vectors });
        Ok(())
    }

    fn greet(&self, stream: &UnixStream, id: u16, own: &[OwnedFd]) -> io::Result<()> {
        let id = i64::from(id);
        let mut messages = vec![(0, None), (id, None), (-1, Some(&*self.memory))];
        for (peer, client) in &self.clients {
            messages.extend(client.vectors.iter().map(|fd| (i64::from(*peer), Some(fd))));
        }
        messages.extend(own.iter().map(|fd| (id, Some(fd))));
        let in_time = messages.len() - usize::from(self.manner.late_vectors);
        for (index, (value, fd)) in messages.into_iter().enumerate() {
            if index == in_time {
                std::thread::sleep(LATE);
            }
            if !self.manner.in_pieces {
                send(stream, value, fd)?;
                continue;
            }
            let bytes = value.to_le_bytes();
            let (first, second) = bytes.split_at(1 + index % 7);
            send_bytes(stream, first, fd)?;
            send_bytes(stream, second, None)?;
            if index % 16 == 15 {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// A client that sends anything, or closes, has left.
    fn gone(&mut self, token: u64) {
        let Ok(id) = u16::try_from(token) else { return };
        let Some(client) = self.clients.remove(&id) else { return };
        let _ = epoll::remove(&self.epoll, &client.stream);
        for other in self.clients.values() {
            let _ = send(&other.stream, id.into(), None);
        }
    }
}
