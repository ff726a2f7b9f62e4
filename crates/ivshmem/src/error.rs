/// The kind of an error. Every error type of this library and the Java library use the same kinds.
///
/// Each module has its own error type. Its `kind()` returns one of these kinds, by which programs decide; its text,
/// which is for people, contains the numbers and the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The named file, socket or device does not exist.
    NotFound,
    /// The operating system denies access to something that exists.
    PermissionDenied,
    /// The file or name to create already exists.
    AlreadyExists,
    /// An argument is invalid, regardless of the state of the region or the server.
    InvalidArgument,
    /// An access reaches outside the memory. It read and wrote nothing.
    OutOfBounds,
    /// An atomic access is not aligned as the processor requires. It wrote nothing.
    Misaligned,
    /// The memory or the device is closed.
    Closed,
    /// A write to memory that is open for reading only.
    ReadOnly,
    /// This kind of device, this platform or this processor does not support the operation.
    Unsupported,
    /// Memory, huge pages, disk space or descriptors are exhausted.
    NoSpace,
    /// Another holder, possibly in this process, has a resource that only one can hold.
    Busy,
    /// No peer with this id is connected.
    UnknownPeer,
    /// The peer, or this device, has no such vector.
    UnknownVector,
    /// The server refused the connection.
    Refused,
    /// The other side violated the protocol.
    Protocol,
    /// The connection to the server is lost. The memory and interrupts to and from the peers known so far continue to work.
    ServerGone,
    /// An operation did not complete within its timeout.
    TimedOut,
    /// Any other failure of the operating system.
    Io,
}

impl ErrorKind {
    /// Every kind, for programs and bindings that translate them.
    pub const ALL: &[Self] = &[
        Self::NotFound,
        Self::PermissionDenied,
        Self::AlreadyExists,
        Self::InvalidArgument,
        Self::OutOfBounds,
        Self::Misaligned,
        Self::Closed,
        Self::ReadOnly,
        Self::Unsupported,
        Self::NoSpace,
        Self::Busy,
        Self::UnknownPeer,
        Self::UnknownVector,
        Self::Refused,
        Self::Protocol,
        Self::ServerGone,
        Self::TimedOut,
        Self::Io,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_kinds_is_complete() {
        // A new kind makes this match fail to compile. Add it to the list `ALL` and to the count below, too.
        let number = |kind| match kind {
            ErrorKind::NotFound => 0,
            ErrorKind::PermissionDenied => 1,
            ErrorKind::AlreadyExists => 2,
            ErrorKind::InvalidArgument => 3,
            ErrorKind::OutOfBounds => 4,
            ErrorKind::Misaligned => 5,
            ErrorKind::Closed => 6,
            ErrorKind::ReadOnly => 7,
            ErrorKind::Unsupported => 8,
            ErrorKind::NoSpace => 9,
            ErrorKind::Busy => 10,
            ErrorKind::UnknownPeer => 11,
            ErrorKind::UnknownVector => 12,
            ErrorKind::Refused => 13,
            ErrorKind::Protocol => 14,
            ErrorKind::ServerGone => 15,
            ErrorKind::TimedOut => 16,
            ErrorKind::Io => 17,
        };
        assert!(ErrorKind::ALL.iter().map(|kind| number(*kind)).eq(0..18));
    }
}
