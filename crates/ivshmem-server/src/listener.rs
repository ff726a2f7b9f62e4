//! The socket that clients connect to: taken over when nobody listens, left alone otherwise.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::socket;
use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_getfl, fcntl_setfl, flock, open};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with,
};

use crate::Error;
use crate::builder::Access;
use crate::memory::remove_if_same;

/// A listening socket, removed on drop.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    path: PathBuf,
    /// The name that is ours to remove; `None` for a socket that a service manager keeps.
    name: Option<Name>,
}

#[derive(Debug)]
struct Name {
    device: u64,
    inode: u64,
}

/// Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Another server holds the lock for the time of a bind.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a path in a socket's address, without the final 0.
const MAX_PATH: usize = 107;

impl Listener {
    pub(crate) fn bind(path: &Path, access: Access) -> Result<Self, Error> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(Error::PathTooLong { path: path.to_owned(), length });
        }
        let listening = || format!("listening on {}", path.display());
        let address = SocketAddrUnix::new(path).map_err(Error::io(listening()))?;
        let fd = new_socket().map_err(Error::io(listening()))?;
        // Two servers that find the same stale socket must not remove each other's new one.
        let _lock = lock_directory(path)?;
        match bind(&fd, &address) {
            Ok(()) => {}
            Err(Errno::ADDRINUSE) => {
                remove_stale(path, &address)?;
                bind(&fd, &address).map_err(Error::io(listening()))?;
            }
            Err(e) => return Err(Error::io(listening())(e)),
        }
        let metadata = fs::symlink_metadata(path).map_err(Error::io(listening()))?;
        let listener = Self {
            fd,
            path: path.to_owned(),
            name: Some(Name { device: metadata.dev(), inode: metadata.ino() }),
        };
        // Nobody can connect before listen, so there is no moment at which the umask decides.
        if let Some(giving) = access.giving(path) {
            lchown(path, access.uid, access.gid).map_err(Error::io(giving))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(access.mode)).map_err(Error::io(listening()))?;
        listen(&listener.fd, BACKLOG).map_err(Error::io(listening()))?;
        Ok(listener)
    }

    /// A socket on which a service manager listens for us.
    pub(crate) fn inherited(fd: OwnedFd) -> Result<Self, Error> {
        let examining = "examining the socket of the service manager";
        let listens = socket_type(&fd) == Ok(SocketType::STREAM) && socket_acceptconn(&fd) == Ok(true);
        let address = getsockname(&fd).ok().filter(|_| listens);
        let address = address.and_then(|address| SocketAddrUnix::try_from(address).ok());
        let address = address.ok_or(Error::NotAListener)?;
        fcntl_setfl(&fd, fcntl_getfl(&fd).map_err(Error::io(examining))? | OFlags::NONBLOCK)
            .map_err(Error::io(examining))?;
        let path = address.path_bytes().map(|path| PathBuf::from(OsStr::from_bytes(path)));
        Ok(Self { fd, path: path.unwrap_or_default(), name: None })
    }

    /// Where clients connect.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.name.is_none()
    }

    /// Takes the name away, so that nobody new connects; who has connected can still be accepted.
    pub(crate) fn remove_name(&self) {
        if let Some(name) = &self.name {
            remove_if_same(&self.path, name.device, name.inode);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove_name();
        // The kernel would close, in this thread, who waits to be accepted and what they sent.
        if !self.is_inherited() && socket::refuse_connections(&self.fd).is_ok() {
            while socket::accept(&self.fd).is_ok() {}
        }
    }
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes the socket of a server that is dead. One that lives, and anything else, is left alone.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), Error> {
    let examining = || format!("examining {}", path.display());
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(examining())(e)),
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    let probe = new_socket().map_err(Error::io(examining()))?;
    match connect(&probe, address) {
        Err(Errno::CONNREFUSED) => {
            fs::remove_file(path)
                .map_err(Error::io(format!("removing the stale socket {}", path.display())))?;
            tracing::info!("took over the socket {}, on which nobody listened", path.display());
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        // Connected, or its backlog is full: somebody listens. A socket of another type is somebody's too.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(Error::SocketInUse(path.to_owned())),
        Err(e) => Err(Error::io(examining())(e)),
    }
}

/// Keeps other servers from binding in the same directory while this lives, which is for some microseconds.
fn lock_directory(path: &Path) -> Result<OwnedFd, Error> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let locking = || format!("opening the socket's directory {}", dir.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = open(dir, flags, Mode::empty()).map_err(Error::io(locking()))?;
    // Not for ever: anybody who may read the directory may hold its lock.
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(fd),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Err(e) => return Err(Error::io(format!("locking the directory {}", dir.display()))(e)),
        }
    }
}
