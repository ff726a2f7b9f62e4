//! Opening on Linux: find or create the file, allocate its space and map it, and only then set its length.
//!
//! Other processes may open the same name at any time. This module never makes a file shorter, because another process may
//! have mapped it, and sets its length only after everything that can fail has succeeded. It removes only an empty file,
//! under a lock that every process holds while it sets a file's length, so that no process ends up with a file without a
//! name.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::SealFlags;
use rustix::io::Errno;

use super::{Plain, Source};
use crate::device::pci::cache_mode_of;
use crate::device::{Device, DeviceKind, OpenError};
use crate::region::{CacheMode, Memory, Region};
use crate::sys::linux::file::{self, Access, Facts, Name, System};
use crate::sys::linux::lock::FileLock;
use crate::sys::linux::mapping::Mapping;

pub(super) fn open(options: &Plain) -> Result<Device, OpenError> {
    let request = Request { options, path: name(&options.source) };
    request.check_options()?;
    let memory = request.open()?;
    Ok(Device { kind: DeviceKind::Plain, memory, doorbell: None, guest: None })
}

struct Request<'a> {
    options: &'a Plain,
    /// The name of the file in error texts.
    path: PathBuf,
}

impl Request<'_> {
    /// Checks the options as far as possible without the file.
    fn check_options(&self) -> Result<(), OpenError> {
        let options = self.options;
        if let Some(mode) = options.mode.filter(|mode| *mode > 0o777) {
            return Err(OpenError::BadMode { path: self.path.clone(), mode });
        }
        // The system interprets the highest number as "none" or "unchanged".
        if options.owner.0.max(options.owner.1) == Some(u32::MAX) {
            return Err(OpenError::BadId { path: self.path.clone(), id: u32::MAX });
        }
        let problem = match options {
            Plain { create_new: true, read_only: true, .. } => {
                "create_new and read_only exclude each other; leave one out"
            }
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

    fn open(&self) -> Result<Memory, OpenError> {
        let path = match &self.options.source {
            Source::Fd(fd) => {
                let facts = self.facts(fd)?;
                let grows = self.size(facts)? > facts.len;
                // The caller may hold its own lock through this open file description, which must stay.
                let own = grows.then(|| file::reopen(fd)).and_then(Result::ok);
                let lock = own.as_ref().map(|own| FileLock::take(own, PATIENCE));
                let mapped = self.map_file(fd)?;
                drop(lock);
                return self.finish(fd, mapped);
            }
            Source::Path(path) => path,
        };
        for _ in 0..MAX_REPLACEMENTS {
            let Some((fd, created)) = self.find_or_create(path)? else { continue };
            let facts = self.facts(&fd)?;
            if created.is_none() && self.size(facts)? <= facts.len {
                return self.finish(&fd, self.map_file(&fd)?);
            }
            // Every process that may open the file can hold the lock, so continue without the lock after a while.
            let lock = FileLock::take(&fd, PATIENCE);
            if is_removed(path, &fd) {
                // The process that created the file has failed and removed it.
                continue;
            }
            let mapped = self.prepare(&fd, created.is_some()).and_then(|()| self.map_file(&fd));
            match (&mapped, created) {
                (Ok(_), _) if is_removed(path, &fd) => continue,
                (Err(_), Some(name)) if lock.is_ok() => remove_empty(&name, &fd),
                _ => {}
            }
            drop(lock);
            return self.finish(&fd, mapped?);
        }
        let source =
            io::Error::other("others create and remove it again and again; open it when they have ended");
        Err(OpenError::Io { path: self.path.clone(), doing: "open", source })
    }

    fn facts(&self, fd: &OwnedFd) -> Result<Facts, OpenError> {
        let facts = file::facts(fd).map_err(|e| self.failed("look at", e))?;
        match facts.oddity {
            Some(what) => Err(OpenError::NotMappable { path: self.path.clone(), what }),
            None => Ok(facts),
        }
    }

    /// Maps the file and allocates the space for its new bytes, and then sets its length.
    fn map_file(&self, fd: &OwnedFd) -> Result<Mapped, OpenError> {
        let facts = self.facts(fd)?;
        let size = self.size(facts)?;
        let part = self.part(facts, size)?;
        if size <= facts.len {
            return Ok(Mapped { facts, part, mapping: self.map(fd, facts, part)? });
        }
        self.check_limit(size)?;
        let is_huge = facts.system == System::Hugetlbfs;
        // On hugetlbfs, a writable mapping beyond the end sets the length, so the space comes first.
        let early = match is_huge && part.end() > facts.len {
            true => None,
            false => Some(self.map(fd, facts, part)?),
        };
        let has_pages = is_huge && self.reserve(fd, facts, size, part)?;
        self.take_space(fd, facts, size, has_pages)?;
        let mapping = match early {
            Some(mapping) => mapping,
            None => self.map(fd, facts, part)?,
        };
        // An opener that does not wait for the lock may still be allocating; so allocate what is missing.
        let longer = match is_huge {
            true => file::fill_holes(fd, facts.len, size - facts.len),
            false => file::lengthen(fd, size),
        };
        longer.map_err(|e| self.no_room(size, e))?;
        Ok(Mapped { facts, part, mapping })
    }

    /// Does the work that takes long and needs no lock.
    fn finish(&self, fd: &OwnedFd, mapped: Mapped) -> Result<Memory, OpenError> {
        let Mapped { facts, part, mut mapping } = mapped;
        if self.options.prefault {
            self.fill_holes(fd, facts, part)?;
            // On hugetlbfs, the mapping has reserved the pages.
            let has_pages = facts.system == System::Hugetlbfs;
            mapping.populate(0, part.mapped).map_err(|e| self.no_pages(part.len, has_pages, e))?;
        }
        if self.options.read_only && facts.system != System::Sysfs {
            // Without the descriptor, reading allocates pages for holes.
            let own = fd.try_clone().map_err(|e| self.failed("keep open", e))?;
            mapping = mapping.keep_file(own, part.start());
        }
        let memory = Memory::new(Region::new(mapping, self.cache_mode(fd, facts)));
        Ok(memory.view(part.before, part.len).expect("the part lies in its pages"))
    }

    /// An open file, and its name if this call created it. `None` if another process created the file between the attempts to
    /// open and to create it.
    fn find_or_create(&self, path: &Path) -> Result<Option<(OwnedFd, Option<Name>)>, OpenError> {
        let access = if self.options.read_only { Access::Read } else { Access::ReadWrite };
        if !self.options.create_new {
            let open = if self.options.no_link { file::open_no_link } else { file::open };
            match open(path, access) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if self.options.no_link && Errno::from_io_error(&e) == Some(Errno::LOOP) => {
                    let target = std::fs::read_link(path).map_err(|_| self.failed("open", e))?;
                    return Err(OpenError::Link { path: self.path.clone(), target });
                }
                result => return Ok(Some((result.map_err(|e| self.failed("open", e))?, None))),
            }
            if let Ok(target) = std::fs::read_link(path) {
                return Err(OpenError::DanglingLink { path: self.path.clone(), target });
            }
            if self.options.size.is_none() || self.options.read_only {
                return Err(OpenError::Missing { path: self.path.clone() });
            }
        }
        if let Some(size) = self.options.size {
            self.check_limit(size)?;
        }
        match Name::of(path).and_then(|name| Ok((name.create()?, Some(name)))) {
            Ok(created) => Ok(Some(created)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(Path::new("")).to_path_buf();
                Err(OpenError::NoDirectory { path: self.path.clone(), parent })
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && !self.options.create_new => Ok(None),
            Err(e) => Err(self.failed("create", e)),
        }
    }

    /// Sets the mode and the owner of a new file.
    fn prepare(&self, fd: &OwnedFd, is_new: bool) -> Result<(), OpenError> {
        if is_new {
            let mode = self.options.mode.unwrap_or(0o600);
            file::set_mode(fd, mode).map_err(|e| self.failed("set the mode of", e))?;
            let (user, group) = self.options.owner;
            if user.or(group).is_some() {
                file::set_owner(fd, user, group).map_err(|e| self.failed("set the owner of", e))?;
            }
        }
        Ok(())
    }

    /// The size that the file must have.
    fn size(&self, facts: Facts) -> Result<u64, OpenError> {
        let size = self.options.size.unwrap_or(0).max(facts.len);
        if size == 0 {
            return Err(OpenError::Empty { path: self.path.clone() });
        }
        if facts.system == System::Hugetlbfs && !size.is_multiple_of(facts.page_size) {
            let page = facts.page_size;
            let next = size.next_multiple_of(page);
            return Err(
                self.bad_size(size, format!("is not a multiple of the huge page size {page}; take {next}"))
            );
        }
        if size > facts.len && (self.options.read_only || facts.system == System::Sysfs) {
            let why = if self.options.read_only { ", as it is opened for reading only" } else { "" };
            let problem = format!("is more than the file's {}, and it cannot grow{why}", facts.len);
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

    /// Reserves huge pages for the bytes by which the file grows, and returns whether it did.
    ///
    /// A mapping reserves either all pages or none. A read-only one leaves the file's length unchanged, also beyond its end.
    /// The reservation outlasts the mapping. A failure after it leaves the file its pages: other programs may use what is
    /// beyond the old end at any time, so nothing may be released there.
    fn reserve(&self, fd: &OwnedFd, facts: Facts, size: u64, part: Part) -> Result<bool, OpenError> {
        self.check_seals(fd, size)?;
        // The holes of a part that is mapped together with the new pages need pages, too.
        let from = if part.end() > facts.len { part.start().min(facts.len) } else { facts.len };
        let has_pages = || has_huge_pages(fd, facts, from..size);
        match usize::try_from(size - from).ok().filter(|len| has_addresses(fd, from, *len)) {
            Some(len) => match Mapping::new(fd, from, len, true) {
                Ok(_) => Ok(true),
                Err(e) => Err(self.no_pages(size, has_pages(), e)),
            },
            // Then nothing is reserved.
            None if !has_addresses(fd, part.start(), part.mapped) => Err(self.no_addresses(part)),
            None if !has_pages() => Err(self.no_room(size, Errno::NOSPC.into())),
            None => Ok(false),
        }
    }

    /// Allocates space for the bytes by which the file grows. Existing holes stay, because another program made them.
    fn take_space(&self, fd: &OwnedFd, facts: Facts, size: u64, has_pages: bool) -> Result<(), OpenError> {
        match file::take_space(fd, facts.len, size) {
            // Then `lengthen` writes the new bytes.
            Err(e) if Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => Ok(()),
            result => result.map_err(|e| self.no_pages(size, has_pages, e)),
        }
    }

    /// Checks the seals of a memfd that is to grow, before it has pages beyond its end.
    fn check_seals(&self, fd: &OwnedFd, size: u64) -> Result<(), OpenError> {
        match file::seals(fd) {
            seals if seals.contains(SealFlags::GROW) => Err(self.no_room(size, Errno::PERM.into())),
            seals if seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) => {
                Err(self.failed("map", Errno::PERM.into()))
            }
            _ => Ok(()),
        }
    }

    /// Allocates space for the holes of the part, all or nothing. Making the pages present one by one would use up what is
    /// left before it fails.
    fn fill_holes(&self, fd: &OwnedFd, facts: Facts, part: Part) -> Result<(), OpenError> {
        let has_holes = facts.system == System::Ordinary && facts.allocated < facts.len;
        if self.options.read_only || !has_holes {
            return Ok(());
        }
        match file::fill_holes(fd, part.offset, part.len) {
            // Then making the pages present shows whether there is space.
            Err(e) if Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => Ok(()),
            result => result.map_err(|e| self.no_room(part.len, e)),
        }
    }

    /// Checks the size against the process's limit. Beyond the limit, the kernel not only fails but terminates the process.
    fn check_limit(&self, size: u64) -> Result<(), OpenError> {
        match file::size_limit() {
            Some(limit) if size > limit => Err(self.bad_size(
                size,
                format!(
                    "is above the {limit} bytes that this process may give a file; raise its limit \
                     (ulimit -f, LimitFSIZE= of a service) or take a smaller size"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn map(&self, fd: &impl AsFd, facts: Facts, part: Part) -> Result<Mapping, OpenError> {
        let options = self.options;
        // Holes in the existing part get no huge pages, because another program made them.
        let takes = part.end() > facts.len || options.prefault;
        let map = if takes { Mapping::new } else { Mapping::without_reserve };
        let start = part.start();
        let mapping = match map(fd, start, part.mapped, options.read_only) {
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory && !has_addresses(fd, start, part.mapped) => {
                return Err(self.no_addresses(part));
            }
            Err(e) if facts.system == System::Sysfs && Errno::from_io_error(&e) == Some(Errno::INVAL) => {
                return Err(OpenError::BadOption { path: self.path.clone(), problem: CLAIMED });
            }
            Err(e) if facts.system == System::Hugetlbfs => {
                // The pages beyond the end are allocated already.
                let has_pages = has_huge_pages(fd, facts, start..part.end().min(facts.len));
                return Err(self.no_pages(part.len, has_pages, e));
            }
            result => result.map_err(|e| self.failed("map", e))?,
        };
        // On hugetlbfs the pages are huge anyway, and the mapping may have set the length already.
        if options.huge_pages && facts.system != System::Hugetlbfs {
            let problem = "this system has no transparent huge pages for such a file; leave out huge_pages";
            mapping
                .use_huge_pages()
                .map_err(|_| OpenError::BadOption { path: self.path.clone(), problem })?;
        }
        Ok(mapping)
    }

    /// The cache mode. For a device's memory in sysfs, the name of the file itself determines it, and not that of a link.
    fn cache_mode(&self, fd: &impl AsFd, facts: Facts) -> CacheMode {
        if facts.system != System::Sysfs {
            return CacheMode::Cached;
        }
        let name = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        cache_mode_of(&std::fs::read_link(name).unwrap_or_else(|_| self.path.clone()))
    }

    fn no_addresses(&self, part: Part) -> OpenError {
        self.bad_size(part.len, "does not fit into the address space that is left; map a window".into())
    }

    /// Like [`no_room`](Self::no_room). `has_pages` says whether the system has enough huge pages.
    fn no_pages(&self, size: u64, has_pages: bool, error: io::Error) -> OpenError {
        match self.no_room(size, error) {
            OpenError::NoSpace { path, size } if has_pages => OpenError::Limited { path, size },
            other => other,
        }
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

/// The error text for a device's memory that cannot be mapped through sysfs in spite of the permissions.
const CLAIMED: &str = "a driver has claimed these addresses, as VFIO does for a program that maps a BAR through it; \
    end that program, or let it map this file in place of BAR 2";

struct Mapped {
    facts: Facts,
    part: Part,
    mapping: Mapping,
}

/// A part of a file, and the pages that contain it.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    len: u64,
    /// The number of bytes from the start of the first page to the part.
    before: u64,
    /// The length of all its pages, in bytes.
    mapped: usize,
}

impl Part {
    /// The start of its first page in the file, in bytes.
    fn start(self) -> u64 {
        self.offset - self.before
    }

    /// The end of its last page in the file, in bytes.
    fn end(self) -> u64 {
        self.start() + self.mapped as u64
    }
}

/// The time to wait for other processes that set the length of the same file. If they allocate space for a large memory, they
/// may need longer; then this process waits for them in the system call.
const PATIENCE: Duration = Duration::from_secs(1);

/// The maximum number of times that a file may lose its name during one open.
const MAX_REPLACEMENTS: u32 = 100;

/// Whether a part of the file fits into the address space. If it does and a mapping fails, huge pages are missing.
fn has_addresses(fd: &impl AsFd, offset: u64, len: usize) -> bool {
    !Mapping::without_reserve(fd, offset, len, true).is_err_and(|e| e.kind() == io::ErrorKind::OutOfMemory)
}

/// Whether the system counts enough huge pages for those that a part of a file on hugetlbfs lacks, at least one. If it does and
/// they cannot be had, another limit is lower, such as that of a control group.
fn has_huge_pages(fd: &impl AsFd, facts: Facts, part: Range<u64>) -> bool {
    let len = part.end.saturating_sub(part.start);
    let existing = facts.len.min(part.end).saturating_sub(part.start);
    // The file's pages may be anywhere: as many as possible are taken to be outside the part. So in a file with other holes, the
    // error may name too few free pages where the cause is a control group. Pages beyond the file's end, where a failed growth
    // may leave them, are not considered: with them, the error may name other causes where too few pages are free.
    let inside = facts.allocated.saturating_sub(facts.len - existing).min(len);
    let missing = (len - inside).max(facts.page_size);
    file::free_huge_pages(fd, facts.page_size).is_ok_and(|free| free.is_some_and(|free| free >= missing))
}

/// Whether the file has lost its name.
fn is_removed(path: &Path, fd: &OwnedFd) -> bool {
    // Some file systems do not count links, and some do not keep inode numbers.
    file::facts(fd).is_ok_and(|ours| {
        let there = std::fs::metadata(path);
        ours.names == 0 && !there.is_ok_and(|there| (there.dev(), there.ino()) == ours.identity)
    })
}

/// Removes a created file after a failure, if it is empty. Ignores errors, which would hide the failure to report.
fn remove_empty(name: &Name, fd: &OwnedFd) {
    if let Ok(Facts { len: 0, identity, .. }) = file::facts(fd) {
        let _ = name.remove(identity);
    }
}

fn name(source: &Source) -> PathBuf {
    match source {
        Source::Path(path) => path.clone(),
        Source::Fd(_) => PathBuf::from("the descriptor"),
    }
}
