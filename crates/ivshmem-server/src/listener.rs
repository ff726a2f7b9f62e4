//! The socket that clients connect to. The server replaces the socket of a server that has ended, and never touches one
//! that is in use.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ivshmem::sys::linux::foreign::{ForeignFd, ForeignSocket};
use ivshmem::sys::linux::peer;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with,
};

use crate::Error;
use crate::builder::Access;
use crate::place::{Draft, Identity, MAX_ADDRESS, Place, Published, Unpublished};

/// A listening socket, removed on drop.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    path: PathBuf,
    /// The name to remove on drop; `None` for a socket that a service manager keeps.
    published: Option<Published>,
}

#[derive(Debug)]
enum Socket {
    /// Closing it closes the connections in its backlog, and the descriptors that they sent.
    Own(ForeignSocket),
    /// The service manager's socket. The manager continues to listen; if it has ended, closing it closes as much as for
    /// `Own`.
    Inherited(ForeignFd),
}

/// Maximum number of connections that wait to be accepted; the kernel limits it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Attempts to get a name that other processes create and remove meanwhile.
const TRIES: usize = 100;

impl Listener {
    /// Refuses a path that cannot hold a socket, or on which another server listens.
    pub(crate) fn check(path: &Path) -> Result<(), Error> {
        let length = path.as_os_str().len();
        if length > MAX_ADDRESS {
            return Err(Error::PathTooLong { path: path.to_owned(), length });
        }
        stale(&Place::open(path)?).map(drop)
    }

    /// Listens on a path that [`check`](Self::check) accepted.
    pub(crate) fn bind(path: &Path, access: Access) -> Result<Self, Error> {
        let place = Place::open(path)?;
        let listening = || format!("listening on {}", path.display());
        let mut draft = place.draft()?.ok_or_else(|| Error::SocketInUse(path.to_owned()))?;
        let fd = bind_in(&draft).map_err(Error::io(listening()))?;
        draft.set_access(access)?;
        // Both before the socket has its name: the next server would take over a name on which no server listens.
        listen(&fd, BACKLOG).map_err(Error::io(listening()))?;
        peer::refuse_descriptors(&fd).map_err(Error::io(listening()))?;
        for _ in 0..TRIES {
            let old = stale(&place)?;
            let published = match old {
                None => draft.publish(),
                Some(old) => draft.replace(old),
            };
            match published {
                Ok(published) => {
                    if old.is_some() {
                        tracing::info!("took over the socket {}, on which nobody listened", path.display());
                    }
                    let socket = Socket::Own(fd.into());
                    return Ok(Self { socket, path: path.to_owned(), published: Some(published) });
                }
                Err(Unpublished::Taken(again)) => draft = again,
                Err(Unpublished::Failed(e)) => return Err(Error::io(listening())(e)),
            }
        }
        Err(Error::SocketInUse(path.to_owned()))
    }

    /// A socket on which a service manager listens for this process.
    pub(crate) fn inherited(fd: OwnedFd) -> Result<Self, Error> {
        let examining = "examining the socket of the service manager";
        let fd = ForeignFd::from(fd);
        let listens = socket_type(&fd) == Ok(SocketType::STREAM) && socket_acceptconn(&fd) == Ok(true);
        let address = getsockname(&fd).ok().filter(|_| listens);
        let address = address.and_then(|address| SocketAddrUnix::try_from(address).ok());
        let address = address.ok_or(Error::NotAListener)?;
        fcntl_setfl(&fd, fcntl_getfl(&fd).map_err(Error::io(examining))? | OFlags::NONBLOCK)
            .map_err(Error::io(examining))?;
        let path = address.path_bytes().map(|path| PathBuf::from(OsStr::from_bytes(path)));
        peer::refuse_descriptors(&fd).map_err(Error::io(examining))?;
        Ok(Self { socket: Socket::Inherited(fd), path: path.unwrap_or_default(), published: None })
    }

    /// The path that clients connect to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.published.is_none()
    }

    /// Removes the name, so that no new client can connect; connections in the backlog can still be accepted.
    pub(crate) fn remove_name(&self) {
        if let Some(published) = &self.published {
            published.remove();
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Own(socket) => socket.as_fd(),
            Socket::Inherited(socket) => socket.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove_name();
    }
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Creates a socket that is bound to a name in the draft.
fn bind_in(draft: &Draft) -> Result<OwnedFd, Errno> {
    let mut result = Err(Errno::NOENT);
    for address in draft.addresses() {
        let fd = new_socket()?;
        result = SocketAddrUnix::new(address).and_then(|address| bind(&fd, &address)).map(|()| fd);
        if !matches!(result, Err(Errno::NOENT)) {
            break;
        }
    }
    // Without /proc the path to the draft may have been changed.
    result.and_then(|fd| draft.is_begun().then_some(fd).ok_or(Errno::STALE))
}

/// Finds the socket of a server that has ended; `None` when nothing has the name. The socket of a running server, and
/// anything else, is an error.
fn stale(place: &Place) -> Result<Option<Identity>, Error> {
    let path = place.path();
    let examining = || format!("examining {}", path.display());
    let Some(found) = place.find(OFlags::PATH).map_err(Error::io(examining()))? else { return Ok(None) };
    let stat = fstat(&found).map_err(Error::io(examining()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Error::NotASocket(path.to_owned()));
    }
    match knock(&found, path) {
        // Another server may take the name over meanwhile; replacing it detects that.
        Err(Errno::CONNREFUSED) => Ok(Some(Identity::of(&stat))),
        // Connected, or the backlog is full: a server listens. A socket of another type belongs to another program too.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(Error::SocketInUse(path.to_owned())),
        Err(e) => Err(Error::io(examining())(e)),
    }
}

/// Connects to the socket that was opened, and closes the connection.
fn knock(found: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let through_proc = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    // The listening process may send something at once.
    let socket = || new_socket().map(ForeignSocket::from);
    match connect(socket()?, &SocketAddrUnix::new(through_proc)?) {
        // There is no /proc.
        Err(Errno::NOENT) => connect(socket()?, &SocketAddrUnix::new(path)?),
        knocked => knocked,
    }
}
