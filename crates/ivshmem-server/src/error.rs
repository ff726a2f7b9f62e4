use std::io;
use std::path::PathBuf;

use ivshmem::ErrorKind;

use crate::size::InvalidSize;

/// Why a server could not be started or went down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The size is outside the range.
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
        /// The path asked for.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// The path does not end with a name.
    #[error("{path}: does not end with the name of a file", path = .0.display())]
    NotAName(PathBuf),
    /// The mode has bits that are no permissions.
    #[error("mode 0o{mode:o}, which is {mode} in decimal: permissions are 0 to 0o777, in octal: 0o660, not 660", mode = .0)]
    Mode(u32),
    /// The system takes this id for "none".
    #[error(
        "{0} is no id: users and groups are 0 to 4294967294; leave the owner out to keep that of this process"
    )]
    Id(u32),
    /// What stands there could have been put there by somebody else, so it was not touched.
    #[error("{path}: {problem}", path = path.display())]
    NotTrusted {
        /// The path asked for.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// Another server listens there.
    #[error("{path}: another server listens on this socket; stop it or choose another path", path = .0.display())]
    SocketInUse(PathBuf),
    /// Something that is no socket stands there. It was not touched.
    #[error("{path}: exists and is not a socket; remove it or choose another path", path = .0.display())]
    NotASocket(PathBuf),
    /// The socket that was handed over is not a listening Unix stream socket.
    #[error("the socket handed over is not a listening Unix stream socket; use ListenStream= with a path")]
    NotAListener,
    /// More than one socket was handed over.
    #[error("{0} sockets were handed over, 1 can be served; give each server a socket unit of its own")]
    TooManySockets(usize),
    /// Another server shares this object.
    #[error("{path}: another server shares this memory; stop it or choose another name", path = .0.display())]
    MemoryInUse(PathBuf),
    /// Another process holds this pid file.
    #[error("{path}: another server holds this pid file; stop it or choose another path", path = .0.display())]
    PidFileInUse(PathBuf),
    /// The object is no regular file.
    #[error("{path}: is not a regular file, so it cannot be shared memory", path = .0.display())]
    NotAFile(PathBuf),
    /// The object exists with another size. It was not touched.
    #[error("{path}: has {found} bytes, not {asked}; ask for {found}, remove it, or choose another name",
        path = path.display())]
    WrongSize {
        /// The object.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The size asked for, in bytes.
        asked: u64,
    },
    /// The size is not a multiple of the file system's page.
    #[error("{path}: pages have {page} bytes here, so {size} bytes cannot be shared; ask for a multiple",
        path = path.display())]
    HugePage {
        /// The directory or object.
        path: PathBuf,
        /// Bytes of one page.
        page: u64,
        /// The size asked for, in bytes.
        size: u64,
    },
    /// This process may not make files of that size, and shared memory is one.
    #[error(
        "{size} bytes asked for, {limit} are the most that this process may give a file; raise its limit \
         (ulimit -f, LimitFSIZE= of the service) or ask for less"
    )]
    FileLimit {
        /// The size asked for, in bytes.
        size: u64,
        /// RLIMIT_FSIZE, in bytes.
        limit: u64,
    },
    /// There is not enough memory.
    #[error("{size} bytes asked for, {available} available in {place}; ask for less or make room")]
    NoSpace {
        /// Where.
        place: String,
        /// The size asked for, in bytes.
        size: u64,
        /// Bytes that the memory could have there: what its file has already, and what is free.
        available: u64,
    },
    /// [`Builder::stop_on`](crate::Builder::stop_on) ended the start. The space taken for a new or an empty file was
    /// given back; in a file that existed with its full size, the holes filled so far stay filled, and on hugetlbfs
    /// pages stay reserved for the others.
    #[error("stopped after {taken} of the memory's {size} bytes")]
    Stopped {
        /// Bytes that had been taken.
        taken: u64,
        /// The size asked for, in bytes.
        size: u64,
    },
    /// This process cannot get the memory that the server itself needs.
    #[error(
        "the server itself needs {needed} bytes of memory, and this process cannot get them; raise its limit (ulimit -v, \
         LimitAS= of the service) or make room"
    )]
    OutOfMemory {
        /// Bytes.
        needed: usize,
    },
    /// A call to the operating system failed.
    #[error("{doing}: {source}{}", ivshmem::remedy(.source))]
    Io {
        /// What was tried, with the name of the thing.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The server went down before, so it has no status.
    #[error("the server has gone down; stop() tells why")]
    Down,
    /// The thread that serves has panicked, which is a bug of this library.
    #[error("the server's thread has panicked")]
    Panicked,
}

impl Error {
    /// What kind of failure this is.
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

    /// For `map_err`: says what was tried.
    pub(crate) fn io<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source: source.into() }
    }
}
