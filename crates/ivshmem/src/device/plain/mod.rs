#[cfg(target_os = "linux")]
mod open;

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{Device, OpenError};

/// Options for memory backed by a file; see [`plain`](crate::plain()).
#[derive(Debug)]
#[must_use = "nothing happens before open()"]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "plain memory exists on Linux only"))]
pub struct Plain {
    source: Source,
    size: Option<u64>,
    window: Option<(u64, u64)>,
    create_new: bool,
    no_link: bool,
    mode: Option<u32>,
    owner: (Option<u32>, Option<u32>),
    prefault: bool,
    huge_pages: bool,
    read_only: bool,
}

#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "plain memory exists on Linux only"))]
enum Source {
    Path(PathBuf),
    #[cfg(unix)]
    Fd(OwnedFd),
}

pub(crate) fn plain(path: &Path) -> Plain {
    Plain::new(Source::Path(path.to_path_buf()))
}

#[cfg(unix)]
pub(crate) fn plain_fd(fd: OwnedFd) -> Plain {
    Plain::new(Source::Fd(fd))
}

impl Plain {
    fn new(source: Source) -> Self {
        Self {
            source,
            size: None,
            window: None,
            create_new: false,
            no_link: false,
            mode: None,
            owner: (None, None),
            prefault: false,
            huge_pages: false,
            read_only: false,
        }
    }

    /// Sets the minimum size of the file in bytes. [`open`](Self::open) creates a missing file, extends a shorter one, and
    /// maps the whole of a longer one. Without a size, the file must exist.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Maps only `len` bytes from `offset` on. Use it for files larger than the address space, or to exclude the rest of the
    /// file. `offset` need not be aligned.
    pub fn window(mut self, offset: u64, len: u64) -> Self {
        self.window = Some((offset, len));
        self
    }

    /// Requires that the file does not exist yet.
    pub fn create_new(mut self) -> Self {
        self.create_new = true;
        self
    }

    /// Fails if the path is a symbolic link, instead of following it. In a directory where other users create files, such as
    /// /dev/shm, any user may have placed a link that makes another file grow. Links to parent directories are followed.
    pub fn no_link(mut self) -> Self {
        self.no_link = true;
        self
    }

    /// Sets the permission bits of a created file, 0 to 0o777. The umask does not apply. The default is 0o600.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sets the user and group of a created file, each 0 to 4,294,967,294. `None` keeps the system's default.
    pub fn owner(mut self, user: impl Into<Option<u32>>, group: impl Into<Option<u32>>) -> Self {
        self.owner = (user.into(), group.into());
        self
    }

    /// Makes all pages present on opening, and allocates space for the holes of the file. Later accesses neither wait for the
    /// system to provide a page nor fail because it has none.
    pub fn prefault(mut self) -> Self {
        self.prefault = true;
        self
    }

    /// Requests transparent huge pages. (Files on hugetlbfs always have huge pages.)
    pub fn huge_pages(mut self) -> Self {
        self.huge_pages = true;
        self
    }

    /// Opens the file for reading only: no file is created, and every write is an error. The device keeps a descriptor of the
    /// file, through which [`Memory::peek`](crate::region::Memory::peek) reads without filling holes.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Opens and maps the file.
    ///
    /// It allocates space for a new file and for the bytes by which a file grows, so a full file system is an error here and
    /// not a crash later. It does not change the existing part of a file. A file from another program may have holes, such as
    /// those from `truncate`; an access to one allocates a page, and raises SIGBUS if the system has none.
    /// [`prefault`](Self::prefault), or [`Memory::prefault`](crate::region::Memory::prefault) for a part, allocates these pages
    /// in advance or fails.
    ///
    /// Several programs may open one file at the same time, also with different sizes and while some of them fail: this
    /// never makes a file shorter, and sets its length only when the file has its space and is mapped. It holds a lock on the
    /// file (`F_OFD_SETLK`) while it creates or extends the file; if another program holds that lock, this takes up to a
    /// second longer.
    ///
    /// # Errors
    /// [`OpenError`], with the path, the value, the limit and the remedy in its text. A failure removes a file that this call
    /// created, and leaves a file that was to grow as long as before. But if the file already has its new length, because
    /// `prefault` fails or the file system cannot allocate space in advance, the file stays as it is: others may use it. On
    /// hugetlbfs, if the limit of a control group is reached while an existing file grows, the new pages stay allocated or
    /// reserved beyond its end until it is removed or truncated, also to the length that it has.
    #[cfg(target_os = "linux")]
    pub fn open(self) -> Result<Device, OpenError> {
        open::open(&self)
    }

    /// Opens and maps the file.
    ///
    /// # Errors
    /// Always [`OpenError::Unsupported`] on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn open(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "plain memory" })
    }
}
