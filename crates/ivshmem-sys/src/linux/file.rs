//! Files to map: opening them without side effects, their properties, and allocating space for them.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FallocateFlags, FileType, Gid, Mode, OFlags, SealFlags, SeekFrom, Uid, fallocate, fchmod,
    fchown, fcntl_get_seals, fstat, fstatfs, fstatvfs, openat, seek, statat, unlinkat,
};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use rustix::process::{Resource, geteuid, getrlimit};

/// The properties of an open file that matter for mapping it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The common name of its type, if a file of this type cannot be mapped.
    pub oddity: Option<&'static str>,
    /// Length in bytes.
    pub len: u64,
    /// The number of allocated bytes; less than `len` if the file has holes.
    pub allocated: u64,
    /// The page size in bytes. Offsets and lengths of mappings are multiples of it.
    pub page_size: u64,
    /// The kind of file system.
    pub system: System,
    /// Device and inode, which identify the file.
    pub identity: (u64, u64),
    /// The number of its hard links; 0 if it was removed while it was open.
    pub names: u64,
}

/// File systems with special rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Huge pages: the file's length is a multiple of the page size.
    Hugetlbfs,
    /// Device attributes: the device determines the length, and a write is a command.
    Sysfs,
    /// All others.
    Ordinary,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An existing file for reading.
    Read,
    /// An existing file for reading and writing.
    ReadWrite,
}

/// Opens an existing file without waiting for another process, whatever the type of the file at the path.
pub fn open(path: &Path, access: Access) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, access.flags() | ALWAYS, Mode::empty())?)
}

/// Like [`open`], but fails with ELOOP if the path is a symbolic link.
pub fn open_no_link(path: &Path, access: Access) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, access.flags() | OFlags::NOFOLLOW | ALWAYS, Mode::empty())?)
}

impl Access {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
        }
    }
}

/// HUGETLBFS_MAGIC of linux/magic.h.
const HUGETLBFS: i128 = 0x9584_58f6;

const ALWAYS: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A name in an open directory. Later changes of the directory's path do not affect it.
#[derive(Debug)]
pub struct Name {
    directory: OwnedFd,
    name: OsString,
}

impl Name {
    /// The last name of a path. A file with this name need not exist.
    pub fn of(path: &Path) -> io::Result<Self> {
        let text = path.as_os_str().as_encoded_bytes();
        let no_name = if text.is_empty() { Errno::NOENT } else { Errno::ISDIR };
        let name = path
            .file_name()
            .filter(|_| !text.ends_with(b"/") && !text.ends_with(b"/."))
            .ok_or(no_name)?
            .to_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory.unwrap_or(Path::new(".")), how, Mode::empty())?;
        Ok(Self { directory, name })
    }

    /// Creates a file that only its owner can access. Fails if the name exists, even as a dangling link.
    pub fn create(&self) -> io::Result<OwnedFd> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | ALWAYS;
        Ok(openat(&self.directory, &self.name, how, Mode::RUSR | Mode::WUSR)?)
    }

    /// Removes the name if it refers to the file with this device and inode.
    pub fn remove(&self, identity: (u64, u64)) -> io::Result<()> {
        let there = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if (unsigned(there.st_dev), unsigned(there.st_ino)) != identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(unlinkat(&self.directory, &self.name, AtFlags::empty())?)
    }
}

/// Whether this process may read and write the file at the path, without opening it.
pub fn may_use(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)?)
}

/// The properties of the file that a descriptor refers to.
pub fn facts(fd: &impl AsFd) -> io::Result<Facts> {
    const SYSFS: i128 = 0x6265_6572;
    let file = fstat(fd)?;
    let system = fstatfs(fd)?;
    let oddity = match FileType::from_raw_mode(file.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice => Some("a character device"),
        FileType::BlockDevice => Some("a block device"),
        _ => Some("no regular file"),
    };
    let kind = match i128::from(system.f_type) & 0xffff_ffff {
        HUGETLBFS => System::Hugetlbfs,
        SYSFS => System::Sysfs,
        _ => System::Ordinary,
    };
    Ok(Facts {
        oddity,
        len: unsigned(file.st_size),
        allocated: unsigned(file.st_blocks).saturating_mul(512),
        page_size: match kind {
            System::Hugetlbfs => unsigned(system.f_bsize),
            _ => rustix::param::page_size() as u64,
        },
        system: kind,
        identity: (unsigned(file.st_dev), unsigned(file.st_ino)),
        names: unsigned(file.st_nlink),
    })
}

/// Sets the file's permissions. The process's umask does not apply.
pub fn set_mode(fd: &impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Sets the file's owner, its group, or both.
pub fn set_owner(fd: &impl AsFd, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    Ok(fchown(fd, user.map(Uid::from_raw), group.map(Gid::from_raw))?)
}

/// The maximum size of a file that this process may create (RLIMIT_FSIZE), in bytes; `None` if there is no limit. Exceeding
/// it is not only an error: the kernel sends SIGXFSZ, which terminates the process.
pub fn size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Allocates space for the bytes from `from`, the file's length, up to `len`, and leaves the length unchanged, so that no
/// process maps bytes whose allocation may still fail. If it fails with ENOSPC, the file has no more space than before; with
/// a disk quota, and on hugetlbfs, space beyond the end may stay allocated.
///
/// Fails with EOPNOTSUPP if the file system does not support this.
pub fn take_space(fd: &impl AsFd, from: u64, len: u64) -> io::Result<()> {
    const TMPFS: i128 = 0x0102_1994;
    let from = from - from % rustix::param::page_size() as u64;
    // When it is full, a tmpfs releases what it has allocated, and a disk does not. The free space of hugetlbfs lacks the
    // pages that are reserved for this very file.
    let is_checked = !matches!(i128::from(fstatfs(fd)?.f_type) & 0xffff_ffff, TMPFS | HUGETLBFS);
    if is_checked && free_space(fd)?.is_some_and(|free| len - from > free) {
        return Err(if is_beyond(fd, len) { Errno::FBIG } else { Errno::NOSPC }.into());
    }
    allocate(fd, FallocateFlags::KEEP_SIZE, from, len - from)
}

/// Extends a shorter file to `len` bytes; never makes a file shorter. The new bytes have space if [`take_space`] has
/// allocated it. On a file system that does not support allocation, this writes zeroes.
pub fn lengthen(fd: &impl AsFd, len: u64) -> io::Result<()> {
    match allocate(fd, FallocateFlags::empty(), len - 1, 1) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => append_zeros(fd, len),
        result => result,
    }
}

/// Allocates space for the holes in a range, and keeps all bytes.
pub fn fill_holes(fd: &impl AsFd, from: u64, len: u64) -> io::Result<()> {
    allocate(fd, FallocateFlags::empty(), from, len)
}

/// Releases the space of a range, which then reads as zeroes. Ignores errors.
pub fn punch_hole(fd: &impl AsFd, from: u64, len: u64) {
    let _ = allocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, len);
}

fn allocate(fd: &impl AsFd, flags: FallocateFlags, from: u64, len: u64) -> io::Result<()> {
    loop {
        match fallocate(fd, flags, from, len) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Opens the file again for reading and writing, with its own position and its own locks.
pub fn reopen(fd: &impl AsFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    )?)
}

/// Whether `len` exceeds the maximum length of a file in the file system, regardless of free space.
fn is_beyond(fd: &impl AsFd, len: u64) -> bool {
    // Other processes may share the open file description, whose position must not change.
    let Ok(own) = reopen(fd) else { return false };
    seek(own, SeekFrom::Start(len)) == Err(Errno::INVAL)
}

/// The number of free bytes for this user, if the file system reports it.
pub fn free_space(fd: &impl AsFd) -> io::Result<Option<u64>> {
    let system = fstatvfs(fd)?;
    let blocks = if geteuid().is_root() { system.f_bfree } else { system.f_bavail };
    Ok((system.f_blocks != 0).then(|| blocks.saturating_mul(system.f_frsize)))
}

/// The number of bytes of huge pages of this size that a file on hugetlbfs can still get: those that are neither used nor
/// reserved, and those that the system may add on demand, within the limit of the mount. `None` if the system does not report
/// them. Pages that a mount reserves for itself (`min_size`) are not included, and the limit of a control group may be lower.
pub fn free_huge_pages(fd: &impl AsFd, page_size: u64) -> io::Result<Option<u64>> {
    let count = |name| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/{name}", page_size >> 10);
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    let pool = || {
        let free = count("free_hugepages")?.saturating_sub(count("resv_hugepages")?);
        let more = count("nr_overcommit_hugepages")?.saturating_sub(count("surplus_hugepages")?);
        Some(free.saturating_add(more).saturating_mul(page_size))
    };
    // A mount without its own limit can use the whole pool.
    Ok(free_space(fd)?.into_iter().chain(pool()).min())
}

/// The seals of a file in memory; none for other files.
pub fn seals(fd: &impl AsFd) -> SealFlags {
    fcntl_get_seals(fd).unwrap_or(SealFlags::empty())
}

/// Converts a number of the kernel, whose width and sign differ between architectures. A negative number becomes 0.
pub(super) fn unsigned(number: impl Into<i128>) -> u64 {
    u64::try_from(number.into()).unwrap_or(0)
}

/// Appends zeroes until the file has `len` bytes. It writes at the current end only, so bytes that another process has
/// written in the meantime stay.
fn append_zeros(fd: &impl AsFd, len: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    loop {
        let missing = len.saturating_sub(unsigned(fstat(fd)?.st_size));
        if missing == 0 {
            return Ok(());
        }
        let some = usize::try_from(missing).unwrap_or(usize::MAX).min(zeros.len());
        match pwritev2(fd, &[IoSlice::new(&zeros[..some])], 0, ReadWriteFlags::APPEND) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_name_stays_in_its_directory_when_another_one_takes_the_path() {
        let place = tempfile::tempdir().unwrap();
        let [path, moved, other] = ["path", "moved", "other"].map(|name| place.path().join(name));
        for directory in [&path, &other] {
            std::fs::create_dir(directory).unwrap();
        }
        let name = Name::of(&path.join("file")).unwrap();
        let file = name.create().unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        // Both names refer to the same file, so that only the directory distinguishes them.
        std::fs::hard_link(moved.join("file"), other.join("file")).unwrap();
        name.remove(facts(&file).unwrap().identity).unwrap();
        assert_eq!((moved.join("file").exists(), other.join("file").exists()), (false, true));
    }

    #[test]
    fn a_name_of_something_else_is_not_removed_and_a_directory_is_no_name_for_a_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let name = Name::of(&path).unwrap();
        let file = name.create().unwrap();
        assert_eq!(name.create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        // Keep both files: a new file may get the inode of a removed one.
        std::fs::rename(&path, place.path().join("first")).unwrap();
        std::fs::write(&path, "another").unwrap();
        assert!(name.remove(facts(&file).unwrap().identity).is_err());
        assert!(path.exists());
        for path in ["/", "a/..", "a/", "a/."] {
            assert_eq!(Name::of(Path::new(path)).unwrap_err().raw_os_error(), Some(libc::EISDIR), "{path}");
        }
    }

    #[test]
    fn space_is_taken_without_a_length_and_a_length_never_shrinks() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"here", 0).unwrap();
        take_space(&file, 4, 1 << 20).unwrap();
        let taken = facts(&file).unwrap();
        assert_eq!(taken.len, 4);
        assert!(taken.allocated >= 1 << 20, "{taken:?}");
        for (len, wanted) in
            [(1 << 20, 1 << 20), (4096, 1 << 20), (1, 1 << 20), ((1 << 20) + 1, (1 << 20) + 1)]
        {
            lengthen(&file, len).unwrap();
            assert_eq!(facts(&file).unwrap().len, wanted);
        }
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"here");
    }

    #[test]
    fn zeros_are_written_behind_the_end_only() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"here", 0).unwrap();
        append_zeros(&file, (2 << 20) + 1).unwrap();
        append_zeros(&file, 3).unwrap();
        assert_eq!(facts(&file).unwrap().len, (2 << 20) + 1);
        let mut bytes = [1; 5];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"here\0");
    }
}
