use std::fmt;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::wire::ProtocolError;
use crate::{ErrorKind, Face, PeerId};

/// Why an interrupt could not be sent, waited for or connected to a callback.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DoorbellError {
    /// The device was closed, perhaps while this call waited.
    #[error("the device is closed")]
    Closed,
    /// The device has memory only.
    #[error("{}", self.text(Face::Rust))]
    Unsupported {
        /// What kind of device it is.
        device: &'static str,
    },
    /// Nothing tells this device who else is there: a virtual machine's hardware does not know.
    #[error("this device cannot tell who else is there; let programs write their ids into the memory")]
    PeersUnknown,
    /// A device of a virtual machine can ring, or be rung, only when the machine is prepared for it.
    #[error("this device cannot {doing}: {why}")]
    NotPrepared {
        /// What was to be done.
        doing: &'static str,
        /// What is in the way, and what to do about it.
        why: String,
    },
    /// Nobody has this id now.
    #[error("{}", self.text(Face::Rust))]
    UnknownPeer {
        /// The id that was asked for.
        peer: PeerId,
    },
    /// The peer has fewer vectors.
    #[error("peer {peer} has no vector {vector}: it has {vectors}, counted from 0")]
    UnknownPeerVector {
        /// The peer.
        peer: PeerId,
        /// The vector that was asked for.
        vector: u16,
        /// How many it has now.
        vectors: u16,
    },
    /// This device has fewer vectors.
    #[error("this device has no vector {vector}: it has {vectors}, counted from 0")]
    UnknownVector {
        /// The vector that was asked for.
        vector: u16,
        /// How many this device has now.
        vectors: u16,
    },
    /// The driver of a Windows guest has fewer slots for events than the device has vectors.
    #[error(
        "vector {vector} cannot be received: Windows' driver has {slots} slots for events, and this device got them \
         for {vectors} vectors, counted from 0; let others ring one of those"
    )]
    NoSlot {
        /// The vector that was asked for.
        vector: u16,
        /// How many can be received.
        vectors: u16,
        /// How many the driver has for all of its users.
        slots: u16,
    },
    /// The device was removed from the virtual machine, or its driver stopped.
    #[error(
        "the device is gone (error {code}): it was removed, or its driver stopped; close it, and open it anew when it is back"
    )]
    DeviceGone {
        /// What the system said.
        code: u32,
    },
    /// A vector has one kind of reader at a time, and this one has another.
    #[error("{}", self.text(Face::Rust))]
    Busy {
        /// The vector.
        vector: u16,
        /// Who reads it.
        reader: Reader,
    },
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl DoorbellError {
    /// What went wrong, with a remedy in the words of a face. `Display` has those of Rust. What the system said, if
    /// anything, is the `source`.
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

/// Who takes the interrupts of a vector. One kind at a time: two would steal them from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reader {
    /// Threads or tasks inside a wait.
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

/// Why a connection to a server ended, or never came to life.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The server closed the connection, or died.
    #[error("the server closed the connection")]
    Gone,
    /// The server refused, or sent what the protocol does not allow.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Several descriptors came with one message.
    #[error("the server sent several descriptors with one message")]
    TooManyDescriptors,
    /// Something else than an eventfd after the memory.
    #[error("the server sent a descriptor that is no eventfd, where only vectors are sent")]
    NotAnEventfd,
    /// A file that lies in a file system that may ask a process of the server's choice.
    #[error("the server sent a file that lies in {place}; let it take its memory from a tmpfs or hugetlbfs")]
    UntrustedFile {
        /// What it lies in.
        place: String,
    },
    /// This process may not have another descriptor, and every vector of every peer is one. A quarter of what it may have
    /// is kept for everything else that the process does.
    #[error(
        "no room for another descriptor: the memory and every vector of every peer take one of the {limit} that this \
         process may have, and a quarter of them is kept for the rest of it; raise the limit of open files (ulimit -n, \
         LimitNOFILE=)"
    )]
    OutOfDescriptors {
        /// The limit of open files, RLIMIT_NOFILE.
        limit: u64,
    },
    /// Descriptors that servers sent are still being closed: files of a file system in user space (FUSE) whose process does not
    /// answer, eventfds that another process holds in an epoll, or sockets that linger (`SO_LINGER`). No server is heard until there
    /// are fewer.
    #[error(
        "{files} files or eventfds and {sockets} sockets that a server sent are still being closed, at most 15 and 63 may be: the \
         file system behind a file (FUSE) does not answer, a process holds the eventfds in an epoll, or nobody reads what was sent \
         to the sockets; end the server and the process of its file system, or connect from another process"
    )]
    NotClosed {
        /// How many files, and threads that close eventfds.
        files: usize,
        /// How many sockets.
        sockets: usize,
    },
    /// The greeting did not come to its end in time.
    #[error("the server has not sent {missing} within {timeout_ms} ms")]
    TimedOut {
        /// What did not come.
        missing: &'static str,
        /// How long it had, in milliseconds.
        timeout_ms: u128,
    },
    /// Fewer vectors than the caller expects.
    #[error(
        "the server has given this device {vectors} of {expected} expected vectors within {timeout_ms} ms"
    )]
    TooFewVectors {
        /// How many it has.
        vectors: u16,
        /// How many it was to have.
        expected: u16,
        /// How long there was, in milliseconds.
        timeout_ms: u128,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {reason}{}", crate::remedy(.reason))]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
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
    // The two numbers for a full table of descriptors, of the process and of the system; std has no kind for them.
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
        // Without a number of the system nothing is known.
        let error = ConnectionError::io("receive from the server")(io::Error::other("withheld"));
        assert_eq!(error.to_string(), "cannot receive from the server: withheld");
    }
}
