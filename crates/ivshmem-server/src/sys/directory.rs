//! Names in an open directory. Later changes of the directory's path do not affect them, and none follows a
//! link, except [`Name::set_mode`].

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, chmod, chmodat, chownat, fchmod, linkat, mkdirat, openat,
    renameat, renameat_with, statat, unlinkat,
};

use super::Errno;

/// A name in an open directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) directory: BorrowedFd<'a>,
    pub(crate) name: &'a OsStr,
}

/// Identifies a file independently of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// What a file is opened for. None of them waits for another process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// To examine it. Any file can be opened, also a socket.
    Examining,
    /// The same, for a directory only.
    ExaminingDirectory,
    Reading,
    Writing,
}

/// Opens a directory, for names in it. Needs no permission to read it.
pub(crate) fn open(path: &Path) -> Result<File, Errno> {
    let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, how, Mode::empty()).map(File::from)
}

/// Opens an examined directory for reading.
pub(crate) fn reopen(directory: &File) -> Result<OwnedFd, Errno> {
    openat(directory, ".", OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Sets the mode of an examined file.
pub(crate) fn set_mode(file: &File, mode: u32) -> Result<(), Errno> {
    #[expect(clippy::disallowed_methods, reason = "this is the name of what was opened, and of nothing else")]
    chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), Mode::from_raw_mode(mode))
}

impl Name<'_> {
    pub(crate) fn open(self, purpose: Purpose) -> Result<File, Errno> {
        let how = match purpose {
            Purpose::Examining => OFlags::PATH,
            Purpose::ExaminingDirectory => OFlags::PATH | OFlags::DIRECTORY,
            Purpose::Reading => OFlags::RDONLY | OFlags::NONBLOCK,
            Purpose::Writing => OFlags::RDWR | OFlags::NONBLOCK,
        };
        let how = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.directory, self.name, how, Mode::empty()).map(File::from)
    }

    /// Creates a file that only this user may open.
    pub(crate) fn create(self) -> Result<File, Errno> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(self.directory, self.name, how, Mode::empty())?;
        // Regardless of the umask.
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        Ok(file.into())
    }

    /// Creates a directory. The umask applies to its mode.
    pub(crate) fn create_directory(self, mode: u32) -> Result<(), Errno> {
        mkdirat(self.directory, self.name, Mode::from_raw_mode(mode))
    }

    pub(crate) fn identity(self) -> Result<Identity, Errno> {
        let stat = statat(self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
    }

    /// Sets the owner, the group, or both. No other process may be able to change the name.
    pub(crate) fn set_owner(self, user: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        #[expect(clippy::disallowed_methods, reason = "the caller excludes changes of the name")]
        chownat(self.directory, self.name, user, group, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets the mode, and follows a link. No other process may be able to change the name.
    pub(crate) fn set_mode(self, mode: u32) -> Result<(), Errno> {
        #[expect(clippy::disallowed_methods, reason = "the caller excludes changes of the name")]
        chmodat(self.directory, self.name, Mode::from_raw_mode(mode), AtFlags::empty())
    }

    /// Renames the object, and replaces an object with the new name.
    pub(crate) fn rename(self, to: Name<'_>) -> Result<(), Errno> {
        renameat(self.directory, self.name, to.directory, to.name)
    }

    /// Renames the object; fails with EEXIST if an object has the new name.
    pub(crate) fn rename_to_free(self, to: Name<'_>) -> Result<(), Errno> {
        renameat_with(self.directory, self.name, to.directory, to.name, RenameFlags::NOREPLACE)
    }

    /// Exchanges the names of two objects.
    pub(crate) fn exchange(self, with: Name<'_>) -> Result<(), Errno> {
        renameat_with(self.directory, self.name, with.directory, with.name, RenameFlags::EXCHANGE)
    }

    /// Gives the object a second name; fails with EEXIST if an object has that name.
    pub(crate) fn link(self, to: Name<'_>) -> Result<(), Errno> {
        linkat(self.directory, self.name, to.directory, to.name, AtFlags::empty())
    }

    pub(crate) fn remove(self) -> Result<(), Errno> {
        unlinkat(self.directory, self.name, AtFlags::empty())
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(self) -> Result<(), Errno> {
        unlinkat(self.directory, self.name, AtFlags::REMOVEDIR)
    }
}

impl Identity {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }
}
