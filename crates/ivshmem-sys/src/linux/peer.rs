//! The process at the other end of a Unix socket.
// UNSAFETY: getsockopt and setsockopt take pointers. rustix has no SO_PEERGROUPS, and its SO_PEERCRED assumes that the process
// id is never 0, but it is 0 for a process outside this pid namespace.
#![expect(unsafe_code, reason = "socket options that rustix does not wrap, or wraps too narrowly")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The ids of the process at the other end, at the time when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its process id; `None` if the process is in a pid namespace that this process cannot see.
    pub pid: Option<u32>,
    /// Its effective user id.
    pub uid: u32,
    /// Its effective group id.
    pub gid: u32,
}

/// The ids of the process that connected.
pub fn credentials(socket: impl AsFd) -> io::Result<Credentials> {
    let mut who = [0_i32; 3];
    let written = getsockopt(socket.as_fd(), libc::SO_PEERCRED, &mut who)?;
    if written < size_of_val(&who) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // struct ucred: pid, uid, gid.
    let [pid, uid, gid] = who.map(i32::cast_unsigned);
    Ok(Credentials { pid: (pid != 0).then_some(pid), uid, gid })
}

/// The supplementary groups of the process that connected; none before Linux 4.13, which cannot report them.
pub fn groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = [0_i32; MOST_GROUPS];
    match getsockopt(socket.as_fd(), libc::SO_PEERGROUPS, &mut groups) {
        Ok(written) => {
            Ok(groups.iter().take(written / size_of::<i32>()).map(|gid| gid.cast_unsigned()).collect())
        }
        // Before 4.13.
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(Vec::new()),
        Err(e) if e.raw_os_error() == Some(libc::ERANGE) => many_groups(socket.as_fd()),
        Err(e) => Err(e),
    }
}

/// Most processes are in fewer groups.
const MOST_GROUPS: usize = 64;
/// NGROUPS_MAX of linux/limits.h: no process is in more groups.
const MAX_GROUPS: usize = 65_536;

fn many_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_i32; MAX_GROUPS];
    let written = getsockopt(socket, libc::SO_PEERGROUPS, &mut groups)?;
    groups.truncate(written / size_of::<i32>());
    Ok(groups.into_iter().map(i32::cast_unsigned).collect())
}

/// Makes the kernel refuse descriptors that the other end sends (the sender gets EPERM). For a listening socket, this
/// applies to the sockets that it accepts from now on. `false` if the kernel does not support it, before Linux 6.16.
pub fn refuse_descriptors(socket: impl AsFd) -> io::Result<bool> {
    let off: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of_val(&off)).expect("an int");
    // SAFETY: the kernel reads `length` bytes, the size of `off`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            length,
        )
    };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(false),
        e => Err(e),
    }
}

/// Whether the other end may send descriptors; `None` if the kernel does not have this option.
pub(super) fn takes_descriptors(socket: BorrowedFd<'_>) -> Option<bool> {
    let mut takes = [1];
    getsockopt(socket, SO_PASSRIGHTS, &mut takes).ok().map(|_| takes != [0])
}

/// From asm-generic/socket.h of Linux 6.16; the same on every processor that this library supports.
const SO_PASSRIGHTS: libc::c_int = 83;

/// Reads a socket option into `into`, and returns the number of bytes written.
fn getsockopt(socket: BorrowedFd<'_>, option: libc::c_int, into: &mut [i32]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(size_of_val(into)).expect("at most 256 KiB");
    // SAFETY: the kernel writes at most `length` bytes, the size of `into`, and any bytes are valid integers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            into.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length).expect("at most what it was before"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_other_end_is_known_by_process_user_and_groups() {
        let (a, _b) = UnixStream::pair().unwrap();
        let who = credentials(&a).unwrap();
        assert_eq!(who.pid, Some(std::process::id()));
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!((who.uid, who.gid), (uid, gid));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        let mine: Vec<u32> = line.split_whitespace().map(|gid| gid.parse().unwrap()).collect();
        assert_eq!(groups(&a).unwrap(), mine);
        assert_eq!(many_groups(a.as_fd()).unwrap(), mine);
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(credentials(&file).is_err() && groups(&file).is_err());
    }
}
