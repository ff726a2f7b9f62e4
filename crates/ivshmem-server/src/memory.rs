//! The region that a server shares: its source, and the proof that no other user controls it.

use std::fs::{self, File, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::file::{self, size_limit};
use ivshmem::sys::linux::lock::FileLock;

use crate::error::Error;
use crate::place::{Access, Place, Published, TRIES, Unpublished};
use crate::space;
use crate::sys::directory::{Identity, Purpose};
use crate::sys::lock::Locked;
use crate::sys::memory::{self, Length};
use crate::sys::{Errno, process};

/// Where the shared memory comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// Memory without a name, sealed so that no client can change its size. The host allocates each page on first access,
    /// as for a virtual machine's own memory.
    #[default]
    Sealed,
    /// The file with this path, in /dev/shm, on another tmpfs or on hugetlbfs. If the file is missing, the server creates
    /// it, allocates all of its space at once, and removes it when the server stops. The server uses an existing file of
    /// the right size with its content, gives an empty one its size, and removes neither. An existing file must belong to
    /// this user, to root or to the requested owner, and must not be readable or writable for users whom the requested mode
    /// excludes.
    ///
    /// A file cannot be sealed: users with write permission can truncate it, and an access beyond its end then kills the
    /// accessing process.
    Named(PathBuf),
    /// A file without a name in this directory, for example on hugetlbfs. All of its space is allocated at once.
    Unnamed(PathBuf),
}

/// Shared memory, held for one server.
#[derive(Debug)]
pub(crate) struct Region {
    file: File,
    /// A separate open file description that no client gets: a lock on the shared one would last as long as a client's
    /// descriptor.
    lock: Option<Locked>,
    /// Removed when the server stops.
    created: Option<Published>,
    /// Place and future size of an empty file, whose space is allocated.
    growing: Option<(Place, u64)>,
}

/// How long to wait for the lock of a program that is giving the file its size.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Region {
    /// Returns [`Error::Stopped`] when `stop` becomes readable while space is allocated.
    pub(crate) fn open(
        backing: &Backing,
        size: u64,
        prealloc: bool,
        access: Access,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Error> {
        let is_there = matches!(backing, Backing::Named(path) if fs::metadata(path).is_ok_and(|there| there.len() == size));
        match size_limit() {
            // Exceeding this limit does not only fail: the kernel ends the process.
            Some(limit) if size > limit && !is_there => return Err(Error::FileLimit { size, limit }),
            _ => {}
        }
        match backing {
            Backing::Sealed => Self::sealed(size, prealloc, stop),
            Backing::Named(path) => Self::named(path, size, access, stop),
            Backing::Unnamed(dir) => Self::unnamed(dir, size, stop),
        }
    }

    fn sealed(size: u64, prealloc: bool, stop: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let doing = || format!("creating {size} bytes of shared memory");
        let file = memory::memfd("ivshmem").map_err(Error::io(doing()))?;
        file.set_len(size).map_err(Error::io(doing()))?;
        if prealloc {
            space::take_of_host(&file, size, stop)?;
        }
        memory::seal(&file).map_err(Error::io("sealing the shared memory"))?;
        Ok(Self { file, lock: None, created: None, growing: None })
    }

    fn named(path: &Path, size: u64, access: Access, stop: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let place = Place::open(path)?;
        for _ in 0..TRIES {
            let found = find(&place)?;
            let region = match found {
                Some(file) => Self::found(&place, file, size, access, stop)?,
                None => Self::created(&place, size, access, stop)?,
            };
            if let Some(region) = region {
                return Ok(region);
            }
        }
        Err(Error::MemoryInUse(path.to_owned()))
    }

    /// Uses an existing file; `None` when it has lost its name meanwhile.
    fn found(
        place: &Place,
        file: File,
        size: u64,
        access: Access,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Self>, Error> {
        let path = place.path();
        let examine = || file.metadata().map_err(Error::io(format!("examining {}", path.display())));
        // Before taking its lock, which any user who may open the file can hold.
        if let Some(problem) = distrust(&examine()?, access, place.inherited_group()) {
            return Err(Error::NotTrusted { path: path.to_owned(), problem });
        }
        let lock = lock(&file, path)?;
        let stat = examine()?;
        // A server that has just stopped may have removed the file between the open and the lock.
        if !place.holds(Identity::of(&stat)) {
            return Ok(None);
        }
        let found = stat.len();
        if found != 0 && found != size {
            return Err(Error::WrongSize { path: path.to_owned(), found, asked: size });
        }
        space::check_pages(&file, path, size)?;
        let growing = (found == 0).then(|| (place.clone(), size));
        let region = Self { file, lock: Some(lock), created: None, growing };
        // An empty file keeps its size until nothing else can fail: the file could not be truncated again, as other
        // processes may have mapped it by then.
        let length = if found == 0 { Length::Kept } else { Length::Grows };
        space::take(&region.file, &file_system(path), size, length, stop)?;
        Ok(Some(region))
    }

    /// Creates a file. It gets its mode, its owner and its space before its name; `None` when another file has the name.
    fn created(
        place: &Place,
        size: u64,
        access: Access,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Self>, Error> {
        let path = place.path();
        let draft = place.draft()?.ok_or_else(|| Error::MemoryInUse(path.to_owned()))?;
        let creating = || format!("creating {}", path.display());
        let file = draft.create().map_err(Error::io(creating()))?;
        let lock = lock(&file, path)?;
        draft.set_access(access)?;
        space::check_pages(&file, path, size)?;
        space::take(&file, &file_system(path), size, Length::Grows, stop)?;
        match draft.publish() {
            Ok(published) => {
                Ok(Some(Self { file, lock: Some(lock), created: Some(published), growing: None }))
            }
            Err(Unpublished::Taken(_)) => Ok(None),
            Err(Unpublished::Failed(e)) => Err(Error::io(creating())(e)),
        }
    }

    fn unnamed(dir: &Path, size: u64, stop: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let creating = format!("creating a file in {}", dir.display());
        let file = memory::unnamed(dir).map_err(Error::io(creating))?;
        space::check_pages(&file, dir, size)?;
        space::take(&file, &file_system(dir), size, Length::Grows, stop)?;
        Ok(Self { file, lock: None, created: None, growing: None })
    }

    /// The last step of a start, after everything that can fail.
    pub(crate) fn growth(&self) -> Result<Growth, Error> {
        let Some((to, own)) = self.growing.clone().zip(self.lock.as_ref()) else { return Ok(Growth(None)) };
        let file = own.as_fd().try_clone_to_owned().map_err(Error::io("preparing the memory"))?;
        Ok(Growth(Some((file.into(), to))))
    }
}

/// Gives an empty file its size; its space is already allocated.
#[derive(Debug)]
#[must_use]
pub(crate) struct Growth(Option<(File, (Place, u64))>);

impl Growth {
    pub(crate) fn happen(self) -> Result<(), Error> {
        let Some((file, (place, asked))) = self.0 else { return Ok(()) };
        let (path, doing) = (place.path().to_owned(), || format!("giving the memory its {asked} bytes"));
        // A program that has created the file removes it under this lock when it fails. The server does not wait longer for
        // a program that keeps the lock.
        let _lock = FileLock::take(&file, TIMEOUT);
        file::lengthen(&file, asked).map_err(Error::io(doing()))?;
        let stat = file.metadata().map_err(Error::io(doing()))?;
        if !place.holds(Identity::of(&stat)) {
            let problem = "was removed by another program meanwhile; start the server again".to_owned();
            return Err(Error::NotTrusted { path, problem });
        }
        // A program that opened the file meanwhile may have given it a larger size.
        match stat.len() {
            found if found == asked => Ok(()),
            found => Err(Error::WrongSize { path, found, asked }),
        }
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(created) = &self.created {
            created.remove();
        }
        // Space beyond the end of an empty file is freed, unless a program that opened the file uses that space.
        if let (Some((_, size)), Some(own)) = (&self.growing, &self.lock)
            && let Ok(_lock) = FileLock::take(own, Duration::ZERO)
            && self.file.metadata().is_ok_and(|stat| stat.len() == 0)
        {
            file::punch_hole(&self.file, 0, *size);
        }
    }
}

/// Opens the file with this name, if there is one.
fn find(place: &Place) -> Result<Option<File>, Error> {
    let path = place.path();
    let opening = || format!("opening {}", path.display());
    let found = match place.find(Purpose::Writing) {
        Err(Errno::ISDIR | Errno::LOOP | Errno::NXIO) => return Err(Error::NotAFile(path.to_owned())),
        found => found.map_err(Error::io(opening()))?,
    };
    let Some(file) = found else { return Ok(None) };
    let stat = file.metadata().map_err(Error::io(opening()))?;
    if stat.is_file() { Ok(Some(file)) } else { Err(Error::NotAFile(path.to_owned())) }
}

/// Why users to whom this memory is closed could read or write an existing file; `None` when it is as safe as a new one.
/// `inherited` is the group that its directory gives to new files.
fn distrust(stat: &Metadata, access: Access, inherited: Option<u32>) -> Option<String> {
    let (uid, gid) = (stat.uid(), stat.gid());
    if ![Some(0), Some(process::user()), access.uid].contains(&Some(uid)) {
        return Some(format!(
            "belongs to user {uid}, not to this server's user; remove it, or ask for that owner"
        ));
    }
    // Read and write permission of the group and of others.
    let wider = stat.mode() & !access.mode & 0o066;
    if wider != 0 {
        let (mode, asked) = (stat.mode() & 0o777, access.mode);
        return Some(format!(
            "has mode 0{mode:03o}, wider than 0{asked:03o}; ask for mode 0{mode:03o}, or chmod it"
        ));
    }
    let asked = access.gid.or(inherited).unwrap_or(process::group());
    if asked != gid && stat.mode() & 0o060 != 0 {
        return Some(format!("belongs to group {gid}, not {asked}; chgrp it, or ask for that group"));
    }
    (stat.nlink() > 1).then(|| "has other names too; remove it or choose another name".to_owned())
}

/// Locks a file through an open file description of its own.
fn lock(file: &File, path: &Path) -> Result<Locked, Error> {
    let locking = || format!("locking {}", path.display());
    let own = file::reopen(file).map_err(Error::io(locking()))?;
    match Locked::take(own, Instant::now()) {
        Err(Errno::AGAIN) => Err(Error::MemoryInUse(path.to_owned())),
        lock => lock.map_err(Error::io(locking())),
    }
}

fn file_system(path: &Path) -> String {
    format!("the file system of {}", path.display())
}
