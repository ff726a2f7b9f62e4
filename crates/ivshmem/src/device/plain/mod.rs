#[cfg(target_os = "linux")]
mod open;

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{Device, OpenError};

/// Options for memory that is a file: see [`plain`](crate::plain()).
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

    /// The least size of the file in bytes. A file that does not exist is created, a shorter one grows, and of a
    /// longer one all is mapped. Without a size the file has to exist.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Maps only `len` bytes from `offset` on: for files larger than the address space, or to keep the rest away.
    /// Any offset will do.
    ///
    /// On hugetlbfs, what a file grows by has to fit into the address space all the same: one mapping reserves its pages, all
    /// or none. A file that has its length already does not grow.
    pub fn window(mut self, offset: u64, len: u64) -> Self {
        self.window = Some((offset, len));
        self
    }

    /// The file must not exist yet.
    pub fn create_new(mut self) -> Self {
        self.create_new = true;
        self
    }

    /// The path must not be a link: that is an error, and it is not followed. In a directory where others make files as well, such
    /// as /dev/shm, anybody may have put one there, and another file would grow. Links to directories on the way are followed.
    pub fn no_link(mut self) -> Self {
        self.no_link = true;
        self
    }

    /// Permission bits of the file when it is created, 0 to 0o777, exactly these: the umask takes none away. 0o600 without.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// User and group of the file when it is created, each 0 to 4,294,967,294; `None` leaves one as the system has it.
    pub fn owner(mut self, user: impl Into<Option<u32>>, group: impl Into<Option<u32>>) -> Self {
        self.owner = (user.into(), group.into());
        self
    }

    /// Makes all pages present at once, so that no access waits for the system later, or fails because it has no more:
    /// holes of the file get their space.
    pub fn prefault(mut self) -> Self {
        self.prefault = true;
        self
    }

    /// Asks the system for transparent huge pages. (Files on hugetlbfs have huge pages anyway.)
    pub fn huge_pages(mut self) -> Self {
        self.huge_pages = true;
        self
    }

    /// Opens for reading only: nothing is created, and every write is an error. The device keeps a descriptor of the file,
    /// by which [`Memory::peek`](crate::region::Memory::peek) looks without filling holes.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Opens for reading only, and leaves holes as they are even if `prefault` was said.
    pub(super) fn for_looking(mut self) -> Self {
        self.prefault = false;
        self.read_only()
    }

    /// Opens and maps the file.
    ///
    /// What is created, and what a file grows by, gets its space now: a full file system is an error here and not a crash
    /// later. What is there already stays as it is. A file that somebody else made may have holes, as `truncate` leaves
    /// them; touching one takes a page, and raises SIGBUS when the system has no more. [`prefault`](Self::prefault), or
    /// [`Memory::prefault`](crate::region::Memory::prefault) for a part, takes them now or is an error.
    ///
    /// Programs may open one file at the same time, also with different sizes and while some of them fail: a file never
    /// becomes shorter here, and its length shows when it has its space and is mapped. Who creates or grows a file has a
    /// lock on it meanwhile (`F_OFD_SETLK`); when another program keeps that lock, this takes up to a second longer.
    ///
    /// # Errors
    /// [`OpenError`], with the path, the value, the limit and the remedy in its text. A file that was created for this
    /// is removed again, and one that was to grow is as long as before. When its length shows already, as when prefault
    /// fails or where the file system cannot take space beforehand, the file stays: others may use it.
    #[cfg(target_os = "linux")]
    pub fn open(self) -> Result<Device, OpenError> {
        open::open(&self)
    }

    /// Opens and maps the file.
    ///
    /// # Errors
    /// Always, on this system: [`OpenError::Unsupported`].
    #[cfg(not(target_os = "linux"))]
    pub fn open(self) -> Result<Device, OpenError> {
        Err(OpenError::Unsupported { what: "plain memory" })
    }
}
