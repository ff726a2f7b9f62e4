use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use ivshmem::sys::linux::lock::{FileLock, is_held};

use crate::error::Error;
use crate::place::{Access, Place, Published};
use crate::sys::directory::{Identity, Purpose};
use crate::sys::{Errno, process};

/// A file with this process's id, locked while the process lives and removed on drop.
#[derive(Debug)]
pub struct PidFile {
    published: Published,
    _locked: File,
}

/// Everybody may read it, and only this user may write to it.
const ACCESS: Access = Access { mode: 0o644, uid: None, gid: None };

impl PidFile {
    /// Creates the file, or takes over one that a server left that has ended. Does not touch a link, a file of another
    /// user, or a file that contains anything but a process id.
    ///
    /// # Errors
    /// When the file cannot be created, or a running server holds it.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let writing = writing(path);
        let place = Place::open(path)?;
        let draft = place.draft().map_err(|error| match error {
            Error::Io { source, .. } => Error::Io { doing: writing.clone(), source },
            other => other,
        });
        let draft = draft?.ok_or_else(|| Error::PidFileInUse(path.to_owned()))?;
        let mut file = draft.create().map_err(Error::io(&*writing))?;
        FileLock::take(&file, Duration::ZERO).map_err(Error::io(&*writing))?.keep();
        writeln!(file, "{}", std::process::id()).map_err(Error::io(&*writing))?;
        draft.set_access(ACCESS)?;
        let taken = draft.take_over(&writing, stale)?;
        let (published, _) = taken.ok_or_else(|| Error::PidFileInUse(path.to_owned()))?;
        Ok(Self { published, _locked: file })
    }
}

fn writing(path: &Path) -> String {
    format!("writing the pid file {} (-p chooses another, -F needs none)", path.display())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.published.remove();
    }
}

/// Finds the file of a server that has ended; `None` when nothing has the name. The file of a running server, and anything
/// else, is an error.
fn stale(place: &Place) -> Result<Option<Identity>, Error> {
    let path = place.path();
    let refused = |problem: &str| {
        let problem = format!("{problem}; remove it or choose another path for the process id");
        Error::NotTrusted { path: path.to_owned(), problem }
    };
    let found = match place.find(Purpose::Reading) {
        Err(Errno::LOOP | Errno::NXIO) => return Err(refused("is not a regular file")),
        found => found.map_err(Error::io(writing(path)))?,
    };
    let Some(found) = found else { return Ok(None) };
    let stat = found.metadata().map_err(Error::io(writing(path)))?;
    if !stat.is_file() {
        return Err(refused("is not a regular file"));
    }
    if ![0, process::user()].contains(&stat.uid()) {
        return Err(refused(&format!("belongs to user {}", stat.uid())));
    }
    // Only processes with write permission can take such a lock.
    if is_held(&found).map_err(Error::io(writing(path)))? {
        return Err(Error::PidFileInUse(path.to_owned()));
    }
    let mut old = String::new();
    let read = found.take(32).read_to_string(&mut old);
    if read.is_err() || !old.trim().bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused("holds no process id"));
    }
    Ok(Some(Identity::of(&stat)))
}
