//! The region that a server shares: its source, and the proof that no other user controls it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use ivshmem::sys::linux::file::{self, size_limit};
use ivshmem::sys::linux::lock::FileLock;
use ivshmem::sys::linux::mapping::Mapping;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    FallocateFlags, FileType, FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, Stat, fallocate,
    fcntl_add_seals, flock, fstat, fstatfs, ftruncate, memfd_create, open,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::Error;
use crate::builder::Access;
use crate::place::{Identity, Place, Published, Unpublished};

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
    fd: OwnedFd,
    /// A separate open file description that no client gets: a lock on the shared one would last as long as a client's
    /// descriptor.
    lock: Option<Lock>,
    /// Removed when the server stops.
    created: Option<Published>,
    /// Place and future size of an empty file, whose space is allocated.
    growing: Option<(Place, u64)>,
}

/// How long to wait for the lock of a program that is giving the file its size.
const PATIENCE: Duration = Duration::from_secs(1);
/// Attempts to get a name that other processes create and remove meanwhile.
const TRIES: usize = 100;

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
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("ivshmem", flags | MemfdFlags::NOEXEC_SEAL)
            // Before Linux 6.3 memory could not be sealed against execution.
            .or_else(|_| memfd_create("ivshmem", flags))
            .map_err(Error::io(doing()))?;
        ftruncate(&fd, size).map_err(Error::io(doing()))?;
        if prealloc {
            // Otherwise the kernel would allocate all memory and then kill a process, so check first.
            let available = available_memory()?;
            if size > available {
                return Err(Error::NoSpace { place: HOST.to_owned(), size, available });
            }
            take_space(&fd, HOST, size, FallocateFlags::empty(), stop)?;
        }
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(Error::io("sealing the shared memory"))?;
        Ok(Self { fd, lock: None, created: None, growing: None })
    }

    fn named(path: &Path, size: u64, access: Access, stop: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let place = Place::open(path)?;
        for _ in 0..TRIES {
            let found = find(&place)?;
            let region = match found {
                Some(fd) => Self::found(&place, fd, size, access, stop)?,
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
        fd: OwnedFd,
        size: u64,
        access: Access,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Self>, Error> {
        let path = place.path();
        let examine = || fstat(&fd).map_err(Error::io(format!("examining {}", path.display())));
        // Before taking its lock, which any user who may open the file can hold.
        if let Some(problem) = distrust(&examine()?, access, place.inherited_group()) {
            return Err(Error::NotTrusted { path: path.to_owned(), problem });
        }
        let lock = lock(&fd, path)?;
        let stat = examine()?;
        // A server that has just stopped may have removed the file between the open and the lock.
        if !place.holds(Identity::of(&stat)) {
            return Ok(None);
        }
        let found = u64::try_from(stat.st_size).unwrap_or(0);
        if found != 0 && found != size {
            return Err(Error::WrongSize { path: path.to_owned(), found, asked: size });
        }
        check_pages(&fd, path, size)?;
        let growing = (found == 0).then(|| (place.clone(), size));
        let region = Self { fd, lock: Some(lock), created: None, growing };
        // An empty file keeps its size until nothing else can fail: the file could not be truncated again, as other
        // processes may have mapped it by then.
        let flags = if found == 0 { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
        take_space(&region.fd, &file_system(path), size, flags, stop)?;
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
        let fd = draft.create().map_err(Error::io(creating()))?;
        let lock = lock(&fd, path)?;
        draft.set_access(access)?;
        check_pages(&fd, path, size)?;
        take_space(&fd, &file_system(path), size, FallocateFlags::empty(), stop)?;
        match draft.publish() {
            Ok(published) => Ok(Some(Self { fd, lock: Some(lock), created: Some(published), growing: None })),
            Err(Unpublished::Taken(_)) => Ok(None),
            Err(Unpublished::Failed(e)) => Err(Error::io(creating())(e)),
        }
    }

    fn unnamed(dir: &Path, size: u64, stop: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = open(dir, flags, Mode::RUSR | Mode::WUSR)
            .map_err(Error::io(format!("creating a file in {}", dir.display())))?;
        check_pages(&fd, dir, size)?;
        take_space(&fd, &file_system(dir), size, FallocateFlags::empty(), stop)?;
        Ok(Self { fd, lock: None, created: None, growing: None })
    }

    /// The last step of a start, after everything that can fail.
    pub(crate) fn growth(&self) -> Result<Growth, Error> {
        let Some((to, own)) = self.growing.clone().zip(self.lock.as_ref()) else { return Ok(Growth(None)) };
        let file = own.0.try_clone().map_err(Error::io("preparing the memory"))?;
        Ok(Growth(Some((file, to))))
    }
}

/// Gives an empty file its size; its space is already allocated.
#[derive(Debug)]
#[must_use]
pub(crate) struct Growth(Option<(OwnedFd, (Place, u64))>);

impl Growth {
    pub(crate) fn happen(self) -> Result<(), Error> {
        let Some((file, (place, asked))) = self.0 else { return Ok(()) };
        let (path, doing) = (place.path().to_owned(), || format!("giving the memory its {asked} bytes"));
        // A program that has created the file removes it under this lock when it fails. The server does not wait longer for
        // a program that keeps the lock.
        let _lock = FileLock::take(&file, PATIENCE);
        file::lengthen(&file, asked).map_err(Error::io(doing()))?;
        let stat = fstat(&file).map_err(Error::io(doing()))?;
        if !place.holds(Identity::of(&stat)) {
            let problem = "was removed by another program meanwhile; start the server again".to_owned();
            return Err(Error::NotTrusted { path, problem });
        }
        // A program that opened the file meanwhile may have given it a larger size.
        match u64::try_from(stat.st_size).unwrap_or(0) {
            found if found == asked => Ok(()),
            found => Err(Error::WrongSize { path, found, asked }),
        }
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(created) = &self.created {
            created.remove();
        }
        // Space beyond the end of an empty file is freed, unless a program that opened the file uses that space.
        if let (Some((_, size)), Some(own)) = (&self.growing, &self.lock)
            && let Ok(_lock) = FileLock::take(&own.0, Duration::ZERO)
            && fstat(&self.fd).is_ok_and(|stat| stat.st_size == 0)
        {
            file::punch_hole(&self.fd, 0, *size);
        }
    }
}

/// Opens the file with this name, if there is one.
fn find(place: &Place) -> Result<Option<OwnedFd>, Error> {
    let path = place.path();
    let opening = || format!("opening {}", path.display());
    let fd = match place.find(OFlags::RDWR | OFlags::NONBLOCK) {
        Ok(None) => return Ok(None),
        Ok(Some(fd)) => fd,
        Err(Errno::ISDIR | Errno::LOOP | Errno::NXIO) => return Err(Error::NotAFile(path.to_owned())),
        Err(e) => return Err(Error::io(opening())(e)),
    };
    let stat = fstat(&fd).map_err(Error::io(opening()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Some(fd)),
        _ => Err(Error::NotAFile(path.to_owned())),
    }
}

/// Why users to whom this memory is closed could read or write an existing file; `None` when it is as safe as a new one.
/// `inherited` is the group that its directory gives to new files.
fn distrust(stat: &Stat, access: Access, inherited: Option<u32>) -> Option<String> {
    let (uid, gid) = (stat.st_uid, stat.st_gid);
    if ![Some(0), Some(geteuid().as_raw()), access.uid].contains(&Some(uid)) {
        return Some(format!(
            "belongs to user {uid}, not to this server's user; remove it, or ask for that owner"
        ));
    }
    // Read and write permission of the group and of others.
    let wider = stat.st_mode & !access.mode & 0o066;
    if wider != 0 {
        let (mode, asked) = (stat.st_mode & 0o777, access.mode);
        return Some(format!(
            "has mode 0{mode:03o}, wider than 0{asked:03o}; ask for mode 0{mode:03o}, or chmod it"
        ));
    }
    let asked = access.gid.or(inherited).unwrap_or(getegid().as_raw());
    if asked != gid && stat.st_mode & 0o060 != 0 {
        return Some(format!("belongs to group {gid}, not {asked}; chgrp it, or ask for that group"));
    }
    (stat.st_nlink > 1).then(|| "has other names too; remove it or choose another name".to_owned())
}

/// A file that is locked while this value lives.
#[derive(Debug)]
struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // A thread that closes descriptors may have a copy of this descriptor, which would keep the lock.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn lock(fd: &OwnedFd, path: &Path) -> Result<Lock, Error> {
    let locking = || format!("locking {}", path.display());
    let own =
        open(format!("/proc/self/fd/{}", fd.as_raw_fd()), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::io(locking()))?;
    match flock(&own, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(own)),
        Err(Errno::WOULDBLOCK) => Err(Error::MemoryInUse(path.to_owned())),
        Err(e) => Err(Error::io(locking())(e)),
    }
}

/// Refuses a size that is not a multiple of the file system's page.
fn check_pages(fd: &OwnedFd, path: &Path, size: u64) -> Result<(), Error> {
    match huge_page(fd).map_err(Error::io(format!("examining {}", path.display())))? {
        Some(page) if page == 0 || !size.is_multiple_of(page) => {
            Err(Error::HugePage { path: path.to_owned(), page, size })
        }
        _ => Ok(()),
    }
}

/// Size in bytes of a page of hugetlbfs; `None` on other file systems.
fn huge_page(fd: &OwnedFd) -> io::Result<Option<u64>> {
    let system = fstatfs(fd)?;
    let is_huge = i128::from(system.f_type) & 0xffff_ffff == HUGETLBFS_MAGIC;
    Ok(is_huge.then(|| u64::try_from(system.f_bsize).unwrap_or(0)))
}

/// Allocates the space, so that a full file system is an error now and not a SIGBUS later. The file gets its size with it,
/// unless `flags` prevent that.
///
/// The space is allocated in pieces, because a blocked signal does not interrupt the kernel, which takes minutes for
/// hundreds of GiB.
fn take_space(
    fd: &OwnedFd,
    place: &str,
    size: u64,
    flags: FallocateFlags,
    stop: Option<BorrowedFd<'_>>,
) -> Result<(), Error> {
    let io = |e: io::Error| Error::io(format!("taking {size} bytes in {place}"))(e);
    let page = huge_page(fd).map_err(io)?;
    let go_on = |taken| {
        if stop.is_some_and(is_readable) { Err(Error::Stopped { taken, size }) } else { Ok(()) }
    };
    go_on(0)?;
    let before = available(fd, page).map_err(io)?;
    let no_space = |taken, reserved| {
        // After a failure, the kernel counts more huge pages as used than the file has.
        let now = if page.is_some() { before } else { available(fd, page).map_err(io)? };
        let available = if reserved { size } else { now.unwrap_or(taken) };
        Err(Error::NoSpace { place: place.to_owned(), size, available })
    };
    // Otherwise the pieces allocated before a failure would stay in a file that existed before. Only a control group's limit
    // of pages in use still has this effect: they cannot be freed, as other programs may have written to them by then.
    let reserved = match page {
        Some(_) => reserve(fd, size).map_err(io)?,
        None => before.is_some_and(|available| size > available).then_some(false),
    };
    if reserved == Some(false) {
        return no_space(0, false);
    }
    let mut from = 0;
    while from < size {
        go_on(from)?;
        let piece = (size - from).min(PIECE);
        match fallocate(fd, flags, from, piece) {
            Ok(()) => from += piece,
            // The call can be interrupted by an ignored signal, or by SIGSTOP and SIGCONT.
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::NOMEM) => return no_space(from, reserved == Some(true)),
            Err(e) => return Err(io(e.into())),
        }
    }
    Ok(())
}

/// Bytes that the file can have: those that it has, from this start or before, and those that are free; `None` where the
/// system does not report them.
fn available(fd: &OwnedFd, huge_page: Option<u64>) -> io::Result<Option<u64>> {
    let has = u64::try_from(fstat(fd)?.st_blocks).unwrap_or(0).saturating_mul(512);
    let free = match huge_page {
        Some(page) => file::free_huge_pages(fd, page)?,
        None => file::free_space(fd)?,
    };
    Ok(free.map(|free| has.saturating_add(free)))
}

/// Reserves huge pages for all holes of a file that existed with this size, and returns whether there were enough; if not,
/// none is reserved. (The number of free pages does not decide it, because it lacks pages reserved for this very file
/// before.) Returns `None` if it did not try.
///
/// A mapping reserves them. If the process lacks addresses for a mapping, nothing is reserved. Nothing is reserved for a
/// file without its size either: reserved pages beyond a file's end could not be freed, allocated ones can.
fn reserve(fd: &OwnedFd, size: u64) -> io::Result<Option<bool>> {
    let has_its_size = u64::try_from(fstat(fd)?.st_size) == Ok(size);
    let Some(len) = usize::try_from(size).ok().filter(|_| has_its_size) else { return Ok(None) };
    if Mapping::without_reserve(fd, 0, len, true).is_err() {
        return Ok(None);
    }
    match Mapping::new(fd, 0, len, true) {
        Err(e) if e.kind() == io::ErrorKind::OutOfMemory => Ok(Some(false)),
        mapped => mapped.map(|_| Some(true)),
    }
}

fn file_system(path: &Path) -> String {
    format!("the file system of {}", path.display())
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

const HOST: &str = "the host's memory";
/// Some hundredths of a second, and few system calls.
const PIECE: u64 = 64 << 20;
/// HUGETLBFS_MAGIC of linux/magic.h: 32 bits, in a field whose width and sign differ between architectures.
const HUGETLBFS_MAGIC: i128 = 0x9584_58f6;

/// Memory in bytes that the host can allocate without swapping.
fn available_memory() -> Result<u64, Error> {
    let doing = "reading /proc/meminfo";
    let text = fs::read_to_string("/proc/meminfo").map_err(Error::io(doing))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Error::Io {
        doing: doing.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, "no line MemAvailable"),
    })
}
