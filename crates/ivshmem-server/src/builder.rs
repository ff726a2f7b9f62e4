use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ivshmem::wire::server::{Engine, Limits};
use ivshmem::wire::{MAX_PEERS, MAX_VECTORS};
use rustix::process::{Resource, getrlimit};

use crate::admission::{Admission, Porter};
use crate::descriptors::in_flight_budget;
use crate::event_loop::{About, EventLoop};
use crate::inquiry;
use crate::listener::Listener;
use crate::listening::Listening;
use crate::memory::Region;
use crate::reserve;
use crate::size::rounded_up;
use crate::status_socket::StatusSocket;
use crate::{Backing, Error, LimitsStatus, MemoryStatus, Server, ServerStatus};

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
    max_in_flight: Option<u32>,
    access: Access,
    admission: Admission,
    status: Option<PathBuf>,
    status_mode: u32,
    stop: Option<Arc<OwnedFd>>,
}

/// The highest limits that make sense: more would be none.
const MAX_RATE: u32 = 1_000_000;
const MAX_IN_FLIGHT: u32 = 1 << 20;

/// Who may use what the server creates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

impl Access {
    /// What is done when this path is given to another owner; `None` when it is not.
    pub(crate) fn giving(self, path: &Path) -> Option<String> {
        let to = match (self.uid, self.gid) {
            (None, None) => return None,
            (Some(uid), None) => format!("user {uid}"),
            (None, Some(gid)) => format!("group {gid}"),
            (Some(uid), Some(gid)) => format!("user {uid}, group {gid}"),
        };
        Some(format!("giving {} to {to}", path.display()))
    }
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
            max_in_flight: None,
            access: Access { mode: 0o600, uid: None, gid: None },
            admission: Admission::default(),
            status: None,
            status_mode: 0o600,
            stop: None,
        }
    }

    /// Bytes of the shared memory, 4 KiB to 1 TiB; 4 MiB unless said otherwise. QEMU demands a power of two, so any
    /// other size is rounded up to one, which is logged.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// Vectors of each client, 0 to 256; 1 unless said otherwise. Without any, clients share the memory and have ids, but none can
    /// be interrupted, or told that another one is there; that is logged.
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
    ///
    /// Bits as for chmod, 0 to 0o777; others are refused when the server starts.
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode;
        self
    }

    /// Owner and group of the socket, and of a named object that is created; those of this process unless said
    /// otherwise. Only root may give files to another user, others to groups that they are in. Ids are 0 to
    /// 4,294,967,294; the number after these is refused when the server starts.
    pub fn owner(mut self, uid: impl Into<Option<u32>>, gid: impl Into<Option<u32>>) -> Self {
        (self.access.uid, self.access.gid) = (uid.into(), gid.into());
        self
    }

    /// Users who may be clients, by the credentials that the kernel has of the process that connects. Without users and
    /// groups everybody may whom the socket's mode lets connect; with any of them nobody else may, not even root.
    pub fn allow_uids(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.admission.uids.extend(uids);
        self
    }

    /// Groups whose members may be clients, also those in whom it is a supplementary group (Linux 4.13 or newer).
    /// See [`allow_uids`](Self::allow_uids).
    pub fn allow_gids(mut self, gids: impl IntoIterator<Item = u32>) -> Self {
        self.admission.gids.extend(gids);
        self
    }

    /// Connections of one user in a second, 1 to 1,000,000; no limit unless said otherwise.
    pub fn connection_rate(mut self, per_second: u32) -> Self {
        self.admission.rate = Some(per_second);
        self
    }

    /// Messages sent and not yet read, all clients together, 1 to 1,048,576. Each is 8 bytes, takes some 768 bytes of
    /// kernel memory, and carries at most one descriptor. Beyond it each client may have one message in flight. Unless
    /// said otherwise half of the process's limit of open files, at most 65,536.
    pub fn max_in_flight(mut self, messages: u32) -> Self {
        self.max_in_flight = Some(messages);
        self
    }

    /// Listens on this socket too, and sends each who connects to it the [`Status`](crate::Status) as JSON. By default
    /// only this process's user and root may connect, see [`status_mode`](Self::status_mode).
    pub fn status_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.status = Some(path.as_ref().to_owned());
        self
    }

    /// Permissions of the status socket, 0 to 0o777; 0o600 unless said otherwise.
    pub fn status_mode(mut self, mode: u32) -> Self {
        self.status_mode = mode;
        self
    }

    /// Ends a start that is still taking space for the memory when this descriptor becomes readable: [`listen`](Self::listen) then
    /// fails with [`Error::Stopped`]. Space is taken at a few GiB per second, so a start with hundreds of GiB lasts minutes. The
    /// descriptor is polled after every 64 MiB.
    pub fn stop_on(mut self, stop: Arc<OwnedFd>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Creates the memory and listens. Clients can connect from now on and are served as soon as
    /// [`Listening::run`] is called.
    ///
    /// # Errors
    /// When an argument is outside its range, another server uses the same socket or memory, or the system has no room.
    pub fn listen(self) -> Result<Listening, Error> {
        self.listen_on(None)
    }

    /// Like [`listen`](Self::listen), on a socket that listens already, as service managers hand it over. The path,
    /// mode and owner of the builder do not apply to it, and it is not removed at the end.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen), and when it is not a listening Unix stream socket.
    pub fn listen_on_inherited(self, socket: OwnedFd) -> Result<Listening, Error> {
        self.listen_on(Some(socket))
    }

    fn listen_on(self, inherited: Option<OwnedFd>) -> Result<Listening, Error> {
        let size = rounded_up(self.size)?;
        let vectors = u16::try_from(self.vectors).ok().filter(|n| *n <= MAX_VECTORS);
        let vectors = vectors.ok_or(Error::Vectors(self.vectors))?;
        if !(1..=MAX_PEERS).contains(&self.max_clients) {
            return Err(Error::Clients(self.max_clients));
        }
        if let Some(rate) = self.admission.rate.filter(|rate| !(1..=MAX_RATE).contains(rate)) {
            return Err(Error::ConnectionRate(rate));
        }
        let in_flight = self.max_in_flight.unwrap_or_else(in_flight_budget);
        if !(1..=MAX_IN_FLIGHT).contains(&in_flight) && self.max_in_flight.is_some() {
            return Err(Error::InFlight(in_flight));
        }
        self.check_access()?;
        if !reserve::is_there(0) {
            return Err(Error::OutOfMemory { needed: reserve::needed(0) });
        }
        // Before memory is taken that would have to be given back.
        if inherited.is_none() {
            Listener::check(&self.path)?;
        }
        self.status.as_deref().map(Listener::check).transpose()?;
        if size != self.size {
            tracing::warn!("{} bytes rounded up to {size}: QEMU takes powers of two from 4096 on", self.size);
        }
        if vectors == 0 {
            tracing::warn!(
                "no vectors: clients share the memory, but none can be interrupted or told that another one is there"
            );
        }
        let stop = self.stop.as_ref().map(|stop| stop.as_fd());
        let region = Region::open(&self.backing, size, self.prealloc, self.access, stop)?;
        let growth = region.growth()?;
        let engine = Engine::new(Limits { vectors, clients: self.max_clients, in_flight });
        let limits = LimitsStatus {
            clients: self.max_clients,
            in_flight,
            connection_rate: self.admission.rate,
            descriptors: getrlimit(Resource::Nofile).current,
        };
        let (inquirer, inquiries) = inquiry::channel()?;
        let status_access = Access { mode: self.status_mode, uid: None, gid: None };
        let status_socket = self
            .status
            .map(|path| StatusSocket::new(Listener::bind(&path, status_access)?, inquirer.clone()))
            .transpose()?;
        // Last of all: from here on there may be clients, which must not be left without an answer.
        let listener = match inherited {
            None => Listener::bind(&self.path, self.access)?,
            Some(socket) => Listener::inherited(socket)?,
        };
        let path = listener.path().to_owned();
        let memory = MemoryStatus {
            bytes: size,
            sealed: self.backing == Backing::Sealed,
            path: match &self.backing {
                Backing::Sealed => None,
                Backing::Named(path) | Backing::Unnamed(path) => Some(path.clone()),
            },
        };
        let server = ServerStatus {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_seconds: 0.0,
            // For readers in any directory.
            socket: std::path::absolute(&path).unwrap_or_else(|_| path.clone()),
            vectors,
            memory,
        };
        let about = About { server, limits, since: Instant::now() };
        let porter = Porter::new(self.admission);
        let event_loop = EventLoop::new(listener, porter, region, about, engine, inquiries)?;
        growth.happen()?;
        Ok(Listening::new(path, size, vectors, inquirer, event_loop, status_socket))
    }

    /// Refuses what the system would take for something else.
    fn check_access(&self) -> Result<(), Error> {
        for mode in [self.access.mode, self.status_mode] {
            if mode > 0o777 {
                return Err(Error::Mode(mode));
            }
        }
        let lists = self.admission.uids.iter().chain(&self.admission.gids).copied();
        let mut ids = [self.access.uid, self.access.gid].into_iter().flatten().chain(lists);
        // The system takes the highest number for "none", or for "leave it as it is".
        ids.find(|id| *id == u32::MAX).map_or(Ok(()), |id| Err(Error::Id(id)))
    }

    /// Like [`listen`](Self::listen), and serves in a thread of its own.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen), and when no thread can be started.
    pub fn start(self) -> Result<Server, Error> {
        Server::start(self.listen()?)
    }
}
