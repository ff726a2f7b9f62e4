use std::fmt;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::wire::ProtocolError;
use crate::{ErrorKind, Face, PeerId};

/// Why sending an interrupt, waiting for one or registering a callback failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DoorbellError {
    /// The device was closed before or during the call.
    #[error("the device is closed")]
    Closed,
    /// The device has memory but no interrupts.
    #[error("{}", self.text(Face::Rust))]
    Unsupported {
        /// The kind of the device.
        device: &'static str,
    },
    /// The device cannot list its peers: the hardware of a virtual machine does not report them.
    #[error("this device cannot tell who else is there; let programs write their ids into the memory")]
    PeersUnknown,
    /// The virtual machine is not set up for the operation with this device.
    #[error("this device cannot {doing}: {why}")]
    NotPrepared {
        /// The operation that failed.
        doing: &'static str,
        /// The obstacle and its remedy.
        why: String,
    },
    /// No peer with this id is connected.
    #[error("{}", self.text(Face::Rust))]
    UnknownPeer {
        /// The requested id.
        peer: PeerId,
    },
    /// The peer has no such vector.
    #[error("peer {peer} has no vector {vector}: it has {vectors}, counted from 0")]
    UnknownPeerVector {
        /// The peer.
        peer: PeerId,
        /// The requested vector.
        vector: u16,
        /// The number of vectors that the peer has now.
        vectors: u16,
    },
    /// This device has no such vector.
    #[error("this device has no vector {vector}: it has {vectors}, counted from 0")]
    UnknownVector {
        /// The requested vector.
        vector: u16,
        /// The number of vectors that this device has now.
        vectors: u16,
    },
    /// This vector of a Windows guest's device cannot be received, because the driver had no slot left for its event.
    #[error(
        "vector {vector} cannot be received: Windows' driver has {slots} slots for events, and this device got them \
         for {vectors} vectors, counted from 0; let others ring one of those"
    )]
    NoSlot {
        /// The requested vector.
        vector: u16,
        /// The number of vectors that this device can receive.
        vectors: u16,
        /// The number of slots that the driver has for all its users.
        slots: u16,
    },
    /// The device was removed from the virtual machine, or its driver stopped.
    #[error(
        "the device is gone (error {code}): it was removed, or its driver stopped; close it, and open it anew when it is back"
    )]
    DeviceGone {
        /// The error number of the system.
        code: u32,
    },
    /// The vector has a reader of another kind. It can have only one kind at a time.
    #[error("{}", self.text(Face::Rust))]
    Busy {
        /// The vector.
        vector: u16,
        /// The kind of reader that has the vector.
        reader: Reader,
    },
    /// A system call failed.
    #[error("cannot {doing}")]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}

impl DoorbellError {
    /// The error text, with a remedy in the words of `face`. `Display` uses the words of [`Face::Rust`]. An error of the
    /// system is not part of the text; it is the `source`.
    pub fn text(&self, face: Face) -> String {
        match self {
            Self::Unsupported { device } => {
                let server = "connect to a server for them";
                let remedy = face.pick(server, server, "the target doorbell:SOCKET, of a server, has them");
                format!("{device} memory has no interrupts; {remedy}")
            }
            Self::UnknownPeer { peer } => {
                let list = face.pick("peers()", "getPeers()", "`ivshmem peers TARGET`");
                format!("no peer {peer} is connected; {list} lists those who are")
            }
            Self::Busy { vector, reader } => {
                let remedy = reader.remedy(face);
                format!("vector {vector} is read by {reader}; {remedy} first, or use another vector")
            }
            other => other.to_string(),
        }
    }

    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::Closed,
            Self::Unsupported { .. } | Self::PeersUnknown | Self::NotPrepared { .. } => {
                ErrorKind::Unsupported
            }
            Self::UnknownPeer { .. } => ErrorKind::UnknownPeer,
            Self::UnknownPeerVector { .. } | Self::UnknownVector { .. } | Self::NoSlot { .. } => {
                ErrorKind::UnknownVector
            }
            Self::DeviceGone { .. } => ErrorKind::NotFound,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Io { source, .. } => kind_of(source),
        }
    }
}

/// The kind of reader that takes the interrupts of a vector. A vector has one kind at a time, because two would take each
/// other's interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reader {
    /// Threads or tasks that wait.
    Waiters,
    /// Registered callbacks.
    Callbacks,
    /// The holder of the raw descriptor.
    Raw,
}

impl Reader {
    fn remedy(self, face: Face) -> &'static str {
        match self {
            Self::Waiters => "let the waits end",
            Self::Callbacks => {
                face.pick("drop their registrations", "remove the routines", "end their program")
            }
            Self::Raw => "drop the raw interrupt",
        }
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiters => "threads that wait",
            Self::Callbacks => "callbacks",
            Self::Raw => "the holder of its raw descriptor",
        })
    }
}

/// Why a connection to a server ended or failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The server closed the connection or exited.
    #[error("the server closed the connection")]
    Gone,
    /// The server refused the connection or violated the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The server sent several descriptors with one message.
    #[error("the server sent several descriptors with one message")]
    TooManyDescriptors,
    /// After the memory, the server sent a descriptor that is not an eventfd.
    #[error("the server sent a descriptor that is no eventfd, where only vectors are sent")]
    NotAnEventfd,
    /// The server sent a file in a file system that may depend on a process of the server's choice.
    #[error("the server sent a file that lies in {place}; let it take its memory from a tmpfs or hugetlbfs")]
    UntrustedFile {
        /// A description of the file system.
        place: String,
    },
    /// This process has no room for another descriptor. The memory and every vector of every peer need one each. A quarter of
    /// the process's limit is reserved for the rest of the process.
    #[error(
        "no room for another descriptor: the memory and every vector of every peer take one of the {limit} that this \
         process may have, and a quarter of them is kept for the rest of it; raise the limit of open files (ulimit -n, \
         LimitNOFILE=)"
    )]
    OutOfDescriptors {
        /// The limit of open files, RLIMIT_NOFILE.
        limit: u64,
    },
    /// Too many descriptors from servers are still being closed: files of a file system in user space (FUSE) whose process does
    /// not answer, eventfds that another process holds in an epoll, or sockets that linger (`SO_LINGER`). The process connects to
    /// no server until there are fewer.
    #[error(
        "{files} files or eventfds and {sockets} sockets that a server sent are still being closed, at most 15 and 63 may be: the \
         file system behind a file (FUSE) does not answer, a process holds the eventfds in an epoll, or nobody reads what was sent \
         to the sockets; end the server and the process of its file system, or connect from another process"
    )]
    NotClosed {
        /// The number of files, and of threads that close eventfds.
        files: usize,
        /// The number of sockets, including connections with unread data.
        sockets: usize,
    },
    /// The handshake was not complete before the timeout.
    #[error("the server has not sent {missing} within {timeout_ms} ms")]
    TimedOut {
        /// The missing part of the handshake.
        missing: &'static str,
        /// The timeout in milliseconds.
        timeout_ms: u128,
    },
    /// The device has fewer vectors than the caller expects.
    #[error(
        "the server has given this device {vectors} of {expected} expected vectors within {timeout_ms} ms"
    )]
    TooFewVectors {
        /// The number of vectors that the device has.
        vectors: u16,
        /// The expected number of vectors.
        expected: u16,
        /// The timeout in milliseconds.
        timeout_ms: u128,
    },
    /// A system call failed.
    #[error("cannot {doing}: {reason}{}", crate::remedy(.reason))]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The error of the system.
        reason: Arc<io::Error>,
    },
}

impl ConnectionError {
    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone => ErrorKind::ServerGone,
            Self::Protocol(error) => error.kind(),
            Self::TooManyDescriptors | Self::NotAnEventfd | Self::UntrustedFile { .. } => ErrorKind::Protocol,
            Self::OutOfDescriptors { .. } | Self::NotClosed { .. } => ErrorKind::NoSpace,
            Self::TimedOut { .. } | Self::TooFewVectors { .. } => ErrorKind::TimedOut,
            Self::Io { reason, .. } => kind_of(reason),
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self::Io { doing, reason: Arc::new(reason) }
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    // The error numbers for a full descriptor table of the process and of the system; std has no kind for them.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) if cfg!(target_os = "linux") => ErrorKind::NoSpace,
        _ if error.kind() == io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Io,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_said_of_a_connection_has_its_remedy() {
        let error = ConnectionError::io("make an eventfd")(io::Error::from_raw_os_error(24));
        assert!(error.to_string().ends_with("raise its limit (ulimit -n)"), "{error}");
        // An error without a system error number has no remedy.
        let error = ConnectionError::io("receive from the server")(io::Error::other("withheld"));
        assert_eq!(error.to_string(), "cannot receive from the server: withheld");
    }
}
