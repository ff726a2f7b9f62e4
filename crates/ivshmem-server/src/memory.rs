//! The region that a server shares: where it comes from, and that it is nobody else's.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ivshmem::sys::linux::file::size_limit;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, fallocate,
    fchmod, fcntl_add_seals, flock, fstat, fstatfs, fstatvfs, ftruncate, memfd_create, open, statat,
};
use rustix::io::Errno;

use crate::Error;
use crate::builder::Access;

/// Where the shared memory comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// Memory without a name, sealed so that no client can change its size. Pages are taken from the host when they are
    /// first touched, as with a virtual machine's own memory.
    #[default]
    Sealed,
    /// The file with this path, in /dev/shm, on another tmpfs or on hugetlbfs. Created when it is missing or empty, and
    /// then all of its space is taken at once; one that this server created is removed when the server stops. One that
    /// has the right size is used with what stands in it and stays.
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
    _lock: Option<OwnedFd>,
    /// To be removed when the server stops.
    created: Option<Created>,
}

#[derive(Debug)]
struct Created {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Region {
    pub(crate) fn open(backing: &Backing, size: u64, prealloc: bool, access: Access) -> Result<Self, Error> {
        let is_there = matches!(backing, Backing::Named(path) if fs::metadata(path).is_ok_and(|there| there.len() == size));
        match size_limit() {
            // The kernel would not only refuse: it ends the process.
            Some(limit) if size > limit && !is_there => return Err(Error::FileLimit { size, limit }),
            _ => {}
        }
        match backing {
            Backing::Sealed => Self::sealed(size, prealloc),
            Backing::Named(path) => Self::named(path, size, access),
            Backing::Unnamed(dir) => Self::unnamed(dir, size),
        }
    }

    fn sealed(size: u64, prealloc: bool) -> Result<Self, Error> {
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
                return Err(Error::NoSpace { place: "the host's memory".to_owned(), size, available });
            }
            fallocate(&fd, FallocateFlags::empty(), 0, size).map_err(Error::io(doing()))?;
        }
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(Error::io("sealing the shared memory"))?;
        Ok(Self { fd, _lock: None, created: None })
    }

    fn named(path: &Path, size: u64, access: Access) -> Result<Self, Error> {
        loop {
            let (fd, is_new) = open_or_create(path, access)?;
            let lock = lock(&fd, path)?;
            let stat = fstat(&fd).map_err(Error::io(format!("examining {}", path.display())))?;
            // A server that stopped just now may have removed the file between our opening and our locking it.
            match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(now) if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) => {}
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(e) => return Err(Error::io(format!("examining {}", path.display()))(e)),
            }
            let created =
                is_new.then(|| Created { path: path.to_owned(), device: stat.st_dev, inode: stat.st_ino });
            // From here on what we created goes away again if anything fails.
            let region = Self { fd, _lock: Some(lock), created };
            let found = u64::try_from(stat.st_size).unwrap_or(0);
            if found != 0 && found != size {
                return Err(Error::WrongSize { path: path.to_owned(), found, asked: size });
            }
            allocate(&region.fd, path, size)?;
            return Ok(region);
        }
    }

    fn unnamed(dir: &Path, size: u64) -> Result<Self, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = open(dir, flags, Mode::RUSR | Mode::WUSR)
            .map_err(Error::io(format!("creating a file in {}", dir.display())))?;
        allocate(&fd, dir, size)?;
        Ok(Self { fd, _lock: None, created: None })
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
            remove_if_same(&created.path, created.device, created.inode);
        }
    }
}

/// Removes a file unless somebody has put another one in its place.
pub(crate) fn remove_if_same(path: &Path, device: u64, inode: u64) {
    let same = fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (device, inode));
    if same && let Err(error) = fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

/// The open file, and whether it was created just now.
fn open_or_create(path: &Path, access: Access) -> Result<(OwnedFd, bool), Error> {
    let opening = || format!("opening {}", path.display());
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    loop {
        match open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::empty()) {
            Ok(fd) => {
                // Whatever the umask says.
                fchmod(&fd, Mode::from_raw_mode(access.mode)).map_err(Error::io(opening()))?;
                if let Some(giving) = access.giving(path) {
                    std::os::unix::fs::fchown(&fd, access.uid, access.gid).map_err(Error::io(giving))?;
                }
                return Ok((fd, true));
            }
            Err(Errno::EXIST) => {}
            Err(e) => return Err(Error::io(opening())(e)),
        }
        match open(path, flags, Mode::empty()) {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(Error::io(opening()))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Error::NotAFile(path.to_owned()));
                }
                return Ok((fd, false));
            }
            Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::LOOP | Errno::NXIO) => return Err(Error::NotAFile(path.to_owned())),
            Err(e) => return Err(Error::io(opening())(e)),
        }
    }
}

fn lock(fd: &OwnedFd, path: &Path) -> Result<OwnedFd, Error> {
    let locking = || format!("locking {}", path.display());
    let own =
        open(format!("/proc/self/fd/{}", fd.as_raw_fd()), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::io(locking()))?;
    match flock(&own, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(own),
        Err(Errno::WOULDBLOCK) => Err(Error::MemoryInUse(path.to_owned())),
        Err(e) => Err(Error::io(locking())(e)),
    }
}

/// Gives a file its size and takes the space, so that a full file system is an error now and not a SIGBUS later.
fn allocate(fd: &OwnedFd, path: &Path, size: u64) -> Result<(), Error> {
    let doing = || format!("taking {size} bytes for {}", path.display());
    let filesystem = fstatfs(fd).map_err(Error::io(doing()))?;
    if i128::from(filesystem.f_type) & 0xffff_ffff == HUGETLBFS_MAGIC {
        let page = u64::try_from(filesystem.f_bsize).unwrap_or(0);
        if page == 0 || !size.is_multiple_of(page) {
            return Err(Error::HugePage { path: path.to_owned(), page, size });
        }
    }
    let stat = fstat(fd).map_err(Error::io(doing()))?;
    if stat.st_size == 0 {
        ftruncate(fd, size).map_err(Error::io(doing()))?;
    }
    match fallocate(fd, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::NOMEM) => {
            let space = fstatvfs(fd).map_err(Error::io(doing()))?;
            let available = space.f_bavail.saturating_mul(space.f_frsize);
            Err(Error::NoSpace { place: format!("the file system of {}", path.display()), size, available })
        }
        Err(e) => Err(Error::io(doing())(e)),
    }
}

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
