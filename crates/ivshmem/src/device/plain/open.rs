//! Opening on Linux: find or create the file, give it space, map it; and put everything back when a step fails.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{Plain, Source};
use crate::device::pci::cache_mode_of;
use crate::device::{Device, DeviceKind, OpenError};
use crate::region::{CacheMode, Memory, Region};
use crate::sys::linux::file::{self, Access, Facts, System};
use crate::sys::linux::mapping::Mapping;

pub(super) fn open(options: &Plain) -> Result<Device, OpenError> {
    let request = Request { options, path: name(&options.source) };
    request.check_options()?;
    let mut undo = Undo::default();
    let memory = request.open(&mut undo)?;
    undo.keep();
    Ok(Device { kind: DeviceKind::Plain, memory, doorbell: None, guest: None })
}

struct Request<'a> {
    options: &'a Plain,
    /// What error texts call the file.
    path: PathBuf,
}

impl Request<'_> {
    /// What needs no look at the file.
    fn check_options(&self) -> Result<(), OpenError> {
        let options = self.options;
        let problem = match options {
            Plain { create_new: true, read_only: true, .. } => "create_new and read_only exclude each other",
            Plain { create_new: true, size: None, .. } => "create_new needs a size",
            Plain { create_new: true, source: Source::Fd(_), .. } => {
                "create_new needs a path, not a descriptor"
            }
            _ => {
                return match options.size {
                    Some(size) if size == 0 => {
                        Err(self.bad_size(size, "is no memory; give at least 1".into()))
                    }
                    Some(size) if i64::try_from(size).is_err() => {
                        Err(self.bad_size(size, format!("is above the largest of any file, {}", i64::MAX)))
                    }
                    _ => Ok(()),
                };
            }
        };
        Err(OpenError::BadOption { path: self.path.clone(), problem })
    }

    fn open(&self, undo: &mut Undo) -> Result<Memory, OpenError> {
        let owned;
        let fd = match &self.options.source {
            Source::Fd(fd) => fd,
            Source::Path(path) => {
                owned = self.find_or_create(path, undo)?;
                &owned
            }
        };
        let facts = file::facts(fd).map_err(|e| self.failed("look at", e))?;
        if let Some(what) = facts.oddity {
            return Err(OpenError::NotMappable { path: self.path.clone(), what });
        }
        let size = self.size(facts)?;
        let part = self.part(facts, size)?;
        self.make_room(fd, facts, size, part, undo)?;
        self.map(fd, facts, part)
    }

    fn find_or_create(&self, path: &Path, undo: &mut Undo) -> Result<OwnedFd, OpenError> {
        let access = if self.options.read_only { Access::Read } else { Access::ReadWrite };
        if !self.options.create_new {
            match file::open(path, access) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                result => return result.map_err(|e| self.failed("open", e)),
            }
            if let Ok(target) = std::fs::read_link(path) {
                return Err(OpenError::DanglingLink { path: self.path.clone(), target });
            }
            if self.options.size.is_none() || self.options.read_only {
                return Err(OpenError::Missing { path: self.path.clone() });
            }
        }
        let fd = match file::open(path, Access::CreateNew) {
            Ok(fd) => fd,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(Path::new("")).to_path_buf();
                return Err(OpenError::NoDirectory { path: self.path.clone(), parent });
            }
            // Somebody else created it between our two looks: then theirs is the file.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && !self.options.create_new => {
                return file::open(path, access).map_err(|e| self.failed("open", e));
            }
            Err(e) => return Err(self.failed("create", e)),
        };
        undo.created(path, &fd);
        file::set_mode(&fd, self.options.mode.unwrap_or(0o600))
            .map_err(|e| self.failed("set the mode of", e))?;
        if let Some((user, group)) = self.options.owner {
            file::set_owner(&fd, user, group).map_err(|e| self.failed("set the owner of", e))?;
        }
        Ok(fd)
    }

    /// The size that the file has to have.
    fn size(&self, facts: Facts) -> Result<u64, OpenError> {
        let size = self.options.size.unwrap_or(0).max(facts.len);
        if size == 0 {
            return Err(
                self.bad_size(0, "is no memory; the file is empty, give a size to make it grow".into())
            );
        }
        if facts.system == System::Hugetlbfs && !size.is_multiple_of(facts.page_size) {
            let page = facts.page_size;
            let next = size.next_multiple_of(page);
            return Err(
                self.bad_size(size, format!("is not a multiple of the huge page size {page}; take {next}"))
            );
        }
        if size > facts.len && (self.options.read_only || facts.system == System::Sysfs) {
            let problem = format!("is more than the file's {}, and it cannot grow", facts.len);
            return Err(self.bad_size(size, problem));
        }
        Ok(size)
    }

    /// The part of the file to map.
    fn part(&self, facts: Facts, size: u64) -> Result<Part, OpenError> {
        let (offset, len) = self.options.window.unwrap_or((0, size));
        if len == 0 || offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(OpenError::BadWindow { path: self.path.clone(), offset, len, size });
        }
        let before = offset % facts.page_size;
        let mapped = (before + len).next_multiple_of(facts.page_size);
        match isize::try_from(mapped) {
            Ok(mapped) => Ok(Part { offset, len, before, mapped: mapped.unsigned_abs() }),
            Err(_) => {
                let limit = isize::MAX;
                Err(self.bad_size(
                    len,
                    format!("is above what the address space can take, {limit}; map a window"),
                ))
            }
        }
    }

    /// Gives the file its size, and space to what will be mapped.
    fn make_room(
        &self,
        fd: &OwnedFd,
        facts: Facts,
        size: u64,
        part: Part,
        undo: &mut Undo,
    ) -> Result<(), OpenError> {
        if size > facts.len {
            undo.grown(fd, facts.len).map_err(|e| self.failed("prepare", e))?;
            return file::grow(fd, facts.len, size).map_err(|e| self.no_room(size, e));
        }
        if facts.allocated < facts.len && !self.options.read_only && facts.system == System::Ordinary {
            match file::fill_holes(fd, part.offset, part.len) {
                // Then nobody can know whether there is space, and the file is as good as it was.
                Err(e) if Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => {}
                result => result.map_err(|e| self.no_room(part.len, e))?,
            }
        }
        Ok(())
    }

    fn map(&self, fd: &impl AsFd, facts: Facts, part: Part) -> Result<Memory, OpenError> {
        let options = self.options;
        let mapping = match Mapping::new(fd, part.offset - part.before, part.mapped, options.read_only) {
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory && facts.system == System::Ordinary => {
                let problem = "does not fit into the address space that is left; map a window".into();
                return Err(self.bad_size(part.len, problem));
            }
            Err(e) if facts.system == System::Sysfs && Errno::from_io_error(&e) == Some(Errno::INVAL) => {
                return Err(OpenError::BadOption { path: self.path.clone(), problem: CLAIMED });
            }
            Err(e) if facts.system == System::Hugetlbfs => return Err(self.no_room(part.len, e)),
            result => result.map_err(|e| self.failed("map", e))?,
        };
        if options.huge_pages {
            let problem = "this system has no transparent huge pages for such a file; leave out huge_pages";
            mapping
                .use_huge_pages()
                .map_err(|_| OpenError::BadOption { path: self.path.clone(), problem })?;
        }
        if options.prefault {
            mapping.populate().map_err(|e| self.no_room(part.len, e))?;
        }
        let memory = Memory::new(Region::new(mapping, self.cache_mode(fd, facts)));
        Ok(memory.view(part.before, part.len).expect("the part lies in its pages"))
    }

    /// A device's memory, seen through sysfs, is cached as the file's own name says, whatever link leads to it.
    fn cache_mode(&self, fd: &impl AsFd, facts: Facts) -> CacheMode {
        if facts.system != System::Sysfs {
            return CacheMode::Cached;
        }
        let name = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        cache_mode_of(&std::fs::read_link(name).unwrap_or_else(|_| self.path.clone()))
    }

    fn no_room(&self, size: u64, error: io::Error) -> OpenError {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::NOMEM) => {
                OpenError::NoSpace { path: self.path.clone(), size }
            }
            Some(Errno::FBIG) => {
                self.bad_size(size, "is above what this file system or process may have".into())
            }
            Some(Errno::PERM) => {
                self.bad_size(size, "cannot be had: the file is sealed against changes".into())
            }
            _ => self.failed("map", error),
        }
    }

    fn bad_size(&self, size: u64, problem: String) -> OpenError {
        OpenError::BadSize { path: self.path.clone(), size, problem }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> OpenError {
        let path = self.path.clone();
        match Errno::from_io_error(&source) {
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => OpenError::Denied { path, doing },
            Some(Errno::EXIST) => OpenError::Exists { path },
            Some(Errno::ISDIR) => OpenError::NotMappable { path, what: "a directory" },
            Some(Errno::NODEV) => {
                OpenError::NotMappable { path, what: "in a file system that maps no files" }
            }
            Some(Errno::NXIO) => OpenError::NotMappable { path, what: "a socket" },
            Some(Errno::NOSPC | Errno::DQUOT) => {
                OpenError::NoSpace { path, size: self.options.size.unwrap_or(0) }
            }
            _ => OpenError::Io { path, doing, source },
        }
    }
}

/// Why a device's memory cannot be mapped through sysfs although it may be.
const CLAIMED: &str = "a driver has claimed these addresses, as VFIO does for a program that maps a BAR through it; \
    end that program, or let it map this file in place of BAR 2";

/// A part of a file, and the pages around it.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    len: u64,
    /// Bytes from the start of the first page to the part.
    before: u64,
    /// Bytes of all its pages.
    mapped: usize,
}

/// What to put back when a later step fails.
#[derive(Default)]
struct Undo {
    created: Option<(PathBuf, (u64, u64))>,
    grown: Option<(OwnedFd, u64)>,
}

impl Undo {
    fn created(&mut self, path: &Path, fd: &OwnedFd) {
        self.created = file::facts(fd).ok().map(|facts| (path.to_path_buf(), facts.identity));
    }

    fn grown(&mut self, fd: &OwnedFd, len: u64) -> io::Result<()> {
        self.grown = Some((fd.try_clone()?, len));
        Ok(())
    }

    fn keep(mut self) {
        self.created = None;
        self.grown = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // A failure here could only hide the one that is being reported.
        if let Some((fd, len)) = &self.grown {
            let _ = file::shorten(fd, *len);
        }
        if let Some((path, ours)) = &self.created {
            // What somebody else has put there meanwhile is not ours to remove.
            if std::fs::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == *ours) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn name(source: &Source) -> PathBuf {
    match source {
        Source::Path(path) => path.clone(),
        Source::Fd(_) => PathBuf::from("the descriptor"),
    }
}
