//! Names in a directory that other users may change at any time.
//!
//! The server creates each object in a private directory next to its place, gives it its mode, owner and content there, and
//! then renames it into place. All of that is relative to one descriptor of the directory, which is opened once. So no
//! other process sees an unfinished object under the public name, and swapping names cannot make the server change another
//! object.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sys::directory::{self, Identity, Name, Purpose};
use crate::sys::lock::Locked;
use crate::sys::{Errno, process};

/// Mode and owner of what the server creates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    dir: Arc<File>,
    name: OsString,
    path: PathBuf,
}

/// An unfinished object for a place. It is removed on drop if it was not published.
#[derive(Debug)]
pub(crate) struct Draft {
    place: Place,
    /// A directory of this user that no other user may enter, locked by this process.
    private: Locked,
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
const MARK: u32 = STICKY | 0o077;
const STICKY: u32 = 0o1000;
const SETGID: u32 = 0o2000;

/// Other processes of this user hold a private directory for some microseconds; only this user and root can hold it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Attempts to get a name that other processes create and remove meanwhile.
pub(crate) const TRIES: usize = 100;

/// Maximum length in bytes of a path in a socket address, without the final 0.
pub(crate) const MAX_ADDRESS: usize = 107;

impl Place {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().ok_or_else(|| Error::NotAName(path.to_owned()))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let dir = directory::open(parent)
            .map_err(Error::io(format!("opening the directory of {}", path.display())))?;
        Ok(Self { dir: Arc::new(dir), name: name.to_owned(), path: path.to_owned() })
    }

    /// The path as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the object that has the name now, without following a link; `None` when there is none.
    pub(crate) fn find(&self, purpose: Purpose) -> Result<Option<File>, Errno> {
        match self.name().open(purpose) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the object with this identity has the name now.
    pub(crate) fn holds(&self, identity: Identity) -> bool {
        self.name().identity() == Ok(identity)
    }

    fn name(&self) -> Name<'_> {
        Name { directory: self.dir.as_fd(), name: &self.name }
    }

    /// The group that the directory gives to new objects in it; `None` where they get the group of the process.
    pub(crate) fn inherited_group(&self) -> Option<u32> {
        let dir = self.dir.metadata().ok()?;
        (dir.mode() & SETGID != 0).then_some(dir.gid())
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
            let private = private(Name { name: &private_name, ..self.name() });
            match private.map_err(Error::io(&*making))? {
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
    Ours(Locked),
    /// Another process of this user uses it.
    Held,
    /// It belongs to another user.
    Foreign,
}

/// Creates a directory that no other user may enter, or takes over one that a killed process left.
fn private(name: Name<'_>) -> io::Result<Private> {
    let deadline = Instant::now() + TIMEOUT;
    for _ in 0..TRIES {
        match name.create_directory(STICKY | 0o700) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let found = match name.open(Purpose::ExaminingDirectory) {
            Ok(found) => found,
            // The process that used it has just removed it.
            Err(Errno::NOENT) => continue,
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Private::Foreign),
            Err(e) => return Err(e.into()),
        };
        // Check what was opened, not what has the name now: the name may have been swapped.
        let stat = found.metadata()?;
        if stat.uid() != process::user() || stat.mode() & MARK != STICKY {
            return Ok(Private::Foreign);
        }
        if stat.mode() & 0o700 != 0o700 {
            // The umask removed this user's own permissions. A setgid bit from the parent stays.
            directory::set_mode(&found, stat.mode() & 0o7777 | 0o700)?;
        }
        let private = match Locked::take(directory::reopen(&found)?, deadline) {
            Err(Errno::AGAIN) => return Ok(Private::Held),
            private => private?,
        };
        if name.identity() == Ok(Identity::of(&stat)) {
            return Ok(Private::Ours(private));
        }
    }
    Ok(Private::Foreign)
}

impl Draft {
    /// Creates a file that only this user may open.
    pub(crate) fn create(&self) -> Result<File, Errno> {
        self.name().create()
    }

    /// Paths to bind a socket to. They fit into a socket address, regardless of the length of the place's path.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = PathBuf> {
        let through_proc = PathBuf::from(format!("/proc/self/fd/{}", self.private.as_fd().as_raw_fd()));
        // For systems without /proc.
        let directly = self.place.path.with_file_name(&self.private_name);
        [through_proc, directly].into_iter().map(|dir| dir.join(self.name().name))
    }

    /// Whether the object exists.
    pub(crate) fn is_begun(&self) -> bool {
        self.name().identity().is_ok()
    }

    /// Sets the object's mode and owner. No other user can change names in a private directory.
    pub(crate) fn set_access(&self, access: Access) -> Result<(), Error> {
        let path = self.place.path();
        if let Some(giving) = access.giving(path) {
            self.name().set_owner(access.uid, access.gid).map_err(Error::io(giving))?;
        }
        let setting = format!("setting the mode of {}", path.display());
        self.name().set_mode(access.mode).map_err(Error::io(setting))
    }

    /// Gives the object its name, also instead of an object that `stale` finds there and that may be replaced. Returns whether
    /// there was one; `None` when other processes take the name again and again.
    pub(crate) fn take_over(
        mut self,
        doing: &str,
        stale: impl Fn(&Place) -> Result<Option<Identity>, Error>,
    ) -> Result<Option<(Published, bool)>, Error> {
        for _ in 0..TRIES {
            let old = stale(&self.place)?;
            let published = match old {
                None => self.publish(),
                Some(old) => self.replace(old),
            };
            match published {
                Ok(published) => return Ok(Some((published, old.is_some()))),
                Err(Unpublished::Taken(again)) => self = again,
                Err(Unpublished::Failed(e)) => return Err(Error::io(doing)(e)),
            }
        }
        Ok(None)
    }

    /// Gives the object its name, unless another object has it.
    pub(crate) fn publish(self) -> Result<Published, Unpublished> {
        let (from, to) = (self.name(), self.place.name());
        let identity = from.identity().map_err(Unpublished::Failed)?;
        let renamed = match from.rename_to_free(to) {
            // Some file systems support only a link that does not replace; the draft's own name is removed with the draft.
            Err(Errno::INVAL | Errno::NOSYS) => from.link(to),
            renamed => renamed,
        };
        match renamed {
            Ok(()) => Ok(self.into_published(identity)),
            Err(Errno::EXIST) => Err(Unpublished::Taken(self)),
            Err(e) => Err(Unpublished::Failed(e)),
        }
    }

    /// Gives the object the name of `old`, which is removed, unless another object has the name meanwhile.
    fn replace(self, old: Identity) -> Result<Published, Unpublished> {
        let (from, to) = (self.name(), self.place.name());
        let identity = from.identity().map_err(Unpublished::Failed)?;
        match from.exchange(to) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(Unpublished::Taken(self)),
            // A file system without exchange. Only the lock excludes changes by other processes between the check and the
            // rename.
            Err(Errno::INVAL | Errno::NOSYS) => {
                return match self.place.holds(old).then(|| from.rename(to)) {
                    Some(Ok(())) => Ok(self.into_published(identity)),
                    Some(Err(e)) => Err(Unpublished::Failed(e)),
                    None => Err(Unpublished::Taken(self)),
                };
            }
            Err(e) => return Err(Unpublished::Failed(e)),
        }
        if from.identity() == Ok(old) {
            return Ok(self.into_published(identity));
        }
        // Another process has put another object there. It gets its name back, even while other processes exchange names
        // too.
        for _ in 0..TRIES {
            let _ = from.exchange(to);
            if from.identity() == Ok(identity) {
                break;
            }
        }
        Err(Unpublished::Taken(self))
    }

    fn into_published(self, identity: Identity) -> Published {
        Published { place: self.place.clone(), identity }
    }

    /// The name in the private directory: the public name, so that lists of sockets show a familiar one, if it fits.
    fn name(&self) -> Name<'_> {
        let room = MAX_ADDRESS - "/proc/self/fd/1234567890/".len();
        let name = if self.place.name.len() <= room { &*self.place.name } else { OsStr::new("long") };
        Name { directory: self.private.as_fd(), name }
    }

    /// Removes what a killed process left, or what was not published.
    fn clear(&self) {
        let _ = self.name().remove();
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.clear();
        // Under the lock, so that no other process begins to use it. If the name was swapped, only an empty directory can
        // be removed.
        let _ = Name { name: &self.private_name, ..self.place.name() }.remove_directory();
    }
}

impl Published {
    /// Removes the name, unless another object has it.
    pub(crate) fn remove(&self) {
        if self.place.holds(self.identity)
            && let Err(error) = self.place.name().remove()
        {
            tracing::warn!("cannot remove {}: {error}", self.place.path.display());
        }
    }
}

impl Access {
    /// Describes, for an error, the change of this path's owner; `None` when the owner does not change.
    fn giving(self, path: &Path) -> Option<String> {
        let to = match (self.uid, self.gid) {
            (None, None) => return None,
            (Some(uid), None) => format!("user {uid}"),
            (None, Some(gid)) => format!("group {gid}"),
            (Some(uid), Some(gid)) => format!("user {uid}, group {gid}"),
        };
        Some(format!("giving {} to {to}", path.display()))
    }
}
