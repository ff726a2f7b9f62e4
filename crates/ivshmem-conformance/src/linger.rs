//! Descriptors whose last close waits as long as their creator likes, and a process that attacks a server with them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::foreign::ForeignFd;
use ivshmem::sys::linux::socket::{self, Sent};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, send,
    sendmsg, socketpair,
};

/// A TCP socket with `SO_LINGER` and unread data.
#[derive(Debug)]
pub struct Lingering {
    /// The socket whose last close waits.
    pub socket: OwnedFd,
    /// The other end; dropping it ends the wait.
    pub reader: TcpStream,
}

impl Lingering {
    /// Creates a socket whose closing takes `time`, in whole seconds.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn new(time: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        // Accepted sockets inherit the size. It is small because there may be hundreds of them.
        set_socket_recv_buffer_size(&listener, 4096)?;
        let mut writer = TcpStream::connect(listener.local_addr()?)?;
        let (reader, _) = listener.accept()?;
        set_socket_send_buffer_size(&writer, 4096)?;
        set_socket_linger(&writer, Some(time))?;
        writer.set_nonblocking(true)?;
        loop {
            match writer.write(&[0; 4096]) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(Self { socket: writer.into(), reader })
    }
}

/// Sends descriptors with one message and keeps no copies. Returns false when the other end is closed.
///
/// # Errors
/// An error of the operating system.
pub fn send_all(stream: &UnixStream, value: i64, sockets: Vec<OwnedFd>) -> io::Result<bool> {
    send_with(stream, &value.to_le_bytes(), sockets, SendFlags::empty())
}

/// Whether the kernel sends out-of-band data over Unix streams: Linux does since 5.15, unless that is configured off.
///
/// # Errors
/// An error of the operating system.
pub fn knows_urgent() -> io::Result<bool> {
    knows_urgent_over(SocketType::STREAM)
}

fn knows_urgent_over(kind: SocketType) -> io::Result<bool> {
    let (a, _b) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    match send(&a, &[0], SendFlags::OOB | SendFlags::NOSIGNAL) {
        Ok(_) => Ok(true),
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Like [`send_all`], with one out-of-band byte, where the kernel [supports](knows_urgent) that.
///
/// # Errors
/// An error of the operating system.
pub fn send_all_urgently(stream: &UnixStream, sockets: Vec<OwnedFd>) -> io::Result<bool> {
    send_with(stream, &[0], sockets, SendFlags::OOB)
}

fn send_with(stream: &UnixStream, bytes: &[u8], sockets: Vec<OwnedFd>, flags: SendFlags) -> io::Result<bool> {
    let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)), "a message has at most 253");
    let sent = sendmsg(stream, &[io::IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | flags);
    // The other end may have closed its copies already, and then these are the last ones.
    sockets.into_iter().for_each(|socket| drop(ForeignFd::from(socket)));
    match sent {
        Ok(_) => Ok(true),
        Err(Errno::PIPE) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// The result of an attack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attack {
    /// Lingering sockets that the other end of the connection holds or has held.
    pub sent: u64,
    /// Sockets that the kernel refused to pass (`EPERM`).
    pub kept_out: u64,
    /// Attempts in which the server did not accept, or had closed the connection.
    pub failed: u64,
}

/// Connects to these sockets in turn, sends a lingering socket, and disconnects: at once, after reading, or after further
/// connections. At the end the server is the last holder of the connections.
///
/// # Errors
/// When the system lacks resources for the attack.
pub fn attack(sockets: &[&Path], time: Duration) -> io::Result<Attack> {
    let (mut attack, mut readers, mut held) = (Attack::default(), VecDeque::new(), VecDeque::new());
    let begin = Instant::now();
    for round in 0_usize.. {
        if begin.elapsed() >= time {
            break;
        }
        let Lingering { socket: bait, reader } = Lingering::new(Duration::from_secs(30))?;
        let Ok(mut stream) = UnixStream::connect(sockets[round % sockets.len()]) else {
            attack.failed += 1;
            drop(reader);
            continue;
        };
        if round % 3 == 1 {
            stream.set_read_timeout(Some(Duration::from_millis(20)))?;
            let _ = stream.read(&mut [0; 8]);
        }
        match socket::send(stream.as_fd(), b"x", Some(bait.as_fd())) {
            Ok(Sent::Bytes(_)) => {
                attack.sent += 1;
                // The server may have closed its copy already, and then this is the last one.
                drop(ForeignFd::from(bait));
                readers.push_back(reader);
            }
            failure => {
                let kept_out = failure.is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
                *(if kept_out { &mut attack.kept_out } else { &mut attack.failed }) += 1;
                // In this order, because otherwise the attacker would wait.
                drop(reader);
                drop(bait);
            }
        }
        if round % 3 == 2 {
            held.push_back(stream);
        }
        if held.len() > 20 {
            held.pop_front();
        }
        if readers.len() > 300 {
            readers.pop_front();
        }
        // Enough for twenty of them at any time; with more, the test would measure the scheduling of a processor.
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(attack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_sends_nothing_out_of_band_is_told_apart() {
        assert!(!knows_urgent_over(SocketType::SEQPACKET).unwrap());
        let (a, _b) = UnixStream::pair().unwrap();
        let sent = send_all_urgently(&a, Vec::new());
        assert_eq!(knows_urgent().unwrap(), sent.is_ok(), "{sent:?}");
    }
}
