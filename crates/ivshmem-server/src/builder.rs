use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ivshmem::wire::server::{Engine, Limits};
use ivshmem::wire::{MAX_PEERS, MAX_VECTORS};

use crate::admission::{Admission, Gatekeeper};
use crate::error::Error;
use crate::event_loop::{EventLoop, ServerInfo};
use crate::listener::Listener;
use crate::listening::Listening;
use crate::memory::{Backing, Region};
use crate::place::Access;
use crate::reserve;
use crate::size::rounded_up;
use crate::status::{LimitsStatus, MemoryStatus, ServerStatus};
use crate::status_query;
use crate::status_socket::StatusSocket;
use crate::sys::process::descriptor_limit;

/// Configures a server. The defaults are those of QEMU's server, except that the memory is sealed and has no name.
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

/// The highest limits accepted: a higher limit would never be reached.
const MAX_RATE: u32 = 1_000_000;
const MAX_IN_FLIGHT: u32 = 1 << 20;

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

    /// Size of the shared memory in bytes, 4 KiB to 1 TiB; default 4 MiB. QEMU requires a power of two, so the server
    /// rounds any other size up to the next one and logs that.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// Vectors of each client, 0 to 256; default 1. With 0 vectors, clients share the memory and have ids, but no client
    /// can interrupt another one or learn that another one is connected; the server logs that.
    pub fn vectors(mut self, vectors: u32) -> Self {
        self.vectors = vectors;
        self
    }

    /// Where the memory comes from; default sealed memory without a name.
    pub fn backing(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// Whether all pages of sealed memory are allocated at start; default `false`. Files are always allocated at start.
    pub fn prealloc(mut self, prealloc: bool) -> Self {
        self.prealloc = prealloc;
        self
    }

    /// Maximum number of clients at the same time, 1 to 65,536; default 65,536. The limit of open files is usually lower:
    /// each client takes one descriptor and one for each of its vectors. See
    /// [`raise_descriptor_limit`](crate::raise_descriptor_limit).
    pub fn max_clients(mut self, clients: u32) -> Self {
        self.max_clients = clients;
        self
    }

    /// Permissions of the socket, and of a named object that the server creates, as chmod bits 0 to 0o777; default 0o600.
    /// Users with write permission on the socket may connect.
    ///
    /// [`listen`](Self::listen) returns an error for other bits.
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode;
        self
    }

    /// Owner and group of the socket, and of a named object that the server creates; default those of this process. Only
    /// root may give files to another user; other users may give them to groups that they are members of. Ids are 0 to
    /// 4,294,967,294; [`listen`](Self::listen) returns an error for 4,294,967,295.
    pub fn owner(mut self, uid: impl Into<Option<u32>>, gid: impl Into<Option<u32>>) -> Self {
        (self.access.uid, self.access.gid) = (uid.into(), gid.into());
        self
    }

    /// Users who may connect, compared with the credentials that the kernel reports for the connecting process. If no users
    /// and no groups are set, every user may connect whom the socket's mode permits; if any are set, all other users are
    /// refused, root included.
    pub fn allow_uids(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.admission.uids.extend(uids);
        self
    }

    /// Groups whose members may connect; supplementary groups count (Linux 4.13 or newer). See
    /// [`allow_uids`](Self::allow_uids).
    pub fn allow_gids(mut self, gids: impl IntoIterator<Item = u32>) -> Self {
        self.admission.gids.extend(gids);
        self
    }

    /// Maximum number of connections per user and second, 1 to 1,000,000; default no limit.
    pub fn connection_rate(mut self, per_second: u32) -> Self {
        self.admission.rate = Some(per_second);
        self
    }

    /// Maximum number of messages sent and not yet read, for all clients together, 1 to 1,048,576. Each message has 8
    /// bytes, takes about 768 bytes of kernel memory and carries at most one descriptor. Above the limit each client may
    /// still have one message in flight. The default is half of the process's limit of open files, at most 65,536.
    pub fn max_in_flight(mut self, messages: u32) -> Self {
        self.max_in_flight = Some(messages);
        self
    }

    /// Listens on this socket too, and sends the [`Status`](crate::Status) as JSON to each process that connects to it. By
    /// default only this process's user and root may connect, see [`status_mode`](Self::status_mode).
    pub fn status_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.status = Some(path.as_ref().to_owned());
        self
    }

    /// Permissions of the status socket, 0 to 0o777; default 0o600.
    pub fn status_mode(mut self, mode: u32) -> Self {
        self.status_mode = mode;
        self
    }

    /// Cancels a start that is still allocating space for the memory when this descriptor becomes readable:
    /// [`listen`](Self::listen) then returns [`Error::Stopped`]. Allocation runs at a few GiB per second, so a start with
    /// hundreds of GiB takes minutes. The descriptor is polled before every piece of 64 MiB.
    pub fn stop_on(mut self, stop: Arc<OwnedFd>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Creates the memory and listens. Clients can connect from now on; [`Listening::run`] serves them.
    ///
    /// # Errors
    /// When an argument is outside its range, another server uses the same socket or memory, something else has the path, an
    /// existing file has another size or is not trusted, or the system refuses a call, for example for lack of space.
    pub fn listen(self) -> Result<Listening, Error> {
        self.listen_on(None)
    }

    /// Like [`listen`](Self::listen), on a listening socket that a service manager passes to this process. The path, mode
    /// and owner of the builder do not apply to this socket, and the server does not remove it.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen), and when `socket` is not a listening Unix stream socket.
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
        // Before memory is allocated that would have to be freed again.
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
            descriptors: descriptor_limit(),
        };
        let (query, queries) = status_query::channel()?;
        let status_access = Access { mode: self.status_mode, uid: None, gid: None };
        let status_socket = self
            .status
            .map(|path| StatusSocket::new(Listener::bind(&path, status_access)?, query.clone()))
            .transpose()?;
        // Last: from here on clients may connect, and they must get an answer.
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
            // Absolute, because readers may have another working directory.
            socket: std::path::absolute(&path).unwrap_or_else(|_| path.clone()),
            vectors,
            memory,
        };
        let info = ServerInfo { server, limits, since: Instant::now() };
        let gatekeeper = Gatekeeper::new(self.admission);
        let event_loop = EventLoop::new(listener, gatekeeper, region, info, engine, queries)?;
        growth.happen()?;
        Ok(Listening::new(path, size, vectors, query, event_loop, status_socket))
    }

    /// Refuses modes and ids that the system would interpret differently.
    fn check_access(&self) -> Result<(), Error> {
        for mode in [self.access.mode, self.status_mode] {
            if mode > 0o777 {
                return Err(Error::Mode(mode));
            }
        }
        let lists = self.admission.uids.iter().chain(&self.admission.gids).copied();
        let mut ids = [self.access.uid, self.access.gid].into_iter().flatten().chain(lists);
        // The system interprets the highest number as "none" or "leave unchanged".
        ids.find(|id| *id == u32::MAX).map_or(Ok(()), |id| Err(Error::Id(id)))
    }
}

/// The default limit of messages sent and not yet read, for all clients together.
///
/// Each message may hold a descriptor. For an unprivileged user, the kernel limits the descriptors in flight to the number
/// that a process may have open. This budget uses half of that; the other half is for every client's first message beyond
/// the budget and for other processes of the same user. A message takes about 768 bytes of kernel memory.
fn in_flight_budget() -> u32 {
    let descriptors = descriptor_limit().unwrap_or(u64::MAX) / 2;
    u32::try_from(descriptors.min(BUDGET)).expect("cut to fit")
}

/// The number of messages that take 48 MiB of kernel memory.
const BUDGET: u64 = 65_536;
