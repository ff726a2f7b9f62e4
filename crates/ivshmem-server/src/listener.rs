//! The socket that clients connect to. The server replaces the socket of a server that has ended, and never touches one
//! that is in use.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use ivshmem::sys::linux::foreign::{ForeignFd, ForeignSocket};
use ivshmem::sys::linux::peer;

use crate::error::Error;
use crate::place::{Access, Draft, MAX_ADDRESS, Place, Published};
use crate::sys::directory::{Identity, Purpose};
use crate::sys::{Errno, socket};

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
        let draft = place.draft()?.ok_or_else(|| Error::SocketInUse(path.to_owned()))?;
        let fd = bind_in(&draft).map_err(Error::io(listening()))?;
        draft.set_access(access)?;
        // Both before the socket has its name: the next server would take over a name on which no server listens.
        socket::listen(&fd, BACKLOG).map_err(Error::io(listening()))?;
        peer::refuse_descriptors(&fd).map_err(Error::io(listening()))?;
        let taken = draft.take_over(&listening(), stale)?;
        let (published, replaced) = taken.ok_or_else(|| Error::SocketInUse(path.to_owned()))?;
        if replaced {
            tracing::info!("took over the socket {}, on which nobody listened", path.display());
        }
        Ok(Self { socket: Socket::Own(fd.into()), path: path.to_owned(), published: Some(published) })
    }

    /// A socket on which a service manager listens for this process.
    pub(crate) fn inherited(fd: OwnedFd) -> Result<Self, Error> {
        let examining = "examining the socket of the service manager";
        let fd = ForeignFd::from(fd);
        let path = socket::listens_on(&fd).ok_or(Error::NotAListener)?;
        socket::set_nonblocking(&fd).map_err(Error::io(examining))?;
        peer::refuse_descriptors(&fd).map_err(Error::io(examining))?;
        Ok(Self { socket: Socket::Inherited(fd), path, published: None })
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

/// Creates a socket that is bound to a name in the draft.
fn bind_in(draft: &Draft) -> Result<OwnedFd, Errno> {
    let mut result = Err(Errno::NOENT);
    for address in draft.addresses() {
        result = socket::bind(&address);
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
    let Some(found) = place.find(Purpose::Examining).map_err(Error::io(examining()))? else {
        return Ok(None);
    };
    let stat = found.metadata().map_err(Error::io(examining()))?;
    if !stat.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    match probe(&found, path) {
        // Another server may take the name over meanwhile; replacing it detects that.
        Err(Errno::CONNREFUSED) => Ok(Some(Identity::of(&stat))),
        // Connected, or the backlog is full: a server listens. A socket of another type belongs to another program too.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(Error::SocketInUse(path.to_owned())),
        Err(e) => Err(Error::io(examining())(e)),
    }
}

/// Connects to the socket that was opened, and closes the connection.
fn probe(found: &File, path: &Path) -> Result<(), Errno> {
    match socket::probe(format!("/proc/self/fd/{}", found.as_raw_fd()).as_ref()) {
        // There is no /proc.
        Err(Errno::NOENT) => socket::probe(path),
        result => result,
    }
}
