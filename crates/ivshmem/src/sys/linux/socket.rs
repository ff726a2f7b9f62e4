//! Unix stream sockets whose messages carry at most one descriptor each.

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

/// Connects, and gives up with `TimedOut` when the server's queue of new connections stays full.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<ForeignSocket> {
    let address = SocketAddrUnix::new(path)?;
    let socket = ForeignSocket::from(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?);
    // What is sent out of band is received in its place, like everything else. The kernel would show it to no receive that
    // only looks, and close the descriptors that came with it in the next one that takes something, since Linux 5.15.
    set_socket_oobinline(&socket, true)?;
    // A Unix socket waits in connect as long as a send may take. 0 would mean for ever.
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

/// Accepts a connection without waiting for one: non-blocking and closed on exec.
#[expect(clippy::disallowed_methods, reason = "gives a socket whose drop does not wait")]
pub fn accept(listener: impl AsFd) -> rustix::io::Result<ForeignSocket> {
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).map(ForeignSocket::from)
}

/// Refuses all connections to come; those that wait can still be accepted.
pub fn refuse_connections(listener: impl AsFd) -> io::Result<()> {
    Ok(shutdown(listener, Shutdown::Read)?)
}

/// What one receive gave.
#[derive(Debug)]
pub enum Received {
    /// This many bytes, and the descriptor that came with them.
    Bytes(usize, Option<ForeignFd>),
    /// Nothing now.
    WouldBlock,
    /// The other end closed the connection.
    Closed,
    /// This message or a later one has more descriptors than one may have. It stays in the socket.
    TooManyDescriptors,
    /// This message or a later one has a descriptor that is no eventfd, where only eventfds are taken. It stays in the socket.
    NotAnEventfd,
    /// This message or a later one has a file that lies in such a place. It stays in the socket.
    UntrustedFile {
        /// What it lies in.
        place: String,
    },
    /// This message or a later one has descriptors, and this process may not have another one. It stays in the socket.
    NoDescriptorLeft,
}

/// The protocol sends one; another one shows that there are more. At most four fit, with the padding of the buffer, and those that
/// do not fit are not received.
const FDS_PER_RECEIVE: usize = 2;

/// The receiving end of a connection. Descriptors are closed on exec and never leak, whatever the sender packs together.
///
/// It looks first and takes then. Descriptors for which the process has no room would be closed by the kernel in the receiving
/// thread, as their last copies; of those that are only looked at, the socket has another copy.
#[derive(Debug)]
pub struct Receiver<S> {
    /// What a look found in a message that is still in the socket: it goes on to the first message with a descriptor. Kept, as
    /// the next look would make another copy, and closing a copy may wait as well.
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
    /// The socket, from which nothing else may receive.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Refuses everything but eventfds from now on, even with a message that is not complete yet.
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

    /// Looks once more where another thread may have closed a descriptor after the look.
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
        // All of them: the kernel fills the buffer's padding as well.
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
    /// So many can be taken.
    Bytes(usize),
    /// None can be taken, for this reason.
    Nothing(Received),
    /// The system gives no descriptor, though there is room for one.
    Withheld,
}

/// Nothing else is left: this process has room for the descriptor, and so has the buffer.
const WITHHELD: &str = "the system withholds a descriptor that the other end sent, though this process may have another one: \
                        a security module (SELinux, AppArmor) refuses it; allow this process to receive it \
                        (ausearch -m avc and dmesg show what was refused)";

/// Whether this process may have another descriptor now.
fn has_room(socket: BorrowedFd<'_>) -> bool {
    // Closing the copy waits for nothing: the socket stays open.
    fcntl_dupfd_cloexec(socket, 0).is_ok()
}

/// Waits until there is something to receive or the deadline has passed. Tells whether there is.
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

/// What one send did.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes went out, the descriptor with the first of them.
    Bytes(usize),
    /// The socket's buffer is full; nothing went out.
    WouldBlock,
    /// The kernel holds too many descriptors of ours that nobody has received yet; nothing went out.
    TooManyInFlight,
    /// The other end is gone.
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

/// Bytes of kernel memory taken by what was sent and not yet received. Each message counts with the kernel's own
/// overhead (some 768 bytes); 0 means that the other end has read everything.
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
        // Read one by one: a larger buffer would get both messages glued together, whose descriptor it is unknown.
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
        // The sender's credentials take the room of the descriptor, which the kernel withholds as a security module makes it do.
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
