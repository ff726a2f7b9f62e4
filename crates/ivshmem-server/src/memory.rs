//! The region that a server shares: where it comes from, and that it is nobody else's.

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
    /// Memory without a name, sealed so that no client can change its size. Pages are taken from the host when they are
    /// first touched, as with a virtual machine's own memory.
    #[default]
    Sealed,
    /// The file with this path, in /dev/shm, on another tmpfs or on hugetlbfs. Created when it is missing, and then all of
    /// its space is taken at once; one that this server created is removed when the server stops. One that has the right
    /// size is used with what stands in it, one that is empty gets its size, and both stay. Those must belong to this
    /// user, to root or to the owner asked for, and be readable and writable for nobody whom the mode asked for leaves
    /// out.
    ///
    /// It cannot be sealed: who may write to it may also cut it short, which kills whoever touches it then.
    Named(PathBuf),
    /// A file without a name in this directory, for instance on hugetlbfs. All of its space is taken at once.
    Unnamed(PathBuf),
}

/// Shared memory, held for one server.
#[derive(Debug)]
pub(crate) struct Region {
    fd: OwnedFd,
    /// An open file of its own that no client ever gets: a lock on the shared one would live on in the clients.
    lock: Option<Lock>,
    /// To be removed when the server stops.
    created: Option<Published>,
    /// An empty file's place, and the size that it is to get; its space is taken.
    growing: Option<(Place, u64)>,
}

/// For the lock of programs that are about to give the file its size.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of names that come and go.
const TRIES: usize = 100;

impl Region {
    /// Gives up with [`Error::Stopped`] when `stop` is readable while space is taken.
    pub(crate) fn open(
        backing: &Backing,
        size: u64,
        prealloc: bool,
        access: Access,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Error> {
        let is_there = matches!(backing, Backing::Named(path) if fs::metadata(path).is_ok_and(|there| there.len() == size));
        match size_limit() {
            // The kernel would not only refuse: it ends the process.
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
            // The kernel would hand out all there is and then kill somebody, so ask before.
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

    /// A file that is there already; `None` when it has lost its name meanwhile.
    fn found(
        place: &Place,
        fd: OwnedFd,
        size: u64,
        access: Access,
        stop: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Self>, Error> {
        let path = place.path();
        let examine = || fstat(&fd).map_err(Error::io(format!("examining {}", path.display())));
        // Before its lock, which somebody who may open it can hold.
        if let Some(problem) = distrust(&examine()?, access, place.inherited_group()) {
            return Err(Error::NotTrusted { path: path.to_owned(), problem });
        }
        let lock = lock(&fd, path)?;
        let stat = examine()?;
        // A server that stopped just now may have removed it between our opening and our locking it.
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
        // An empty file keeps its size until nothing can fail any more: it could not be made shorter again, as others may
        // have mapped it by then.
        let flags = if found == 0 { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
        take_space(&region.fd, &file_system(path), size, flags, stop)?;
        Ok(Some(region))
    }

    /// A new file, which has its mode, its owner and its space before it has its name; `None` when another one has the name.
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

    /// What is left to be done when nothing else can fail.
    pub(crate) fn growth(&self) -> Result<Growth, Error> {
        let Some((to, own)) = self.growing.clone().zip(self.lock.as_ref()) else { return Ok(Growth(None)) };
        let file = own.0.try_clone().map_err(Error::io("preparing the memory"))?;
        Ok(Growth(Some((file, to))))
    }
}

/// A file that was empty gets its size; its space is taken already.
#[derive(Debug)]
#[must_use]
pub(crate) struct Growth(Option<(OwnedFd, (Place, u64))>);

impl Growth {
    pub(crate) fn happen(self) -> Result<(), Error> {
        let Some((file, (place, asked))) = self.0 else { return Ok(()) };
        let (path, doing) = (place.path().to_owned(), || format!("giving the memory its {asked} bytes"));
        // Under this lock a program that has created the file removes it when it fails. One who keeps the lock is not
        // waited for any longer.
        let _lock = FileLock::take(&file, PATIENCE);
        file::lengthen(&file, asked).map_err(Error::io(doing()))?;
        let stat = fstat(&file).map_err(Error::io(doing()))?;
        if !place.holds(Identity::of(&stat)) {
            let problem = "was removed by another program meanwhile; start the server again".to_owned();
            return Err(Error::NotTrusted { path, problem });
        }
        // A program that opened it meanwhile may have asked for more.
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
        // Space beyond the end of an empty file goes back, unless a program that opened it uses that space.
        if let (Some((_, size)), Some(own)) = (&self.growing, &self.lock)
            && let Ok(_lock) = FileLock::take(&own.0, Duration::ZERO)
            && fstat(&self.fd).is_ok_and(|stat| stat.st_size == 0)
        {
            file::punch_hole(&self.fd, 0, *size);
        }
    }
}

/// Opens the file that has the name, if there is one.
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

/// Why a file that is there already could be read or written by somebody for whom this memory is not; `None` when it is
/// as safe as a new one would be. `inherited` is the group that its directory gives to new files.
fn distrust(stat: &Stat, access: Access, inherited: Option<u32>) -> Option<String> {
    let (uid, gid) = (stat.st_uid, stat.st_gid);
    if ![Some(0), Some(geteuid().as_raw()), access.uid].contains(&Some(uid)) {
        return Some(format!(
            "belongs to user {uid}, not to this server's user; remove it, or ask for that owner"
        ));
    }
    // Reading and writing by the group and by all others.
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

/// A file that is locked for as long as this lives.
#[derive(Debug)]
struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // A thread that closes descriptors may have a copy of this one, which would keep the lock.
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

/// Refuses a size that the file system's pages cannot make up.
fn check_pages(fd: &OwnedFd, path: &Path, size: u64) -> Result<(), Error> {
    match huge_page(fd).map_err(Error::io(format!("examining {}", path.display())))? {
        Some(page) if page == 0 || !size.is_multiple_of(page) => {
            Err(Error::HugePage { path: path.to_owned(), page, size })
        }
        _ => Ok(()),
    }
}

/// Bytes of a page of hugetlbfs; `None` on other file systems.
fn huge_page(fd: &OwnedFd) -> io::Result<Option<u64>> {
    let system = fstatfs(fd)?;
    let is_huge = i128::from(system.f_type) & 0xffff_ffff == HUGETLBFS_MAGIC;
    Ok(is_huge.then(|| u64::try_from(system.f_bsize).unwrap_or(0)))
}

/// Takes the space, so that a full file system is an error now and not a SIGBUS later. The file gets its size with it,
/// unless the flags say otherwise.
///
/// In pieces, since a signal that is blocked does not interrupt the kernel, which needs minutes for hundreds of GiB.
fn take_space(
    fd: &OwnedFd,
    place: &str,
    size: u64,
    flags: FallocateFlags,
    stop: Option<BorrowedFd<'_>>,
) -> Result<(), Error> {
    let io = |e: io::Error| Error::io(format!("taking {size} bytes in {place}"))(e);
    let page = huge_page(fd).map_err(io)?;
    let no_space = |taken| match available(fd, page) {
        Ok(available) => {
            Error::NoSpace { place: place.to_owned(), size, available: available.unwrap_or(taken) }
        }
        Err(e) => io(e),
    };
    let go_on = |taken| {
        if stop.is_some_and(is_readable) { Err(Error::Stopped { taken, size }) } else { Ok(()) }
    };
    go_on(0)?;
    // All or nothing: the pieces taken before one that fails would stay in a file that was there already.
    let fits = match page {
        Some(_) => reserve(fd, size).map_err(io)?,
        None => available(fd, page).map_err(io)?.is_none_or(|available| size <= available),
    };
    if !fits {
        return Err(no_space(0));
    }
    let mut from = 0;
    while from < size {
        go_on(from)?;
        let piece = (size - from).min(PIECE);
        match fallocate(fd, flags, from, piece) {
            Ok(()) => from += piece,
            // An ignored signal, or SIGSTOP and SIGCONT, can interrupt the call.
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::NOMEM) => return Err(no_space(from)),
            Err(e) => return Err(io(e.into())),
        }
    }
    Ok(())
}

/// Bytes that the file can have: what it has, be it from this start, and what is free; `None` where the system does not say.
fn available(fd: &OwnedFd, huge_page: Option<u64>) -> io::Result<Option<u64>> {
    let has = u64::try_from(fstat(fd)?.st_blocks).unwrap_or(0).saturating_mul(512);
    let free = file::free_space(fd)?;
    let free = match huge_page {
        // Without a limit of its own a mount can have all of the pool.
        Some(page) => free.into_iter().chain(free_huge_pages(page)).min(),
        None => free,
    };
    Ok(free.map(|free| has.saturating_add(free)))
}

/// Bytes of the system's huge pages of this size that nobody has or has reserved.
fn free_huge_pages(page: u64) -> Option<u64> {
    let count = |name| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/{name}", page >> 10);
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    Some(count("free_hugepages")?.saturating_sub(count("resv_hugepages")?).saturating_mul(page))
}

/// Whether there are huge pages for all holes of a file that was there with this size; they are reserved for the file then, and
/// otherwise none is. (Free pages do not tell: those reserved for this very file before are not among them.)
///
/// A mapping does it. Where the process has no addresses for one, nothing is reserved. Nor is it for a file without its size: what
/// is reserved behind a file's end could not be given back, what is taken there can.
fn reserve(fd: &OwnedFd, size: u64) -> io::Result<bool> {
    let has_its_size = u64::try_from(fstat(fd)?.st_size) == Ok(size);
    let Some(len) = usize::try_from(size).ok().filter(|_| has_its_size) else { return Ok(true) };
    if Mapping::without_reserve(fd, 0, len, true).is_err() {
        return Ok(true);
    }
    match Mapping::new(fd, 0, len, true) {
        Err(e) if e.kind() == io::ErrorKind::OutOfMemory => Ok(false),
        mapped => mapped.map(|_| true),
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
/// HUGETLBFS_MAGIC of linux/magic.h: 32 bits, in a field whose width and sign differ between machines.
const HUGETLBFS_MAGIC: i128 = 0x9584_58f6;

/// Bytes that the host can give without pushing anything out to swap.
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
