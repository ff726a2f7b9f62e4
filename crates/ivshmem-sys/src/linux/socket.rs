//! Unix stream sockets whose messages have at most one descriptor each.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_oobinline, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, recvmsg,
    sendmsg, shutdown, socket_with,
};

use super::foreign::{self, ForeignFd, ForeignSocket};

/// Connects to the socket at `path`. Fails with `TimedOut` if the server's queue of new connections stays full for
/// `timeout`.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<ForeignSocket> {
    let address = SocketAddrUnix::new(path)?;
    let socket = ForeignSocket::from(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?);
    // Receive out-of-band data in sequence, like all other data. Otherwise, since Linux 5.15, the kernel does not return them
    // to a receive that peeks, and closes their descriptors in the next receive that consumes data.
    set_socket_oobinline(&socket, true)?;
    // The send timeout also limits connect on a Unix socket. 0 would mean no limit.
    set_socket_timeout(&socket, Timeout::Send, Some(timeout.max(Duration::from_millis(1))))?;
    loop {
        return match rustix::net::connect(&socket, &address) {
            Ok(()) => Ok(socket),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Err(io::ErrorKind::TimedOut.into()),
            Err(e) => Err(e.into()),
        };
    }
}

/// Accepts a connection without waiting for one. The new socket is non-blocking and closed on exec.
#[expect(clippy::disallowed_methods, reason = "gives a socket whose drop does not wait")]
pub fn accept(listener: impl AsFd) -> rustix::io::Result<ForeignSocket> {
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).map(ForeignSocket::from)
}

/// Makes the system refuse all new connections. Those in the queue can still be accepted.
pub fn refuse_connections(listener: impl AsFd) -> io::Result<()> {
    Ok(shutdown(listener, Shutdown::Read)?)
}

/// The result of one receive.
#[derive(Debug)]
pub enum Received {
    /// The number of received bytes, and the descriptor that came with them.
    Bytes(usize, Option<ForeignFd>),
    /// There is nothing to receive now.
    WouldBlock,
    /// The other end closed the connection.
    Closed,
    /// This message or a later one has more than one descriptor. It stays in the socket.
    TooManyDescriptors,
    /// This message or a later one has a descriptor that is not an eventfd, and the receiver takes only eventfds. It stays in
    /// the socket.
    NotAnEventfd,
    /// This message or a later one has a file in a file system that may depend on another process. It stays in the socket.
    UntrustedFile {
        /// A description of the file system.
        place: String,
    },
    /// This message or a later one has a descriptor, and this process has reached its limit of descriptors. It stays in the
    /// socket.
    NoDescriptorLeft,
}

/// The protocol sends one descriptor with a message; room for two detects a message with more. With the padding of the
/// buffer, at most four fit, and the kernel does not pass on those that do not fit.
const FDS_PER_RECEIVE: usize = 2;

/// The receiving end of a connection. Descriptors are closed on exec and never leak, whatever messages the sender combines.
///
/// It peeks at a message before it consumes it. If the process has no room for the descriptors of a consumed message, the
/// kernel closes their last copies in the receiving thread; of a message that was only peeked at, the socket has another copy.
#[derive(Debug)]
pub struct Receiver<S> {
    /// The descriptor that a peek returned, of a message that is still in the socket: a peek continues up to the first message
    /// with a descriptor. It is kept because the next peek would make another copy, and closing a copy may wait as well.
    ahead: Option<ForeignFd>,
    only_eventfds: bool,
    socket: S,
}

impl<S: AsFd> From<S> for Receiver<S> {
    fn from(socket: S) -> Self {
        Self { ahead: None, only_eventfds: false, socket }
    }
}

impl<S: AsFd> AsFd for Receiver<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the way that does not wait")]
impl<S: AsFd> Receiver<S> {
    /// The socket. The caller must not receive from it.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Accepts only eventfds from now on, also with a message that is not complete yet.
    pub fn take_only_eventfds(&mut self) {
        self.only_eventfds = true;
    }

    /// Receives without blocking.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let seen = match &self.ahead {
            Some(_) => buffer.len(),
            None => match self.look_again(buffer)? {
                Look::Bytes(seen) => seen,
                Look::Nothing(why) => return Ok(why),
                Look::Withheld => return Err(io::Error::new(io::ErrorKind::PermissionDenied, WITHHELD)),
            },
        };
        let mut nothing = RecvAncillaryBuffer::default();
        let into = &mut [io::IoSliceMut::new(&mut buffer[..seen])];
        let taken = retry_on_intr(|| recvmsg(&self.socket, into, &mut nothing, RecvFlags::DONTWAIT))?;
        if taken.bytes == 0 {
            return Ok(Received::Closed);
        }
        let is_with_it = taken.flags.contains(ReturnFlags::CTRUNC);
        Ok(Received::Bytes(taken.bytes, if is_with_it { self.ahead.take() } else { None }))
    }

    /// Peeks twice if a descriptor is withheld: another thread may have closed a descriptor after the first peek.
    fn look_again(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        match self.look(buffer)? {
            Look::Withheld => self.look(buffer),
            look => Ok(look),
        }
    }

    fn look(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        let nothing = |why| Ok(Look::Nothing(why));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_RECEIVE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let into = &mut [io::IoSliceMut::new(buffer)];
        let arriving = foreign::arriving();
        let seen = match retry_on_intr(|| recvmsg(&self.socket, into, &mut control, flags)) {
            Ok(seen) => seen,
            Err(Errno::AGAIN) => return nothing(Received::WouldBlock),
            Err(Errno::CONNRESET) => return nothing(Received::Closed),
            Err(e) => return Err(e.into()),
        };
        // Collect all of them: the kernel uses the padding of the buffer as well.
        let mut fds: Vec<ForeignFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .map(ForeignFd::from)
            .collect();
        drop(arriving);
        if fds.len() > 1 {
            return nothing(Received::TooManyDescriptors);
        }
        if seen.flags.contains(ReturnFlags::CTRUNC) {
            return if has_room(self.as_fd()) {
                Ok(Look::Withheld)
            } else {
                nothing(Received::NoDescriptorLeft)
            };
        }
        if seen.bytes == 0 {
            return nothing(Received::Closed);
        }
        if let Some(fd) = fds.pop() {
            if self.only_eventfds && !fd.is_eventfd() {
                return nothing(Received::NotAnEventfd);
            }
            match fd.untrusted_place() {
                Ok(None) => self.ahead = Some(fd),
                Ok(Some(place)) => return nothing(Received::UntrustedFile { place }),
                Err(_) => return nothing(Received::NoDescriptorLeft),
            }
        }
        Ok(Look::Bytes(seen.bytes))
    }
}

enum Look {
    /// The number of bytes to consume.
    Bytes(usize),
    /// Nothing can be consumed, for this reason.
    Nothing(Received),
    /// The system withholds a descriptor, though there is room for one.
    Withheld,
}

/// A security module is the only remaining cause: this process has room for the descriptor, and so has the buffer.
const WITHHELD: &str = "the system withholds a descriptor that the other end sent, though this process may have another one: \
                        a security module (SELinux, AppArmor) refuses it; allow this process to receive it \
                        (ausearch -m avc and dmesg show what was refused)";

/// Whether this process may open another descriptor now.
fn has_room(socket: BorrowedFd<'_>) -> bool {
    // Closing the copy does not wait, because the socket stays open.
    fcntl_dupfd_cloexec(socket, 0).is_ok()
}

/// Waits until there is something to receive or the deadline has passed. Returns whether there is something.
pub fn wait_readable(socket: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    loop {
        let left = super::eventfd::timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut fds, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// The result of one send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// The number of sent bytes. The descriptor was sent with the first of them.
    Bytes(usize),
    /// The socket's buffer is full; nothing was sent.
    WouldBlock,
    /// Too many descriptors that this user sent have not been received yet; nothing was sent.
    TooManyInFlight,
    /// The other end closed the connection.
    Closed,
}

/// Sends without blocking and without SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<Sent> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let one = fd.map(|fd| [fd]);
    loop {
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = &one {
            let fits = control.push(SendAncillaryMessage::ScmRights(fds));
            debug_assert!(fits, "the space is made for one descriptor");
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        return match sendmsg(socket, &[io::IoSlice::new(bytes)], &mut control, flags) {
            Ok(sent) => Ok(Sent::Bytes(sent)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Sent::WouldBlock),
            Err(Errno::TOOMANYREFS) => Ok(Sent::TooManyInFlight),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(Sent::Closed),
            Err(e) => Err(e.into()),
        };
    }
}

/// The bytes of kernel memory that sent and not yet received data occupy. Each message includes the kernel's overhead of
/// about 768 bytes; 0 means that the other end has received everything.
pub fn unread(socket: &impl AsFd) -> io::Result<u32> {
    super::ioctl::outq(socket.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::set_socket_passcred;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_travels_with_its_message() {
        let (a, b) = UnixStream::pair().unwrap();
        let gift = super::super::eventfd::create().unwrap();
        assert_eq!(send(a.as_fd(), &[1; 8], None).unwrap(), Sent::Bytes(8));
        assert!(unread(&a).unwrap() > 0);
        assert_eq!(send(a.as_fd(), &[2; 8], Some(gift.as_fd())).unwrap(), Sent::Bytes(8));
        let mut buffer = [0; 64];
        let mut b = Receiver::from(b);
        // Read one message at a time: a larger buffer receives both together, without the boundary between them.
        assert!(matches!(b.receive(&mut buffer[..8]).unwrap(), Received::Bytes(8, None)));
        assert!(matches!(b.receive(&mut buffer[..8]).unwrap(), Received::Bytes(8, Some(_))));
        assert!(matches!(b.receive(&mut buffer).unwrap(), Received::WouldBlock));
        assert_eq!(unread(&a).unwrap(), 0);
        drop(a);
        assert!(matches!(b.receive(&mut buffer).unwrap(), Received::Closed));
    }

    #[test]
    fn a_descriptor_that_is_withheld_where_there_is_room_is_not_put_down_to_the_limit() {
        let (a, b) = UnixStream::pair().unwrap();
        // The sender's credentials use up the room for the descriptor, so the kernel withholds it, as with a security module.
        set_socket_passcred(&b, true).unwrap();
        let gift = super::super::eventfd::create().unwrap();
        assert_eq!(send(a.as_fd(), &[1; 8], Some(gift.as_fd())).unwrap(), Sent::Bytes(8));
        let error = Receiver::from(b).receive(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let text = error.to_string();
        assert!(text.contains("SELinux") && !text.contains("ulimit"), "{text}");
    }

    #[test]
    fn a_full_socket_and_a_gone_peer_are_values() {
        let (a, b) = UnixStream::pair().unwrap();
        while send(a.as_fd(), &[0; 8], None).unwrap() != Sent::WouldBlock {}
        drop(b);
        assert_eq!(send(a.as_fd(), &[0; 8], None).unwrap(), Sent::Closed);
    }
}
