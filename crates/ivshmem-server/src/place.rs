//! Names in a directory that other users may change at any time.
//!
//! The server creates each object in a private directory next to its place, gives it its mode, owner and content there, and
//! then renames it into place. All of that is relative to one descriptor of the directory, which is opened once. So no
//! other process sees an unfinished object under the public name, and swapping names cannot make the server change another
//! object.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, Stat, Uid, chmod, chmodat, chownat, fchmod,
    flock, fstat, linkat, mkdirat, open, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::Error;
use crate::builder::Access;

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    dir: Arc<OwnedFd>,
    name: OsString,
    path: PathBuf,
}

/// Identifies a file independently of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// An unfinished object for a place. It is removed on drop if it was not published.
#[derive(Debug)]
pub(crate) struct Draft {
    place: Place,
    /// A directory of this user that no other user may enter, locked by this process.
    private: OwnedFd,
    private_name: OsString,
}

/// An object that this process created and named.
#[derive(Debug)]
pub(crate) struct Published {
    place: Place,
    identity: Identity,
}

/// Why a draft did not get its name.
#[derive(Debug)]
pub(crate) enum Unpublished {
    /// Another object has the name.
    Taken(Draft),
    Failed(Errno),
}

/// A private directory is closed to other users and has the sticky bit. The bit has no effect there; it marks the
/// directory, so that another directory of this user, swapped in by another user, is not mistaken for it and cleared.
const MARK: u32 = 0o1077;

/// Other processes of this user hold a private directory for some microseconds; only this user and root can hold it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Attempts to open a private directory that is renamed or removed repeatedly.
const TRIES: usize = 100;

/// Maximum length in bytes of a path in a socket address, without the final 0.
pub(crate) const MAX_ADDRESS: usize = 107;

impl Place {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().ok_or_else(|| Error::NotAName(path.to_owned()))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let dir = open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::io(format!("opening the directory of {}", path.display())))?;
        Ok(Self { dir: Arc::new(dir), name: name.to_owned(), path: path.to_owned() })
    }

    /// The path as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the object that has the name now, without following a link; `None` when there is none.
    pub(crate) fn find(&self, flags: OFlags) -> Result<Option<OwnedFd>, Errno> {
        match openat(&*self.dir, &self.name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the object with this identity has the name now.
    pub(crate) fn holds(&self, identity: Identity) -> bool {
        Identity::at(self.dir.as_fd(), &self.name) == Some(identity)
    }

    /// The group that the directory gives to new objects in it; `None` where they get the group of the process.
    pub(crate) fn inherited_group(&self) -> Option<u32> {
        let dir = fstat(&*self.dir).ok()?;
        Mode::from_raw_mode(dir.st_mode).contains(Mode::SGID).then_some(dir.st_gid)
    }

    /// Begins to create an object for this name; `None` when another process of this user is doing so.
    pub(crate) fn draft(&self) -> Result<Option<Draft>, Error> {
        let making = format!(
            "making a private directory next to {} (this user must be able to write to the directory, or choose another)",
            self.path.display()
        );
        let mut name = DefaultHasher::new();
        self.name.hash(&mut name);
        // The same name for all servers that use this place, so that they share one lock and killed servers leave at most
        // one directory. If another user owns that name, a random one.
        for name in [name.finish(), RandomState::new().hash_one(0)] {
            let private_name = OsString::from(format!(".ivshmem-{name:016x}"));
            match private(&self.dir, &private_name).map_err(Error::io(&*making))? {
                Private::Ours(private) => {
                    let draft = Draft { place: self.clone(), private, private_name };
                    draft.clear();
                    return Ok(Some(draft));
                }
                Private::Held => return Ok(None),
                Private::Foreign => {}
            }
        }
        Err(Error::io(making)(Errno::ACCESS))
    }
}

enum Private {
    Ours(OwnedFd),
    /// Another process of this user uses it.
    Held,
    /// It belongs to another user.
    Foreign,
}

/// Creates a directory that no other user may enter, or takes over one that a killed process left.
fn private(dir: &OwnedFd, name: &OsStr) -> Result<Private, Errno> {
    let deadline = Instant::now() + PATIENCE;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        match mkdirat(dir, name, Mode::RWXU | Mode::SVTX) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        let found = match openat(dir, name, flags | OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(found) => found,
            // The process that used it has just removed it.
            Err(Errno::NOENT) => continue,
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Private::Foreign),
            Err(e) => return Err(e),
        };
        // Check what was opened, not what has the name now: the name may have been swapped.
        let stat = fstat(&found)?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & MARK != Mode::SVTX.bits() {
            return Ok(Private::Foreign);
        }
        if stat.st_mode & 0o700 != 0o700 {
            // The umask removed this user's own permissions. A setgid bit from the parent stays.
            let opened = format!("/proc/self/fd/{}", found.as_raw_fd());
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the name of what was opened, and of nothing else"
            )]
            chmod(opened, Mode::from_raw_mode(stat.st_mode & 0o7777) | Mode::RWXU)?;
        }
        let private = openat(&found, ".", flags | OFlags::RDONLY, Mode::empty())?;
        loop {
            match flock(&private, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::WOULDBLOCK) => return Ok(Private::Held),
                Err(e) => return Err(e),
            }
        }
        if Identity::at(dir.as_fd(), name) == Some(Identity::of(&stat)) {
            return Ok(Private::Ours(private));
        }
    }
    Ok(Private::Foreign)
}

impl Draft {
    /// Creates a file that only this user may open.
    pub(crate) fn create(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.private, self.name(), flags, Mode::empty())?;
        // Regardless of the umask.
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        Ok(file)
    }

    /// Paths to bind a socket to. They fit into a socket address, regardless of the length of the place's path.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = PathBuf> {
        let through_proc = PathBuf::from(format!("/proc/self/fd/{}", self.private.as_raw_fd()));
        // For systems without /proc.
        let directly = self.place.path.with_file_name(&self.private_name);
        [through_proc, directly].into_iter().map(|dir| dir.join(self.name()))
    }

    /// Whether the object exists.
    pub(crate) fn is_begun(&self) -> bool {
        Identity::at(self.private.as_fd(), self.name()).is_some()
    }

    /// Sets the object's mode and owner.
    pub(crate) fn set_access(&self, access: Access) -> Result<(), Error> {
        let path = self.place.path();
        if let Some(giving) = access.giving(path) {
            let (uid, gid) = (access.uid.map(Uid::from_raw), access.gid.map(Gid::from_raw));
            #[expect(
                clippy::disallowed_methods,
                reason = "nobody else can change names in a private directory"
            )]
            chownat(&self.private, self.name(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(Error::io(giving))?;
        }
        let mode = Mode::from_raw_mode(access.mode);
        #[expect(clippy::disallowed_methods, reason = "nobody else can change names in a private directory")]
        chmodat(&self.private, self.name(), mode, AtFlags::empty())
            .map_err(Error::io(format!("setting the mode of {}", path.display())))
    }

    /// Gives the object its name, unless another object has it.
    pub(crate) fn publish(self) -> Result<Published, Unpublished> {
        let (from, to) = ((&self.private, self.name()), (&*self.place.dir, &*self.place.name));
        let identity = match statat(from.0, from.1, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Identity::of(&stat),
            Err(e) => return Err(Unpublished::Failed(e)),
        };
        let renamed = match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
            // Some file systems support only a link that does not replace; the draft's own name is removed with the draft.
            Err(Errno::INVAL | Errno::NOSYS) => linkat(from.0, from.1, to.0, to.1, AtFlags::empty()),
            renamed => renamed,
        };
        match renamed {
            Ok(()) => Ok(self.into_published(identity)),
            Err(Errno::EXIST) => Err(Unpublished::Taken(self)),
            Err(e) => Err(Unpublished::Failed(e)),
        }
    }

    /// Gives the object the name of `old`, which is removed, unless another object has the name meanwhile.
    pub(crate) fn replace(self, old: Identity) -> Result<Published, Unpublished> {
        let (from, to) = ((&self.private, self.name()), (&*self.place.dir, &*self.place.name));
        let Some(identity) = Identity::at(from.0.as_fd(), from.1) else {
            return Err(Unpublished::Failed(Errno::NOENT));
        };
        let exchange = || renameat_with(from.0, from.1, to.0, to.1, RenameFlags::EXCHANGE);
        match exchange() {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(Unpublished::Taken(self)),
            // A file system without exchange. Only the lock excludes changes by other processes between the check and the
            // rename.
            Err(Errno::INVAL | Errno::NOSYS) => {
                return match self.place.holds(old).then(|| renameat(from.0, from.1, to.0, to.1)) {
                    Some(Ok(())) => Ok(self.into_published(identity)),
                    Some(Err(e)) => Err(Unpublished::Failed(e)),
                    None => Err(Unpublished::Taken(self)),
                };
            }
            Err(e) => return Err(Unpublished::Failed(e)),
        }
        if Identity::at(from.0.as_fd(), from.1) == Some(old) {
            return Ok(self.into_published(identity));
        }
        // Another process has put another object there. It gets its name back, even while other processes exchange names
        // too.
        for _ in 0..TRIES {
            let _ = exchange();
            if Identity::at(from.0.as_fd(), from.1) == Some(identity) {
                break;
            }
        }
        Err(Unpublished::Taken(self))
    }

    fn into_published(self, identity: Identity) -> Published {
        Published { place: self.place.clone(), identity }
    }

    /// The name in the private directory: the public name, so that lists of sockets show a familiar one, if it fits.
    fn name(&self) -> &OsStr {
        let room = MAX_ADDRESS - "/proc/self/fd/1234567890/".len();
        if self.place.name.len() <= room { &self.place.name } else { OsStr::new("long") }
    }

    /// Removes what a killed process left, or what was not published.
    fn clear(&self) {
        let _ = unlinkat(&self.private, self.name(), AtFlags::empty());
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.clear();
        // Under the lock, so that no other process begins to use it. If the name was swapped, only an empty directory can
        // be removed.
        let _ = unlinkat(&*self.place.dir, &self.private_name, AtFlags::REMOVEDIR);
        // A thread that closes descriptors may have a copy of this descriptor, which would keep the lock.
        let _ = flock(&self.private, FlockOperation::Unlock);
    }
}

impl Published {
    /// Removes the name, unless another object has it.
    pub(crate) fn remove(&self) {
        if self.place.holds(self.identity)
            && let Err(error) = unlinkat(&*self.place.dir, &self.place.name, AtFlags::empty())
        {
            tracing::warn!("cannot remove {}: {error}", self.place.path.display());
        }
    }
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    fn at(dir: BorrowedFd<'_>, name: &OsStr) -> Option<Self> {
        statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| Self::of(&stat))
    }
}
