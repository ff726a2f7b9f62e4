use std::io;
use std::sync::atomic::Ordering;

use crate::ErrorKind;

/// Why an access to shared memory was refused. Nothing was written then, unless a variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The access reaches outside the memory.
    #[error("{len} bytes at offset {offset} reach outside the memory, which has {size} bytes")]
    OutOfBounds {
        /// Where the access begins, in bytes from the start of the view.
        offset: u64,
        /// How many bytes it wants.
        len: u64,
        /// How many bytes the view has.
        size: u64,
    },
    /// The memory was closed, before the access or while it waited.
    #[error("the memory is closed")]
    Closed,
    /// The memory was opened for reading only.
    #[error("the memory is open for reading only; open it for writing to change it")]
    ReadOnly,
    /// This processor has no atomic access at such an address.
    #[error("an atomic access at offset {offset} must be aligned to {align} bytes on this processor")]
    Misaligned {
        /// Where the access was to be, in bytes from the start of the view.
        offset: u64,
        /// What the address must be a multiple of, in bytes.
        align: u64,
    },
    /// The ordering makes no sense for the operation, as a load that releases.
    #[error("{ordering:?} is no ordering for {operation}")]
    InvalidOrdering {
        /// What was to be done.
        operation: &'static str,
        /// How it was to be ordered.
        ordering: Ordering,
    },
    /// This processor has no 128-bit compare-exchange.
    #[error("this processor has no 128-bit compare-exchange; use 64 bits, or a lock")]
    No128Bit,
    /// The system has no memory for a region on the heap.
    #[error("no memory for a region of {size} bytes on the heap")]
    NoMemory {
        /// How many bytes were asked for.
        size: u64,
    },
    /// The file behind the memory could not be read.
    #[error("cannot read {len} bytes at offset {offset} from the file behind the memory")]
    Peek {
        /// Where the bytes begin, from the start of the view.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// What the system said.
        source: io::Error,
    },
    /// There is not enough memory, disk space or huge pages for holes of the file.
    #[error(
        "no space for {len} bytes at offset {offset}: the file has holes there, or has become shorter; free some space, or \
         make its file system larger"
    )]
    NoSpace {
        /// Where the bytes begin, from the start of the view.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// The system could not make the pages present.
    #[error("cannot make the pages of {len} bytes at offset {offset} present")]
    Populate {
        /// Where the bytes begin, from the start of the view.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The system could not bring the bytes to the file's storage.
    #[error("cannot bring {len} bytes at offset {offset} to the file's storage")]
    Sync {
        /// Where the bytes begin, from the start of the view.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The shared pages could not be replaced; they go when the last view does.
    #[error("cannot give shared pages back before the last view is dropped")]
    Detach {
        /// What the system said.
        source: io::Error,
    },
}

impl MemoryError {
    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfBounds { .. } => ErrorKind::OutOfBounds,
            Self::Closed => ErrorKind::Closed,
            Self::ReadOnly => ErrorKind::ReadOnly,
            Self::Misaligned { .. } => ErrorKind::Misaligned,
            Self::InvalidOrdering { .. } => ErrorKind::InvalidArgument,
            Self::No128Bit => ErrorKind::Unsupported,
            Self::NoMemory { .. } | Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::Sync { source, .. } if source.kind() == io::ErrorKind::StorageFull => ErrorKind::NoSpace,
            Self::Sync { .. } | Self::Detach { .. } | Self::Peek { .. } | Self::Populate { .. } => {
                ErrorKind::Io
            }
        }
    }
}
