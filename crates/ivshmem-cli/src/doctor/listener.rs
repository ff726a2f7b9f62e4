//! Finds the process that listens on a socket.
//!
//! A connection reveals it. If a connection is impossible, because the process does not accept and its backlog is full, the
//! kernel reports the listening socket with this name (NETLINK_SOCK_DIAG), and /proc reports the processes that hold it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use ivshmem::sys::linux::{peer, socket};
use rustix::fs::{major, minor};
use rustix::io::{read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

pub(super) struct Listener {
    pub pid: u32,
    pub uid: u32,
    /// By SIGSTOP or Ctrl-Z.
    pub is_stopped: bool,
}

/// The listening process, as far as this program can see it. Of several processes that hold the socket, a stopped one.
pub(super) fn find(path: &Path) -> Option<Listener> {
    let connected = socket::connect(path, Duration::from_secs(1)).ok();
    let caller = connected.and_then(|socket| peer::credentials(&socket).ok()?.pid);
    let mut all: Vec<_> =
        caller.into_iter().chain(holders(path).unwrap_or_default()).filter_map(Listener::of).collect();
    let stopped = all.iter().position(|listener| listener.is_stopped);
    (!all.is_empty()).then(|| all.swap_remove(stopped.unwrap_or(0)))
}

impl Listener {
    fn of(pid: u32) -> Option<Self> {
        let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The process name in parentheses may contain any character.
        let is_stopped = stat.rsplit_once(") ")?.1.starts_with('T');
        Some(Self { pid, uid, is_stopped })
    }
}

/// The processes that hold the listening socket of this name.
fn holders(path: &Path) -> io::Result<Vec<u32>> {
    let facts = fs::metadata(path)?;
    let Some(number) = listening(&facts)? else { return Ok(Vec::new()) };
    let link = format!("socket:[{number}]");
    let has_it = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.map(|file| fs::read_link(file.path())).any(|target| target.is_ok_and(|t| t == Path::new(&link)))
    };
    let processes = fs::read_dir("/proc")?.flatten();
    Ok(processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has_it).collect())
}

/// Constants of linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_ALL: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const AF_UNIX: u32 = 1;
/// A bit for each state; listening is the tenth.
const LISTENING: u32 = 1 << 10;
const SHOW_NAME: u32 = 2;
const NAME: u16 = 1;
/// Sizes in bytes of struct nlmsghdr, of struct unix_diag_msg, and of an attribute's header.
const HEAD: usize = 16;
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;

/// The inode number, as in /proc, of the socket that listens under the name of this file.
fn listening(file: &fs::Metadata) -> io::Result<Option<u32>> {
    let flags = SocketFlags::CLOEXEC;
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    // struct nlmsghdr and struct unix_diag_req: family, states, inode, attributes to show, cookie.
    let begin = [40_u32.to_ne_bytes(), pair(SOCK_DIAG_BY_FAMILY, REQUEST_ALL), [0; 4], [0; 4]];
    let asked = [AF_UNIX.to_le(), LISTENING, 0, SHOW_NAME, 0, 0].map(u32::to_ne_bytes);
    write(&kernel, &[&begin[..], &asked[..]].concat().concat())?;
    // The kernel's encoding of device numbers, which differs from that of stat.
    let device = major(file.dev()) << 20 | minor(file.dev());
    // The kernel reports the lower half of the file's inode number.
    let name = [u32::try_from(file.ino() & u64::from(u32::MAX)).unwrap_or_default(), device];
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = read(&kernel, &mut buffer)?;
        let mut rest = &buffer[..length];
        while let Some((size, kind)) = head(rest) {
            if kind == DONE || kind == ERROR {
                return Ok(None);
            }
            if let Some(number) = named(&rest[HEAD..size], name) {
                return Ok(Some(number));
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        if length == 0 {
            return Ok(None);
        }
    }
}

fn pair(low: u16, high: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (low.to_ne_bytes(), high.to_ne_bytes());
    [a, b, c, d]
}

/// Length and type of the message at the beginning of these bytes.
fn head(message: &[u8]) -> Option<(usize, u16)> {
    let size = usize::try_from(word(message, 0)?).ok()?;
    (HEAD..=message.len()).contains(&size).then_some((size, half(message, 4)?))
}

/// The inode number of the message's socket, if the socket has this name.
fn named(message: &[u8], name: [u32; 2]) -> Option<u32> {
    let number = word(message, 4)?;
    let mut rest = message.get(MESSAGE..)?;
    loop {
        let (size, kind) = (usize::from(half(rest, 0)?), half(rest, 2)?);
        if kind == NAME && [word(rest, ATTRIBUTE)?, word(rest, ATTRIBUTE + 4)?] == name {
            return Some(number);
        }
        rest = rest.get(size.max(ATTRIBUTE).next_multiple_of(4)..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_listens_is_known_without_a_connection_and_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let (first, name) = (dir.path().join("first"), dir.path().join("name"));
        let _others: Vec<_> =
            (0..300).map(|i| UnixListener::bind(dir.path().join(i.to_string())).unwrap()).collect();
        let listener = UnixListener::bind(&first).unwrap();
        // As a server does: it listens before it renames the socket to its place.
        fs::rename(&first, &name).unwrap();
        assert!(holders(&name).unwrap().contains(&std::process::id()));
        drop(listener);
        // A child process of another test inherits the socket and holds it between its fork and its exec.
        let begin = std::time::Instant::now();
        while !holders(&name).unwrap().is_empty() {
            assert!(begin.elapsed().as_secs() < 30, "{:?}", holders(&name));
        }
        assert!(holders(&first).is_err());
    }

    #[test]
    fn what_is_no_message_of_the_kernel_is_nothing() {
        for length in 0..64 {
            for byte in [0, 1, 0xff] {
                let bytes = vec![byte; length];
                assert!(head(&bytes).is_none_or(|(size, _)| size <= length));
                assert_eq!(named(&bytes, [7, 7]), None);
            }
        }
    }
}
