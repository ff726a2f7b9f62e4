//! Files that hold the memory.

use std::fs::File;
use std::path::Path;

use rustix::fs::{
    FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create,
};

use super::Errno;

/// What allocating space beyond a file's end does to its length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Grows,
    Kept,
}

/// Allocates the missing space of a range. Fails with EINTR if a signal interrupts it; callers may want to give up then.
pub(crate) fn allocate(file: &File, from: u64, len: u64, length: Length) -> Result<(), Errno> {
    let flags = match length {
        Length::Grows => FallocateFlags::empty(),
        Length::Kept => FallocateFlags::KEEP_SIZE,
    };
    fallocate(file, flags, from, len)
}

/// Creates a file in memory, which cannot be executed where the kernel supports that (Linux 6.3).
pub(crate) fn memfd(name: &str) -> Result<File, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create(name, flags));
    fd.map(File::from)
}

/// Makes the size and the seals of a file in memory permanent.
pub(crate) fn seal(memfd: &File) -> Result<(), Errno> {
    fcntl_add_seals(memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
}

/// Creates a file in this directory that only this user may open.
pub(crate) fn unnamed(directory: &Path) -> Result<File, Errno> {
    let how = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(directory, how, Mode::RUSR | Mode::WUSR).map(File::from)
}
