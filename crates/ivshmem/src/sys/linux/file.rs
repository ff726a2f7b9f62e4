//! Files that are mapped: opening without side effects, what they are, and space for them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    FallocateFlags, FileType, Gid, Mode, OFlags, Uid, fallocate, fchmod, fchown, fstat, fstatfs, ftruncate,
};
use rustix::io::{Errno, pwrite};

/// The facts about an open file that matter for mapping it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What it is when it cannot be mapped, by its everyday name.
    pub oddity: Option<&'static str>,
    /// Length in bytes.
    pub len: u64,
    /// Bytes that have space already; less than `len` when the file has holes.
    pub allocated: u64,
    /// Offsets and lengths of mappings are multiples of this.
    pub page_size: u64,
    /// The kind of file system, as far as it matters.
    pub system: System,
    /// Which file it is: device and inode.
    pub identity: (u64, u64),
}

/// File systems that have rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Huge pages: the file's length is a multiple of the page size.
    Hugetlbfs,
    /// Windows to devices: the length is the device's, and a write is a command.
    Sysfs,
    /// All others.
    Ordinary,
}

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An existing file for reading.
    Read,
    /// An existing file for reading and writing.
    ReadWrite,
    /// A new file, or an error when the name is taken, be it by a link that leads nowhere.
    CreateNew,
}

/// Opens without waiting for anybody, whatever stands at the path. A new file is its owner's alone.
pub fn open(path: &Path, access: Access) -> io::Result<OwnedFd> {
    let how = match access {
        Access::Read => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
        Access::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
    };
    let always = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, how | always, Mode::RUSR | Mode::WUSR)?)
}

/// Whether this process may read and write what stands at the path, told without opening it.
pub fn may_use(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)?)
}

/// Finds out what a descriptor leads to.
pub fn facts(fd: &impl AsFd) -> io::Result<Facts> {
    const HUGETLBFS: i128 = 0x9584_58f6;
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
    })
}

/// Gives the file exactly these permissions; the process's umask takes none away.
pub fn set_mode(fd: &impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Gives the file to a user and a group.
pub fn set_owner(fd: &impl AsFd, user: u32, group: u32) -> io::Result<()> {
    Ok(fchown(fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?)
}

/// Makes the file `len` bytes long, all of them with space behind them.
pub fn grow(fd: &impl AsFd, old_len: u64, len: u64) -> io::Result<()> {
    match fill_holes(fd, 0, len) {
        // What the file system cannot promise is done by writing.
        Err(e) if Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => write_zeros(fd, old_len, len),
        result => result,
    }
}

/// Gives space to a range that has none yet, and keeps the bytes of what has.
pub fn fill_holes(fd: &impl AsFd, from: u64, len: u64) -> io::Result<()> {
    loop {
        match fallocate(fd, FallocateFlags::empty(), from, len) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Sets the length back.
pub fn shorten(fd: &impl AsFd, len: u64) -> io::Result<()> {
    Ok(ftruncate(fd, len)?)
}

/// Numbers of the kernel, whose width and sign differ between machines.
fn unsigned(number: impl Into<i128>) -> u64 {
    u64::try_from(number.into()).unwrap_or(0)
}

fn write_zeros(fd: &impl AsFd, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    while from < to {
        let some = usize::try_from(to - from).unwrap_or(usize::MAX).min(zeros.len());
        match pwrite(fd, &zeros[..some], from) {
            Ok(written) => from += written as u64,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
