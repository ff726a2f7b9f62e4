//! Space for the memory, allocated before a client can use it.

use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use ivshmem::sys::linux::file::{self, System};
use ivshmem::sys::linux::mapping::Mapping;

use crate::error::Error;
use crate::sys::memory::{self, Length};
use crate::sys::{Errno, poll};

/// Refuses a size that is not a multiple of the file system's page.
pub(crate) fn check_pages(file: &File, path: &Path, size: u64) -> Result<(), Error> {
    match huge_page(file).map_err(Error::io(format!("examining {}", path.display())))? {
        Some(page) if page == 0 || !size.is_multiple_of(page) => {
            Err(Error::HugePage { path: path.to_owned(), page, size })
        }
        _ => Ok(()),
    }
}

/// Size in bytes of a page of hugetlbfs; `None` on other file systems.
fn huge_page(file: &File) -> io::Result<Option<u64>> {
    let facts = file::facts(file)?;
    Ok((facts.system == System::Hugetlbfs).then_some(facts.page_size))
}

/// Allocates the space of a file in memory, if the host has it.
pub(crate) fn take_of_host(file: &File, size: u64, stop: Option<BorrowedFd<'_>>) -> Result<(), Error> {
    // Otherwise the kernel would allocate all memory and then kill a process, so check first.
    let available = available_memory()?;
    if size > available {
        return Err(Error::NoSpace { place: HOST.to_owned(), size, available });
    }
    take(file, HOST, size, Length::Grows, stop)
}

const HOST: &str = "the host's memory";

/// Allocates the space, so that a full file system is an error now and not a SIGBUS later. The file gets its size with it,
/// unless `length` prevents that.
///
/// The space is allocated in pieces, because a blocked signal does not interrupt the kernel, which takes minutes for
/// hundreds of GiB.
pub(crate) fn take(
    file: &File,
    place: &str,
    size: u64,
    length: Length,
    stop: Option<BorrowedFd<'_>>,
) -> Result<(), Error> {
    let io = |e: io::Error| Error::io(format!("taking {size} bytes in {place}"))(e);
    let page = huge_page(file).map_err(io)?;
    let is_readable = |fd| poll::wait(&[fd], [], Some(Instant::now())).is_ok_and(|ready| ready == [true]);
    let go_on = |taken| {
        if stop.is_some_and(is_readable) { Err(Error::Stopped { taken, size }) } else { Ok(()) }
    };
    go_on(0)?;
    let before = available(file, page).map_err(io)?;
    let no_space = |taken, reserved| {
        // After a failure, the kernel counts more huge pages as used than the file has.
        let now = if page.is_some() { before } else { available(file, page).map_err(io)? };
        let available = if reserved { size } else { now.unwrap_or(taken) };
        Err(Error::NoSpace { place: place.to_owned(), size, available })
    };
    // Otherwise the pieces allocated before a failure would stay in a file that existed before. Only a control group's limit
    // of pages in use still has this effect: they cannot be freed, as other programs may have written to them by then.
    let reserved = match page {
        Some(_) => reserve(file, size).map_err(io)?,
        None => before.is_some_and(|available| size > available).then_some(false),
    };
    if reserved == Some(false) {
        return no_space(0, false);
    }
    let mut from = 0;
    while from < size {
        go_on(from)?;
        let piece = (size - from).min(PIECE);
        match memory::allocate(file, from, piece, length) {
            Ok(()) => from += piece,
            // The call can be interrupted by an ignored signal, or by SIGSTOP and SIGCONT.
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::NOMEM) => return no_space(from, reserved == Some(true)),
            Err(e) => return Err(io(e.into())),
        }
    }
    Ok(())
}

/// Bytes that the file can have: those that it has, from this start or before, and those that are free; `None` where the
/// system does not report them.
fn available(file: &File, huge_page: Option<u64>) -> io::Result<Option<u64>> {
    let has = file.metadata()?.blocks().saturating_mul(512);
    let free = match huge_page {
        Some(page) => file::free_huge_pages(file, page)?,
        None => file::free_space(file)?,
    };
    Ok(free.map(|free| has.saturating_add(free)))
}

/// Reserves huge pages for all holes of a file that existed with this size, and returns whether there were enough; if not,
/// none is reserved. (The number of free pages does not decide it, because it lacks pages reserved for this very file
/// before.) Returns `None` if it did not try.
///
/// A mapping reserves them. If the process lacks addresses for a mapping, nothing is reserved. Nothing is reserved for a
/// file without its size either: reserved pages beyond a file's end could not be freed, allocated ones can.
fn reserve(file: &File, size: u64) -> io::Result<Option<bool>> {
    let has_its_size = file.metadata()?.len() == size;
    let Some(len) = usize::try_from(size).ok().filter(|_| has_its_size) else { return Ok(None) };
    if Mapping::without_reserve(file, 0, len, true).is_err() {
        return Ok(None);
    }
    match Mapping::new(file, 0, len, true) {
        Err(e) if e.kind() == io::ErrorKind::OutOfMemory => Ok(Some(false)),
        mapped => mapped.map(|_| Some(true)),
    }
}

/// Some hundredths of a second, and few system calls.
const PIECE: u64 = 64 << 20;

/// Memory in bytes that the host can allocate without swapping.
fn available_memory() -> Result<u64, Error> {
    let doing = "reading /proc/meminfo";
    let text = fs::read_to_string("/proc/meminfo").map_err(Error::io(doing))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Error::Io {
        doing: doing.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "no line MemAvailable"),
    })
}
