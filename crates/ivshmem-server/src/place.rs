//! Names in a directory that others may change at any time.
//!
//! What gets a name here is made in a private directory next to it, has its mode, its owner and its content there, and is
//! then renamed into place. All of that is relative to one descriptor of the directory, which is opened once. So nobody
//! ever sees an unfinished thing under the public name, and nobody who swaps names can have another thing changed.

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

/// Which file this is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// Something that is being made for a place. What is not published goes away.
#[derive(Debug)]
pub(crate) struct Draft {
    place: Place,
    /// A directory of this user that nobody else may enter, locked by this process.
    private: OwnedFd,
    private_name: OsString,
}

/// What was made here and has its name.
#[derive(Debug)]
pub(crate) struct Published {
    place: Place,
    identity: Identity,
}

/// Why a draft did not get its name.
#[derive(Debug)]
pub(crate) enum Unpublished {
    /// Something has the name.
    Taken(Draft),
    Failed(Errno),
}

/// A private directory is closed to others and has the sticky bit. That bit means nothing there, so no other directory of
/// this user that somebody swaps in is taken for one, and cleared.
const MARK: u32 = 0o1077;

/// Other processes of this user hold a private directory for some microseconds; none but this user and root can.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of a private directory that was renamed or removed again and again.
const TRIES: usize = 100;

/// Bytes of a path in a socket's address, without the final 0.
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

    /// As it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what has the name now, without following a link; `None` when nothing has it.
    pub(crate) fn find(&self, flags: OFlags) -> Result<Option<OwnedFd>, Errno> {
        match openat(&*self.dir, &self.name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether this is what has the name now.
    pub(crate) fn holds(&self, identity: Identity) -> bool {
        Identity::at(self.dir.as_fd(), &self.name) == Some(identity)
    }

    /// The group that the directory gives to what is made in it; `None` where new things have the group of their maker.
    pub(crate) fn inherited_group(&self) -> Option<u32> {
        let dir = fstat(&*self.dir).ok()?;
        Mode::from_raw_mode(dir.st_mode).contains(Mode::SGID).then_some(dir.st_gid)
    }

    /// Begins to make something that is to have this name; `None` when another process of this user does so.
    pub(crate) fn draft(&self) -> Result<Option<Draft>, Error> {
        let making = format!(
            "making a private directory next to {} (this user must be able to write to the directory, or choose another)",
            self.path.display()
        );
        let mut name = DefaultHasher::new();
        self.name.hash(&mut name);
        // The same name for all servers that want this place, so that there is one lock for them and a killed one leaves no
        // more than one. Where somebody else has it, any other name.
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
    /// Another process of this user is at work there.
    Held,
    /// It is somebody else's.
    Foreign,
}

/// Makes a directory that nobody else may enter, or takes over one that a killed process has left.
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
            // The one who had it has just removed it.
            Err(Errno::NOENT) => continue,
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Private::Foreign),
            Err(e) => return Err(e),
        };
        // Not what is under the name, but what was opened: the name may have been swapped.
        let stat = fstat(&found)?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & MARK != Mode::SVTX.bits() {
            return Ok(Private::Foreign);
        }
        if stat.st_mode & 0o700 != 0o700 {
            // The umask has taken this user's own rights. A group that is inherited stays so.
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
        // Whatever the umask says.
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        Ok(file)
    }

    /// Where to bind a socket: names that fit into an address, however long the path of the place is.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = PathBuf> {
        let through_proc = PathBuf::from(format!("/proc/self/fd/{}", self.private.as_raw_fd()));
        // Where there is no /proc.
        let directly = self.place.path.with_file_name(&self.private_name);
        [through_proc, directly].into_iter().map(|dir| dir.join(self.name()))
    }

    /// Whether there is something in it.
    pub(crate) fn is_begun(&self) -> bool {
        Identity::at(self.private.as_fd(), self.name()).is_some()
    }

    /// Gives what was made its mode and its owner.
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

    /// Gives what was made its name, unless something has it.
    pub(crate) fn publish(self) -> Result<Published, Unpublished> {
        let (from, to) = ((&self.private, self.name()), (&*self.place.dir, &*self.place.name));
        let identity = match statat(from.0, from.1, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Identity::of(&stat),
            Err(e) => return Err(Unpublished::Failed(e)),
        };
        let renamed = match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
            // Some file systems have only a link that does not replace; the draft's own name goes with the draft.
            Err(Errno::INVAL | Errno::NOSYS) => linkat(from.0, from.1, to.0, to.1, AtFlags::empty()),
            renamed => renamed,
        };
        match renamed {
            Ok(()) => Ok(self.into_published(identity)),
            Err(Errno::EXIST) => Err(Unpublished::Taken(self)),
            Err(e) => Err(Unpublished::Failed(e)),
        }
    }

    /// Gives what was made the name of `old`, which goes away, unless something else has the name meanwhile.
    pub(crate) fn replace(self, old: Identity) -> Result<Published, Unpublished> {
        let (from, to) = ((&self.private, self.name()), (&*self.place.dir, &*self.place.name));
        let Some(identity) = Identity::at(from.0.as_fd(), from.1) else {
            return Err(Unpublished::Failed(Errno::NOENT));
        };
        let exchange = || renameat_with(from.0, from.1, to.0, to.1, RenameFlags::EXCHANGE);
        match exchange() {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(Unpublished::Taken(self)),
            // A file system that cannot exchange. What others do between the look and this is kept out by the lock only.
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
        // Somebody has put another thing there since. It gets its name back, also when others exchange names as well.
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

    /// In the private directory: the public one, so that lists of sockets show something familiar, where it fits.
    fn name(&self) -> &OsStr {
        let room = MAX_ADDRESS - "/proc/self/fd/1234567890/".len();
        if self.place.name.len() <= room { &self.place.name } else { OsStr::new("long") }
    }

    /// Removes what a killed process has left, or what was not published.
    fn clear(&self) {
        let _ = unlinkat(&self.private, self.name(), AtFlags::empty());
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.clear();
        // Under the lock, so that nobody else begins in it. Where the name was swapped, only what is empty can go.
        let _ = unlinkat(&*self.place.dir, &self.private_name, AtFlags::REMOVEDIR);
        // A thread that closes descriptors may have a copy of this one, which would keep the lock.
        let _ = flock(&self.private, FlockOperation::Unlock);
    }
}

impl Published {
    /// Takes the name away, unless something else has it.
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
