//! The process's limit of open files, which is what most often limits a server.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's soft limit of open files to its hard limit; tells the new one, `u64::MAX` for none.
///
/// A client takes one descriptor in the server and one for each of its vectors, and the usual soft limit of 1024 is
/// soon used up. The limit belongs to the whole process, so a server inside another program leaves it as it is: call
/// this before [`Builder::listen`](crate::Builder::listen) or [`Builder::start`](crate::Builder::start), unless
/// something in the process uses select(2), which overruns its tables beyond descriptor 1023. `ivshmem-server` and
/// `ivshmem serve` call it.
///
/// # Errors
/// When the system does not allow it; the limit is as before then.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// How many messages may be sent and not yet read, all clients together.
///
/// Each may hold a descriptor, and without privileges the kernel lets one user have as many descriptors on the way as a
/// process may have open. Half of that leaves the other half for every client's first message beyond the budget and for
/// other processes of the same user. A message takes some 768 bytes of kernel memory.
pub(crate) fn in_flight_budget() -> u32 {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2;
    u32::try_from(descriptors.min(MAX_IN_FLIGHT)).expect("cut to fit")
}

/// Messages for 48 MiB of kernel memory.
const MAX_IN_FLIGHT: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let Some(maximum) = getrlimit(Resource::Nofile).maximum else { return };
        // Just below, so that other tests of this process do not mind.
        let lower = Rlimit { current: Some(maximum - 1), maximum: Some(maximum) };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_eq!(raise_descriptor_limit().unwrap(), maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, Some(maximum));
    }
}
