use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::Error;
use crate::builder::Access;
use crate::place::{Identity, Place, Published, Unpublished};

/// A file with this process's id, locked while the process lives and removed on drop.
#[derive(Debug)]
pub struct PidFile {
    published: Published,
    _locked: File,
}

/// Everybody may read it, and only this user may write to it.
const ACCESS: Access = Access { mode: 0o644, uid: None, gid: None };
/// Attempts to get a name that other processes create and remove meanwhile.
const TRIES: usize = 100;

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
        let mut draft = draft?.ok_or_else(|| Error::PidFileInUse(path.to_owned()))?;
        let mut file = File::from(draft.create().map_err(Error::io(&*writing))?);
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))).map_err(Error::io(&*writing))?;
        writeln!(file, "{}", std::process::id()).map_err(Error::io(&*writing))?;
        draft.set_access(ACCESS)?;
        for _ in 0..TRIES {
            let published = match stale(&place)? {
                None => draft.publish(),
                Some(old) => draft.replace(old),
            };
            match published {
                Ok(published) => return Ok(Self { published, _locked: file }),
                Err(Unpublished::Taken(again)) => draft = again,
                Err(Unpublished::Failed(e)) => return Err(Error::io(writing)(e)),
            }
        }
        Err(Error::PidFileInUse(path.to_owned()))
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
    let found = match place.find(OFlags::RDONLY | OFlags::NONBLOCK) {
        Err(Errno::LOOP | Errno::NXIO) => return Err(refused("is not a regular file")),
        found => found.map_err(Error::io(writing(path)))?,
    };
    let Some(found) = found else { return Ok(None) };
    let stat = fstat(&found).map_err(Error::io(writing(path)))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused("is not a regular file"));
    }
    if ![0, geteuid().as_raw()].contains(&stat.st_uid) {
        return Err(refused(&format!("belongs to user {}", stat.st_uid)));
    }
    if is_held(&found).map_err(Error::io(writing(path)))? {
        return Err(Error::PidFileInUse(path.to_owned()));
    }
    let mut old = String::new();
    let read = File::from(found).take(32).read_to_string(&mut old);
    if read.is_err() || !old.trim().bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused("holds no process id"));
    }
    Ok(Some(Identity::of(&stat)))
}

/// Whether a server holds the file. Only processes with write permission can take such a lock; read locks do not count.
fn is_held(file: &OwnedFd) -> io::Result<bool> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) == libc::F_WRLCK)
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("a small constant"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("a small constant"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
