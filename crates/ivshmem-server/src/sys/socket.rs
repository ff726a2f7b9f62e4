//! Unix stream sockets that listen.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ivshmem::sys::linux::foreign::ForeignSocket;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_acceptconn, socket_type};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, getsockname, socket_with};

use super::Errno;

/// Creates a socket with this address, non-blocking and closed on exec.
pub(crate) fn bind(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = new()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Starts to listen, with room for this number of connections that wait to be accepted.
pub(crate) fn listen(socket: &OwnedFd, backlog: i32) -> Result<(), Errno> {
    rustix::net::listen(socket, backlog)
}

/// Connects to the socket with this address, and closes the connection.
pub(crate) fn probe(path: &Path) -> Result<(), Errno> {
    // The listening process may send something at once.
    let socket = ForeignSocket::from(new()?);
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn new() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// The path of a Unix stream socket that listens, empty if it has none; `None` for all other descriptors.
pub(crate) fn listens_on(socket: &impl AsFd) -> Option<PathBuf> {
    if socket_type(socket) != Ok(SocketType::STREAM) || socket_acceptconn(socket) != Ok(true) {
        return None;
    }
    let address = SocketAddrUnix::try_from(getsockname(socket).ok()?).ok()?;
    Some(address.path_bytes().map(|path| PathBuf::from(OsStr::from_bytes(path))).unwrap_or_default())
}

/// Makes a socket of another process's making non-blocking.
pub(crate) fn set_nonblocking(socket: &impl AsFd) -> Result<(), Errno> {
    fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)
}

/// Gives a socket room for this number of bytes that the other end has not received, or as much as the kernel allows.
pub(crate) fn set_send_buffer(socket: &impl AsFd, bytes: usize) {
    let _ = set_socket_send_buffer_size(socket, bytes);
}
