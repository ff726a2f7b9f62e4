//! The process: its limit of open files, its user and group, its session.

use std::io;

use nix::unistd::{Group, User};
use rustix::process::{Resource, Rlimit, getegid, geteuid, getrlimit, setrlimit, setsid};

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

/// The process's soft limit of open files; `None` for no limit.
pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The user on whose behalf this process acts.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// The group on whose behalf this process acts.
pub(crate) fn group() -> u32 {
    getegid().as_raw()
}

/// The id of the user with this name; `None` when there is none.
pub(crate) fn user_named(name: &str) -> nix::Result<Option<u32>> {
    User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()))
}

/// The id of the group with this name; `None` when there is none.
pub(crate) fn group_named(name: &str) -> nix::Result<Option<u32>> {
    Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()))
}

/// Leaves the session of the terminal, so that no terminal can end this process.
pub fn leave_terminal() -> io::Result<()> {
    setsid()?;
    Ok(())
}

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
