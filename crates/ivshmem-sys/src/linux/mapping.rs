//! Shared mappings of files.
// UNSAFETY: mapping and unmapping change which addresses are valid.
#![expect(unsafe_code, reason = "mmap and its kin")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::io::{Errno, pread};
use rustix::mm::{
    Advice, MapFlags, MremapFlags, MsyncFlags, ProtFlags, madvise, mmap, mmap_anonymous, mremap_fixed, msync,
    munmap,
};

use super::file;

/// An owned shared mapping, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    read_only: bool,
    sealed: bool,
    /// The file and the mapping's offset in it, to read holes without filling them; released on detaching.
    file: Mutex<Option<(Arc<OwnedFd>, u64)>>,
    /// Whether a failed detach left unknown what is mapped at some of the addresses. They are then neither used nor unmapped.
    in_doubt: AtomicBool,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared Mapping only returns its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a part of a file. `offset`, and on hugetlbfs also `len`, is a multiple of the file's page size. On hugetlbfs this
    /// reserves the huge pages in the pool, all or none, also beyond the file's end; a writable mapping beyond the end extends
    /// the file.
    pub fn new(fd: &impl AsFd, offset: u64, len: usize, read_only: bool) -> io::Result<Self> {
        Self::map(fd, offset, len, read_only, MapFlags::SHARED)
    }

    /// Like [`new`](Self::new), but reserves no huge pages: the first access to a missing page allocates it, if the pool has
    /// one.
    pub fn without_reserve(fd: &impl AsFd, offset: u64, len: usize, read_only: bool) -> io::Result<Self> {
        Self::map(fd, offset, len, read_only, MapFlags::SHARED | MapFlags::NORESERVE)
    }

    fn map(fd: &impl AsFd, offset: u64, len: usize, read_only: bool, flags: MapFlags) -> io::Result<Self> {
        let access = access(read_only);
        // SAFETY: the kernel chooses the address, so no address in use changes.
        let start = unsafe { mmap(null_mut(), len, access, flags, fd, offset) }?;
        let start = NonNull::new(start.cast()).expect("mmap gives address 0 only to those who ask for it");
        let sealed = keeps_its_pages(fd, offset.saturating_add(len as u64));
        Ok(Self { start, len, read_only, sealed, file: Mutex::new(None), in_doubt: AtomicBool::new(false) })
    }

    /// Keeps the file for [`peek`](Self::peek). `offset` is the mapping's offset in the file.
    pub fn keep_file(mut self, fd: OwnedFd, offset: u64) -> Self {
        *self.file.get_mut().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(fd), offset));
        self
    }

    /// Reads from the file instead of the mapping, so that holes stay holes. `None` if the mapping does not keep its file.
    pub fn peek(&self, offset: usize, bytes: &mut [u8]) -> Option<io::Result<()>> {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "outside the mapping");
        let (file, start) = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(read_all(&file, start + offset as u64, bytes))
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Whether the pages are mapped for reading only.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether no process can make the file shorter, and an access to a missing page always succeeds.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Makes the pages of these bytes present. Fails with ENOSPC for every reason for which an access would raise SIGBUS.
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "outside the mapping");
        let advice = if self.read_only { Advice::LinuxPopulateRead } else { Advice::LinuxPopulateWrite };
        let before = offset % rustix::param::page_size();
        loop {
            match self.advise(offset - before, len + before, advice) {
                // A signal that the process handles, such as those of a Java virtual machine.
                Err(Errno::INTR) => {}
                Err(Errno::FAULT | Errno::NOMEM) => return Err(Errno::NOSPC.into()),
                result => return Ok(result?),
            }
        }
    }

    /// Requests transparent huge pages for the mapping.
    pub fn use_huge_pages(&self) -> io::Result<()> {
        Ok(self.advise(0, self.len, Advice::LinuxHugepage)?)
    }

    /// Writes the pages that contain these bytes to the file's storage, and waits until they are stored.
    pub fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "outside the mapping");
        let before = offset % rustix::param::page_size();
        // SAFETY: inside the mapping by the check above.
        let start = unsafe { self.start.add(offset - before) };
        // SAFETY: msync changes no memory of this process.
        Ok(unsafe { msync(start.as_ptr().cast(), len + before, MsyncFlags::SYNC) }?)
    }

    /// Replaces the shared pages, at the same addresses, with private pages full of zeroes.
    ///
    /// Addresses stay valid: a concurrent access uses either the old page or the new one. If this fails, all shared pages
    /// stay, unless the address space or its limit is so small that they are replaced piece by piece.
    ///
    /// It maps the zeroes elsewhere first, and then moves them over the shared pages. Before Linux 6.12, mapping them in
    /// place unmaps the old pages before it checks whether there is memory for the new ones. If that check fails, as it may
    /// with vm.overcommit_memory=2, the addresses are free, and another mapping may get them.
    pub fn detach(&self) -> io::Result<()> {
        // The descriptor would keep the memory of a removed file.
        drop(self.file.lock().unwrap_or_else(PoisonError::into_inner).take());
        if self.in_doubt.load(Ordering::Acquire) {
            return Err(doubt());
        }
        let mut piece = self.len;
        let mut done = 0;
        while done < self.len {
            let len = piece.min(self.len - done);
            match self.detach_piece(done, len) {
                Ok(()) => done += len,
                // With strict accounting, smaller pieces would use up all memory that is left.
                Err(Errno::NOMEM) if len > LEAST_PIECE && !is_memory_promised() => {
                    piece = (len / 2).next_multiple_of(LEAST_PIECE);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn detach_piece(&self, offset: usize, len: usize) -> Result<(), Errno> {
        // SAFETY: inside the mapping, because the only caller stops at its length.
        let place = unsafe { self.start.add(offset) }.as_ptr().cast();
        let access = access(self.read_only);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the address, so no address in use changes.
        let zeroes = unsafe { mmap_anonymous(null_mut(), len, access, flags) }?;
        // SAFETY: only this function has the address of the zeroes; their new place is in this mapping, to which no reference
        // exists, and it stays mapped with the same access.
        let Err(error) = (unsafe { mremap_fixed(zeroes, len, len, MremapFlags::MAYMOVE, place) }) else {
            return Ok(());
        };
        // SAFETY: mapped above, and not moved.
        let _ = unsafe { munmap(zeroes, len) };
        // The system checks all limits before it unmaps the old pages; after that it needs a few hundred bytes for itself. If
        // that allocation failed, the addresses are free, and this maps them again before other code can.
        // SAFETY: this changes no address that is in use.
        match unsafe { mmap_anonymous(place, len, access, flags | MapFlags::FIXED_NOREPLACE) } {
            Ok(there) if there == place => Ok(()),
            taken => {
                self.in_doubt.store(true, Ordering::Release);
                if let Ok(elsewhere) = taken {
                    // SAFETY: mapped just now, by a system that treats the address as a hint.
                    let _ = unsafe { munmap(elsewhere, len) };
                }
                Err(error)
            }
        }
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), Errno> {
        // SAFETY: inside the mapping, as the callers check.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: none of the callers' advice changes the bytes.
        unsafe { madvise(start.as_ptr().cast(), len, advice) }
    }
}

/// Fills `bytes` from the file. Fails if the file is too short.
fn read_all(file: &OwnedFd, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match pread(file, &mut *bytes, offset) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")),
            Ok(count) => {
                offset += count as u64;
                bytes = &mut bytes[count..];
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Whether an access to the first `bytes` bytes of the file never raises SIGBUS, whatever other processes do to the file. It is
/// false for huge pages, because the pool may be empty, and with strict memory accounting, because the system may be unable
/// to fill a hole.
fn keeps_its_pages(fd: &impl AsFd, bytes: u64) -> bool {
    // Only files in memory support seals. A seal cannot be removed, so the length that is checked after it remains.
    fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
        && file::facts(fd).is_ok_and(|facts| facts.system == file::System::Ordinary && facts.len >= bytes)
        && !is_memory_promised()
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if *self.in_doubt.get_mut() {
            return;
        }
        // A process at its limit of mappings cannot split one, which is necessary if the kernel has merged the zeroes of a
        // detached mapping with their neighbours. The addresses then stay mapped, which is harmless.
        // SAFETY: mapped in new() with this length; views keep the owner alive, so no view is left.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The smallest piece, in bytes: a multiple of every common page size.
const LEAST_PIECE: usize = 4 << 20;

fn access(read_only: bool) -> ProtFlags {
    if read_only { ProtFlags::READ } else { ProtFlags::READ | ProtFlags::WRITE }
}

/// Whether the system accounts strictly for private memory when it is mapped (vm.overcommit_memory=2); also true if the
/// setting cannot be read.
fn is_memory_promised() -> bool {
    std::fs::read("/proc/sys/vm/overcommit_memory").map_or(true, |mode| mode.starts_with(b"2"))
}

fn doubt() -> io::Error {
    io::Error::other(
        "an earlier try has failed, and the system left in doubt what the addresses are; they stay unused",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_mapping_reads_zeroes_and_writes_reach_nobody() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let (one, two) =
            (Mapping::new(&file, 0, 8192, false).unwrap(), Mapping::new(&file, 0, 8192, false).unwrap());
        let (here, there) = (one.start().as_ptr(), two.start().as_ptr());
        // SAFETY: inside a mapping that lives.
        unsafe { here.write_volatile(7) };
        // SAFETY: as above.
        assert_eq!(unsafe { there.read_volatile() }, 7);
        one.detach().unwrap();
        // The file is empty now, so the pages of a mapping of it would fault.
        file.set_len(0).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { here.read_volatile() }, 0);
        // SAFETY: as above.
        unsafe { here.write_volatile(9) };
        file.set_len(8192).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { there.read_volatile() }, 0);
        one.detach().unwrap();
    }

    #[test]
    fn only_a_memfd_that_cannot_shrink_and_has_all_the_bytes_is_sealed() {
        use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};
        assert!(!is_memory_promised(), "vm.overcommit_memory is 2");
        let is_sealed = |flags: MemfdFlags, seals: SealFlags, bytes: usize| {
            let memfd = memfd_create("sealed", MemfdFlags::ALLOW_SEALING | flags).unwrap();
            ftruncate(&memfd, 8192).unwrap();
            fcntl_add_seals(&memfd, seals).unwrap();
            Mapping::new(&memfd, 4096, bytes - 4096, false).unwrap().is_sealed()
        };
        assert!(is_sealed(MemfdFlags::empty(), SealFlags::SHRINK, 8192));
        assert!(is_sealed(MemfdFlags::empty(), SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL, 8192));
        assert!(!is_sealed(MemfdFlags::empty(), SealFlags::GROW | SealFlags::SEAL, 8192));
        assert!(!is_sealed(MemfdFlags::empty(), SealFlags::SHRINK, 8193));
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(4096).unwrap();
        assert!(!Mapping::new(&file, 0, 4096, false).unwrap().is_sealed());
    }

    /// An access to huge pages that are not reserved may find the pool empty.
    #[test]
    fn huge_pages_are_not_sealed() {
        use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};
        const HUGE: usize = 2 << 20;
        let memfd = memfd_create("huge", MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB).unwrap();
        ftruncate(&memfd, HUGE as u64).unwrap();
        fcntl_add_seals(&memfd, SealFlags::SHRINK).unwrap();
        assert!(!keeps_its_pages(&memfd, HUGE as u64));
    }

    /// Runs a test of this file in a separate process, whose limits the test may change. Returns whether this is that process.
    fn is_alone(test: &str) -> bool {
        const ALONE: &str = "IVSHMEM_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return true;
        }
        let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let status = command.args([&name, "--exact", "--nocapture"]).env(ALONE, "1").status().unwrap();
        assert!(status.success(), "{test} in a process of its own: {status}");
        false
    }

    fn filled(len: usize) -> (std::fs::File, Mapping) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len as u64).unwrap();
        let mapping = Mapping::new(&file, 0, len, false).unwrap();
        for offset in (0..len).step_by(4096) {
            // SAFETY: inside a mapping that lives.
            unsafe { mapping.start().as_ptr().wrapping_add(offset).write_volatile(7) };
        }
        (file, mapping)
    }

    /// The first byte of each page.
    fn bytes(mapping: &Mapping) -> Vec<u8> {
        // SAFETY: inside a mapping that lives.
        (0..mapping.size())
            .step_by(4096)
            .map(|at| unsafe { mapping.start().as_ptr().wrapping_add(at).read_volatile() })
            .collect()
    }

    #[test]
    fn a_mapping_larger_than_the_address_space_that_is_left_is_detached_piece_by_piece() {
        use rustix::process::{Resource, Rlimit, setrlimit};
        if !is_alone("a_mapping_larger_than_the_address_space_that_is_left_is_detached_piece_by_piece") {
            return;
        }
        let (file, mapping) = filled((64 << 20) + 4096);
        let in_use = std::fs::read_to_string("/proc/self/statm").unwrap();
        let in_use = in_use.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
        let limit = |bytes| setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: None }).unwrap();
        limit(in_use + (2 << 20));
        assert_eq!(mapping.detach().unwrap_err().raw_os_error(), Some(Errno::NOMEM.raw_os_error()));
        assert!(bytes(&mapping).iter().all(|byte| *byte == 7), "what failed changed something");
        limit(in_use + (20 << 20));
        mapping.detach().unwrap();
        file.set_len(0).unwrap();
        assert!(bytes(&mapping).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_process_with_as_many_mappings_as_it_may_have_loses_none() {
        if !is_alone("a_process_with_as_many_mappings_as_it_may_have_loses_none") {
            return;
        }
        let mappings: Vec<_> = (0..12).map(|_| filled(1 << 20).1).collect();
        // Pages with alternating access, which the kernel cannot merge into one mapping.
        let mut pages = Vec::new();
        loop {
            let access = if pages.len().is_multiple_of(2) { ProtFlags::empty() } else { ProtFlags::READ };
            // SAFETY: the kernel chooses the address, so no address in use changes.
            match unsafe { mmap_anonymous(null_mut(), 4096, access, MapFlags::PRIVATE) } {
                Ok(page) => pages.push(page),
                Err(_) => break,
            }
        }
        let mut failures = 0;
        for mapping in &mappings {
            let detached = mapping.detach();
            failures += usize::from(detached.is_err());
            let wanted = if detached.is_ok() { 0 } else { 7 };
            assert!(bytes(mapping).iter().all(|byte| *byte == wanted), "{detached:?}");
            // SAFETY: mapped above and not in use.
            unsafe { munmap(pages.pop().unwrap(), 4096) }.unwrap();
        }
        assert!((2..12).contains(&failures), "{failures} of 12 with {} mappings", pages.len());
        let mut mappings = mappings.into_iter();
        while let Some(mapping) = mappings.next() {
            drop(mapping);
            mappings.as_slice().iter().for_each(|other| drop(bytes(other)));
        }
    }
}
