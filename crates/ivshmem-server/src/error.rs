use std::io;
use std::path::PathBuf;

use ivshmem::ErrorKind;
use ivshmem::size::InvalidSize;

const LIMITED: &str = "the limit of this process's control group may be lower: raise it, or ask for less; for huge pages, raise \
    hugetlb.SIZE.max and hugetlb.SIZE.rsvd.max (with cgroup v1 hugetlb.SIZE.limit_in_bytes and \
    hugetlb.SIZE.rsvd.limit_in_bytes); or add huge pages on the NUMA nodes that its cpuset allows; or, if pages are to be added \
    on demand (nr_overcommit_hugepages), make memory free for them";

/// Why a server could not be started or has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The size is outside the range, or its text is not a size.
    #[error(transparent)]
    Size(#[from] InvalidSize),
    /// The number of vectors is outside the range.
    #[error("{0} vectors: a client has 0 to 256; one vector is one kind of interrupt")]
    Vectors(u32),
    /// The number of clients is outside the range.
    #[error("at most {0} clients: the limit must be 1 to 65536")]
    Clients(u32),
    /// The limit of messages in flight is outside the range.
    #[error("{0} messages in flight: the limit must be 1 to 1048576")]
    InFlight(u32),
    /// The limit of connections in a second is outside the range.
    #[error("{0} connections in a second: the limit must be 1 to 1000000")]
    ConnectionRate(u32),
    /// The path does not fit into a socket's address.
    #[error("{path}: the path of a socket has at most 107 bytes, this one has {length}", path = path.display())]
    PathTooLong {
        /// The requested path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The path does not end with a name.
    #[error("{path}: does not end with the name of a file", path = .0.display())]
    NotAName(PathBuf),
    /// The mode has bits that are not permissions.
    #[error("mode 0o{mode:o}, which is {mode} in decimal: permissions are 0 to 0o777, in octal: 0o660, not 660", mode = .0)]
    Mode(u32),
    /// The system interprets this id as "none".
    #[error(
        "{0} is no id: users and groups are 0 to 4294967294; leave the owner out to keep that of this process"
    )]
    Id(u32),
    /// Another user could have put there what exists at the path. The server did not touch it.
    #[error("{path}: {problem}", path = path.display())]
    NotTrusted {
        /// The requested path.
        path: PathBuf,
        /// The problem and its remedy.
        problem: String,
    },
    /// Another server listens on the socket.
    #[error("{path}: another server listens on this socket; stop it or choose another path", path = .0.display())]
    SocketInUse(PathBuf),
    /// The path exists and is not a socket. The server did not touch it.
    #[error("{path}: exists and is not a socket; remove it or choose another path", path = .0.display())]
    NotASocket(PathBuf),
    /// The inherited socket is not a listening Unix stream socket.
    #[error("the socket handed over is not a listening Unix stream socket; use ListenStream= with a path")]
    NotAListener,
    /// The service manager passed more than one socket.
    #[error("{0} sockets were handed over, 1 can be served; give each server a socket unit of its own")]
    TooManySockets(usize),
    /// Another server shares this object.
    #[error("{path}: another server shares this memory; stop it or choose another name", path = .0.display())]
    MemoryInUse(PathBuf),
    /// Another process holds this pid file.
    #[error("{path}: another server holds this pid file; stop it or choose another path", path = .0.display())]
    PidFileInUse(PathBuf),
    /// The object is not a regular file.
    #[error("{path}: is not a regular file, so it cannot be shared memory", path = .0.display())]
    NotAFile(PathBuf),
    /// The object exists with another size. The server did not touch it.
    #[error("{path}: has {found} bytes, not {asked}; ask for {found}, remove it, or choose another name",
        path = path.display())]
    WrongSize {
        /// The object.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The requested size in bytes.
        asked: u64,
    },
    /// The size is not a multiple of the file system's page.
    #[error("{path}: pages have {page} bytes here, so {size} bytes cannot be shared; ask for a multiple",
        path = path.display())]
    HugePage {
        /// The directory or object.
        path: PathBuf,
        /// Size of a page in bytes.
        page: u64,
        /// The requested size in bytes.
        size: u64,
    },
    /// The limit of file sizes of this process is lower than the size of the shared memory, which counts as a file.
    #[error(
        "{size} bytes asked for, {limit} are the most that this process may give a file; raise its limit \
         (ulimit -f, LimitFSIZE= of the service) or ask for less"
    )]
    FileLimit {
        /// The requested size in bytes.
        size: u64,
        /// RLIMIT_FSIZE, in bytes.
        limit: u64,
    },
    /// There is not enough memory, or this process may not have it. If the limit of a control group for huge pages in use
    /// (`hugetlb.SIZE.max`) is reached in a file that existed with its full size, the holes filled so far stay filled, and
    /// pages stay reserved for the remaining holes.
    #[error(
        "{size} bytes asked for, {available} available in {place}; {remedy}",
        remedy = if available < size { "ask for less or make room" } else { LIMITED }
    )]
    NoSpace {
        /// The file system or the host's memory.
        place: String,
        /// The requested size in bytes.
        size: u64,
        /// Bytes that the file could have there: those that it has already and those that are free, without the huge pages
        /// that a mount reserves for itself (`min_size`). If this is not less than `size`, another limit is lower, such as
        /// that of a control group.
        available: u64,
    },
    /// [`Builder::stop_on`](crate::Builder::stop_on) cancelled the start. The space allocated for a new or an empty file
    /// was freed; in a file that existed with its full size, the holes filled so far stay filled, and on hugetlbfs pages
    /// stay reserved for the remaining holes.
    #[error("stopped after {taken} of the memory's {size} bytes")]
    Stopped {
        /// Bytes allocated before that.
        taken: u64,
        /// The requested size in bytes.
        size: u64,
    },
    /// This process cannot allocate the memory that the server itself needs.
    #[error(
        "the server itself needs {needed} bytes of memory, and this process cannot get them; raise its limit (ulimit -v, \
         LimitAS= of the service) or make room"
    )]
    OutOfMemory {
        /// Required memory in bytes.
        needed: usize,
    },
    /// A call to the operating system failed.
    #[error("{doing}: {source}{}", ivshmem::remedy(.source))]
    Io {
        /// The operation, with the name of its object.
        doing: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The server has stopped or failed before, so it has no status.
    #[error("the server has gone down; stop() tells why")]
    Down,
    /// The serving thread has panicked, which is a bug in this library.
    #[error("the server's thread has panicked")]
    Panicked,
}

impl Error {
    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Size(_)
            | Self::Vectors(_)
            | Self::Clients(_)
            | Self::InFlight(_)
            | Self::ConnectionRate(_)
            | Self::NotAListener
            | Self::TooManySockets(_)
            | Self::PathTooLong { .. }
            | Self::NotAName(_)
            | Self::Mode(_)
            | Self::Id(_)
            | Self::HugePage { .. }
            | Self::FileLimit { .. }
            | Self::NotAFile(_) => ErrorKind::InvalidArgument,
            Self::NotTrusted { .. } => ErrorKind::PermissionDenied,
            Self::NotASocket(_) | Self::WrongSize { .. } => ErrorKind::AlreadyExists,
            Self::SocketInUse(_) | Self::MemoryInUse(_) | Self::PidFileInUse(_) => ErrorKind::Busy,
            Self::NoSpace { .. } | Self::OutOfMemory { .. } => ErrorKind::NoSpace,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
                io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => ErrorKind::NoSpace,
                _ => ErrorKind::Io,
            },
            Self::Stopped { .. } => ErrorKind::Closed,
            Self::Down => ErrorKind::ServerGone,
            Self::Panicked => ErrorKind::Io,
        }
    }

    /// For `map_err`: adds the operation to an error.
    pub(crate) fn io<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source: source.into() }
    }
}
