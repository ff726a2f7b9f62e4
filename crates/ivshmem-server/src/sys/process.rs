//! The process's limit of open files, which is usually the lowest limit of a server.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's soft limit of open files to its hard limit and returns the new limit, `u64::MAX` for none.
///
/// Each client takes one descriptor in the server and one for each of its vectors, so the usual soft limit of 1024 is soon
/// reached. The limit applies to the whole process, so a server inside another program does not change it: call this
/// function before [`Builder::listen`](crate::Builder::listen) or [`Builder::start`](crate::Builder::start), unless the
/// process uses select(2), whose tables overflow for descriptors above 1023. `ivshmem-server` and `ivshmem serve` call it.
///
/// # Errors
/// When the system refuses it; the limit is then unchanged.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The default limit of messages sent and not yet read, for all clients together.
///
/// Each message may hold a descriptor. For an unprivileged user, the kernel limits the descriptors in flight to the number
/// that a process may have open. This budget uses half of that; the other half is for every client's first message beyond
/// the budget and for other processes of the same user. A message takes about 768 bytes of kernel memory.
pub(crate) fn in_flight_budget() -> u32 {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2;
    u32::try_from(descriptors.min(MAX_IN_FLIGHT)).expect("cut to fit")
}

/// The number of messages that take 48 MiB of kernel memory.
const MAX_IN_FLIGHT: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let Some(maximum) = getrlimit(Resource::Nofile).maximum else { return };
        // Just below the maximum, so that other tests in this process are not affected.
        let lower = Rlimit { current: Some(maximum - 1), maximum: Some(maximum) };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_eq!(raise_descriptor_limit().unwrap(), maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, Some(maximum));
    }
}
