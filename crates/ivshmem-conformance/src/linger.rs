//! Descriptors whose last close waits for as long as their maker likes, and a process that attacks a server with them.

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

/// One such descriptor: a TCP socket with `SO_LINGER` and data that nobody reads.
#[derive(Debug)]
pub struct Lingering {
    /// Its last close waits.
    pub socket: OwnedFd,
    /// Ends that wait when it is dropped.
    pub reader: TcpStream,
}

impl Lingering {
    /// Closing it takes `time`, whole seconds.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(time: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        // Accepted sockets have it too. Small, for there may be hundreds.
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

/// Sends descriptors with one message, and keeps no copy. False when the other end has gone.
///
/// # Errors
/// What the system says.
pub fn send_all(stream: &UnixStream, value: i64, sockets: Vec<OwnedFd>) -> io::Result<bool> {
    send_with(stream, &value.to_le_bytes(), sockets, SendFlags::empty())
}

/// Whether the kernel sends bytes out of band over Unix streams: Linux does since 5.15, unless it is built without.
///
/// # Errors
/// What the system says.
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

/// As [`send_all`], with one byte out of band, where the kernel [knows](knows_urgent) that.
///
/// # Errors
/// What the system says.
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

/// What an attack has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attack {
    /// Lingering sockets that the other end of the connection holds, or held.
    pub sent: u64,
    /// The kernel did not let them through (`EPERM`).
    pub kept_out: u64,
    /// The server did not accept, or had closed already.
    pub failed: u64,
}

/// Connects to each of these sockets again and again, sends a lingering socket, and leaves: at once, after it has read
/// something, or when the next ones have come. The connections end with the server as their last holder.
///
/// # Errors
/// When the system has no room for the attack.
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
                // In this order, or the attacker would wait.
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
        // Enough to have twenty of them at any time; more would measure how a processor is shared.
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
