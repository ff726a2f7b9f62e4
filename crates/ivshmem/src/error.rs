/// What kind of failure an error of this library is, the same for every room and for the Java library.
///
/// Each room has its own error type, whose text carries the numbers and the remedy and whose `kind()` is one
/// of these. Programs decide by the kind, people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, socket or device that was named does not exist.
    NotFound,
    /// The operating system denies access to something that exists.
    PermissionDenied,
    /// Something that was to be created exists.
    AlreadyExists,
    /// An argument is wrong by itself, whatever the state of the region or the server.
    InvalidArgument,
    /// An access reaches outside the memory. Nothing was read or written.
    OutOfBounds,
    /// An atomic access is not aligned where the processor demands it. Nothing was written.
    Misaligned,
    /// The memory or the device was closed.
    Closed,
    /// A write to memory that was opened for reading only.
    ReadOnly,
    /// This kind of device, platform or processor cannot do it.
    Unsupported,
    /// Not enough memory, huge pages, disk space or descriptors.
    NoSpace,
    /// Somebody else holds what can be held once.
    Busy,
    /// No peer with this id is connected.
    UnknownPeer,
    /// The peer, or this device, has no such vector.
    UnknownVector,
    /// The server turned the connection down.
    Refused,
    /// The other side broke the protocol.
    Protocol,
    /// The server is gone. Memory and the peers known so far go on working.
    ServerGone,
    /// Something that was waited for did not come in the time that was given.
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
        // Whoever adds a kind comes here: the list and the count below need it, too.
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
