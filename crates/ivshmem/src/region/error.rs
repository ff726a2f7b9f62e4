use std::io;
use std::sync::atomic::Ordering;

use crate::ErrorKind;

/// Why an operation on shared memory failed. It wrote nothing, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The access reaches outside the memory.
    #[error("{len} bytes at offset {offset} reach outside the memory, which has {size} bytes")]
    OutOfBounds {
        /// The start of the access, in bytes from the start of the view.
        offset: u64,
        /// The length of the access, in bytes.
        len: u64,
        /// The length of the view, in bytes.
        size: u64,
    },
    /// The memory was closed before the access or during a wait.
    #[error("the memory is closed")]
    Closed,
    /// The memory is open for reading only.
    #[error("the memory is open for reading only; open it for writing to change it")]
    ReadOnly,
    /// This processor has no atomic access at an address with this alignment.
    #[error("an atomic access at offset {offset} must be aligned to {align} bytes on this processor")]
    Misaligned {
        /// The start of the access, in bytes from the start of the view.
        offset: u64,
        /// The required alignment of the address, in bytes.
        align: u64,
    },
    /// The ordering is invalid for the operation, for example `Release` for a load.
    #[error("{ordering:?} is no ordering for {operation}")]
    InvalidOrdering {
        /// The name of the operation.
        operation: &'static str,
        /// The invalid ordering.
        ordering: Ordering,
    },
    /// This processor has no 128-bit compare-exchange.
    #[error("this processor has no 128-bit compare-exchange; use 64 bits, or a lock")]
    No128Bit,
    /// The system has not enough memory for a region on the heap.
    #[error("no memory for a region of {size} bytes on the heap")]
    NoMemory {
        /// The requested size, in bytes.
        size: u64,
    },
    /// The file behind the memory could not be read.
    #[error("cannot read {len} bytes at offset {offset} from the file behind the memory")]
    Peek {
        /// The start of the range, in bytes from the start of the view.
        offset: u64,
        /// The length of the range, in bytes.
        len: u64,
        /// The error of the system.
        source: io::Error,
    },
    /// There is not enough memory, disk space or huge pages to fill the holes of the file.
    #[error(
        "no space for {len} bytes at offset {offset}: the file has holes there, or has become shorter; free some space, or \
         make its file system larger"
    )]
    NoSpace {
        /// The start of the range, in bytes from the start of the view.
        offset: u64,
        /// The length of the range, in bytes.
        len: u64,
    },
    /// The system could not make the pages present.
    #[error("cannot make the pages of {len} bytes at offset {offset} present")]
    Populate {
        /// The start of the range, in bytes from the start of the view.
        offset: u64,
        /// The length of the range, in bytes.
        len: u64,
        /// The error of the system.
        source: io::Error,
    },
    /// The system could not write the bytes to the file's storage.
    #[error("cannot bring {len} bytes at offset {offset} to the file's storage")]
    Sync {
        /// The start of the range, in bytes from the start of the view.
        offset: u64,
        /// The length of the range, in bytes.
        len: u64,
        /// The error of the system.
        source: io::Error,
    },
    /// The system could not replace the shared pages; they stay mapped until the last view is dropped.
    #[error("cannot give shared pages back before the last view is dropped")]
    Detach {
        /// The error of the system.
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
