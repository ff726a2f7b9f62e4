// UNSAFETY: addresses become accesses here, each after one check.
#![expect(unsafe_code, reason = "calls of the raw accesses with checked addresses")]

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::heap::Heap;
use super::raw::{self, RawWord};
use super::{CacheMode, MemoryError, Region, Word};

/// A view of shared memory: every access is checked, and the pages stay mapped for as long as a view exists.
///
/// A view is cheap to clone and may be used from any thread. Offsets and lengths are bytes, always 64 bits wide.
///
/// # What an access is
/// Other programs, in other machines, read and write the same bytes at the same time.
///
/// - **Plain** accesses ([`read`](Self::read), [`write`](Self::write), [`read_word`](Self::read_word) and their kin)
///   move bytes and order nothing. Beside a writer they may see a mixture of old and new bytes; a word that is
///   aligned to its size never mixes on x86. A write of many bytes may store a byte more than once.
/// - **Atomic** accesses ([`load`](Self::load), [`store`](Self::store), [`fetch_add`](Self::fetch_add) and their kin)
///   are whole for everybody and order what is around them. Publish with them: write the bytes plainly, then store a
///   number with `Release`; who loads that number with `Acquire` sees the bytes.
/// - No reference to shared bytes ever exists: what was read is a private copy. Check the copy, and use the copy.
///
/// # Cache modes
/// On [`CacheMode::WriteCombined`] memory, which guests get for the device's memory, plain writes and relaxed stores
/// may reach the other side late and in any order. Every other store, every atomic read-modify-write and
/// [`fence`](Self::fence) sends them on their way first. Plain reads may overtake each other there, though not a load
/// that is not relaxed. So publishing as above is right in every mode.
///
/// # Files that somebody truncates
/// When another process makes the mapped file shorter, touching the lost pages raises SIGBUS, which ends the process;
/// the operating system offers no error instead. Memory of a server is sealed against that; named files cannot be.
/// [`is_sealed`](Self::is_sealed) tells. A hole of a file, which nobody has given space, is such a part when the file
/// system is full; [`prefault`](Self::prefault) gives it space or tells that there is none.
///
/// # Closing
/// [`close`](Self::close) ends all views of one region at once.
///
/// # Examples
/// ```
/// use ivshmem::region::Memory;
///
/// let memory = Memory::heap(4096)?;
/// memory.write(0, b"hello")?;
/// let mut copy = [0; 5];
/// memory.read(0, &mut copy)?;
/// assert_eq!(&copy, b"hello");
///
/// memory.write_word_le(64, 42_u32)?;
/// assert_eq!(memory.read_word_le::<u32>(64)?, 42);
/// assert!(memory.read_word::<u64>(4089).is_err());
/// # Ok::<(), ivshmem::region::MemoryError>(())
/// ```
#[derive(Clone)]
pub struct Memory {
    start: NonNull<u8>,
    len: usize,
    /// `len`, or 0 when nothing may be written: the bound of writes.
    writable: usize,
    region: Arc<Region>,
}

// SAFETY: the pointer is an address in pages that the region keeps for any thread, and no reference is made of it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed memory of this process alone: for tests, and to try things without a peer.
    ///
    /// # Errors
    /// [`MemoryError::NoMemory`] when the system has no such amount.
    pub fn heap(size: u64) -> Result<Self, MemoryError> {
        let heap = usize::try_from(size).ok().and_then(Heap::new).ok_or(MemoryError::NoMemory { size })?;
        Ok(Self::new(Region::new(heap, CacheMode::Cached)))
    }

    /// The first view of a region: all of it.
    pub(crate) fn new(region: Region) -> Self {
        let pages = region.pages();
        let (start, len) = (pages.start(), pages.len());
        let writable = if pages.is_read_only() { 0 } else { len };
        Self { start, len, writable, region: Arc::new(region) }
    }

    /// The number of bytes, also after closing.
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Whether the view has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether nothing may be written.
    pub fn is_read_only(&self) -> bool {
        self.region.pages().is_read_only()
    }

    /// Whether no other process can take pages away by truncating the file: this is memory of this process alone, or a
    /// memfd of ordinary pages that is sealed against shrinking, as that of our server is. Not where the system accounts
    /// strictly for memory (vm.overcommit_memory=2): a hole that another process punches may stay one there.
    pub fn is_sealed(&self) -> bool {
        self.region.pages().is_sealed()
    }

    /// How the processor caches these bytes.
    pub fn cache_mode(&self) -> CacheMode {
        self.region.cache_mode()
    }

    /// Makes every later access, through any view of the same region and from any thread, a
    /// [`MemoryError::Closed`], and wakes whoever waits for a value.
    ///
    /// Clones and sub-views are views of the same region, so closing one closes all. An access that is running
    /// already comes to its end: the pages stay mapped until the last view is dropped.
    pub fn close(&self) {
        self.region.close();
    }

    /// Closes the region, and puts private zeroes in the place of the shared pages.
    ///
    /// A thread that still goes through [`as_ptr`](Self::as_ptr) does not fault: it reads zeroes, and what it writes reaches
    /// nobody. The addresses stay taken until the last view is dropped. For callers, such as a Java virtual machine,
    /// whose running accesses nobody can wait for.
    ///
    /// On Windows, where a driver made the mapping, nothing can take its place: the shared pages stay until the last view
    /// is dropped.
    ///
    /// # Errors
    /// [`MemoryError::Detach`] when the system has no room for the change. The region is closed then, too; the shared
    /// pages stay until the last view is dropped, so whoever still goes through an address finds them.
    pub fn detach(&self) -> Result<(), MemoryError> {
        self.close();
        self.region.pages().detach().map_err(|source| MemoryError::Detach { source })
    }

    /// Whether the region was closed, through any view.
    pub fn is_closed(&self) -> bool {
        self.region.gate() == 0
    }

    /// A part of this view, whose offset 0 is `offset` here.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`].
    pub fn view(&self, offset: u64, len: u64) -> Result<Self, MemoryError> {
        let start = NonNull::new(self.check_read(offset, len)?).expect("an address inside an allocation");
        let len = usize::try_from(len).expect("checked: not above the length of this view");
        let writable = if self.writable == 0 { 0 } else { len };
        Ok(Self { start, len, writable, region: Arc::clone(&self.region) })
    }

    /// The address of the first byte in this process, for calls into foreign code.
    ///
    /// It stays mapped for as long as any view of the region exists, closed or not. Whoever goes through it does
    /// without every check of this type.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Fills `bytes` from the memory at `offset`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`]; `bytes` is unchanged then.
    #[inline]
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let from = self.check_read(offset, bytes.len() as u64)?;
        // SAFETY: checked; private bytes never overlap shared ones.
        unsafe { raw::copy_out(from, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Fills `bytes` from the memory at `offset` and takes no memory from the host for that, where the device was opened
    /// for reading only.
    ///
    /// A file may have holes: bytes that read as zeroes and have no page. [`read`](Self::read) gives them pages on a tmpfs,
    /// hugetlbfs, and in a memfd, because Linux does so for every access to a mapping; on a full file system that raises
    /// SIGBUS. This asks the file system instead, in a system call each time: for looking at much, not for words. A guest's
    /// device and memory that may be written are read as `read` does it.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`]; `bytes` is unchanged then. [`MemoryError::Peek`] when the
    /// system refuses, as for a part that another process has cut off; `bytes` may have changed then.
    pub fn peek(&self, offset: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let from = self.check_read(offset, bytes.len() as u64)?;
        let pages = self.region.pages();
        let len = bytes.len() as u64;
        match pages.peek(from.addr() - pages.start().addr().get(), bytes) {
            Some(result) => result.map_err(|source| MemoryError::Peek { offset, len, source }),
            None => self.read(offset, bytes),
        }
    }

    /// Makes the pages of `len` bytes from `offset` on present now, so that no access to them waits for the system later,
    /// or fails because it has no more: holes of a file get their space.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`]. [`MemoryError::NoSpace`] when there is not enough memory, disk
    /// space or huge pages; some pages may have come then. [`MemoryError::Populate`] when the system cannot tell, as
    /// before Linux 5.14.
    pub fn prefault(&self, offset: u64, len: u64) -> Result<(), MemoryError> {
        let from = self.check_read(offset, len)?;
        if self.cache_mode() != CacheMode::Cached {
            // A device's memory is always there.
            return Ok(());
        }
        let pages = self.region.pages();
        pages.populate(from.addr() - pages.start().addr().get(), narrow(len)).map_err(|source| {
            match source.kind() {
                std::io::ErrorKind::StorageFull => MemoryError::NoSpace { offset, len },
                _ => MemoryError::Populate { offset, len, source },
            }
        })
    }

    /// Puts `bytes` into the memory at `offset`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`], [`MemoryError::ReadOnly`]; nothing is written then.
    #[inline]
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let to = self.check_write(offset, bytes.len() as u64)?;
        // SAFETY: checked; private bytes never overlap shared ones.
        unsafe { raw::copy_in(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// Sets `len` bytes from `offset` on to `byte`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn fill(&self, offset: u64, byte: u8, len: u64) -> Result<(), MemoryError> {
        let to = self.check_write(offset, len)?;
        // SAFETY: checked, so the length fits as well.
        unsafe { raw::fill(to, byte, narrow(len)) };
        Ok(())
    }

    /// Copies `len` bytes from `offset` here to `to_offset` in `to`, which may be the same memory and overlap.
    ///
    /// Overlap is seen by address. Two mappings of one file have different addresses: between those, overlapping
    /// parts come out mixed.
    ///
    /// # Errors
    /// As [`read`](Self::read) for this memory and [`write`](Self::write) for the other; nothing is written then.
    #[inline]
    pub fn copy_to(&self, offset: u64, to: &Memory, to_offset: u64, len: u64) -> Result<(), MemoryError> {
        let from = self.check_read(offset, len)?;
        let to = to.check_write(to_offset, len)?;
        // SAFETY: both checked, so the length fits as well.
        unsafe { raw::copy_shared(from, to, narrow(len)) };
        Ok(())
    }

    /// Writes bytes to the storage of the file behind the memory and waits until they are there.
    ///
    /// The other views of the file see every write at once, without this. Memory that has no storage, as on a tmpfs
    /// or on the heap, has nothing to wait for.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`], [`MemoryError::Sync`].
    pub fn sync(&self, offset: u64, len: u64) -> Result<(), MemoryError> {
        let from = self.check_read(offset, len)?;
        let pages = self.region.pages();
        let sync = |source| MemoryError::Sync { offset, len, source };
        pages.sync(from.addr() - pages.start().addr().get(), narrow(len)).map_err(sync)
    }

    /// Reads a number in the processor's byte order, at any alignment.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`].
    #[inline]
    pub fn read_word<T: Word>(&self, offset: u64) -> Result<T, MemoryError> {
        Ok(T::from_raw(self.read_raw(offset)?))
    }

    /// Reads a number stored with its lowest byte first.
    ///
    /// # Errors
    /// As [`read_word`](Self::read_word).
    #[inline]
    pub fn read_word_le<T: Word>(&self, offset: u64) -> Result<T, MemoryError> {
        Ok(T::from_raw(self.read_raw::<T::Raw>(offset)?.le()))
    }

    /// Reads a number stored with its highest byte first.
    ///
    /// # Errors
    /// As [`read_word`](Self::read_word).
    #[inline]
    pub fn read_word_be<T: Word>(&self, offset: u64) -> Result<T, MemoryError> {
        Ok(T::from_raw(self.read_raw::<T::Raw>(offset)?.be()))
    }

    /// Writes a number in the processor's byte order, at any alignment.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn write_word<T: Word>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_raw(offset, value.into_raw())
    }

    /// Writes a number with its lowest byte first.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn write_word_le<T: Word>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_raw(offset, value.into_raw().le())
    }

    /// Writes a number with its highest byte first.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn write_word_be<T: Word>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_raw(offset, value.into_raw().be())
    }

    /// Where `needle` occurs first within `len` bytes from `offset` on; as an offset of this view.
    ///
    /// The bytes may change meanwhile: what is told is true of a copy.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn index_of(&self, offset: u64, len: u64, needle: &[u8]) -> Result<Option<u64>, MemoryError> {
        self.check_read(offset, len)?;
        let overlap = needle.len().saturating_sub(1);
        let mut chunk = vec![0; SEARCH_CHUNK.saturating_add(overlap).min(narrow(len))];
        let finder = memchr::memmem::Finder::new(needle);
        let mut done = 0;
        loop {
            let some = narrow((len - done).min(chunk.len() as u64));
            self.read(offset + done, &mut chunk[..some])?;
            if let Some(at) = finder.find(&chunk[..some]) {
                return Ok(Some(offset + done + at as u64));
            }
            if done + some as u64 == len {
                return Ok(None);
            }
            // An occurrence may lie across two chunks.
            done += (some - overlap) as u64;
        }
    }

    /// Sleeps for the time given, or until the memory is closed.
    pub(crate) fn sleep(&self, time: Duration) {
        self.region.sleep(time);
    }

    #[inline(always)]
    fn read_raw<R: RawWord>(&self, offset: u64) -> Result<R, MemoryError> {
        self.check_read(offset, R::LEN)?;
        // SAFETY: checked.
        Ok(unsafe { R::read(self.as_ptr(), narrow(offset)) })
    }

    #[inline(always)]
    fn write_raw<R: RawWord>(&self, offset: u64, value: R) -> Result<(), MemoryError> {
        let to = self.check_write(offset, R::LEN)?;
        // SAFETY: checked.
        unsafe { R::write(to, value) };
        Ok(())
    }

    /// The address of an access that reads, when it may happen.
    #[inline(always)]
    pub(super) fn check_read(&self, offset: u64, len: u64) -> Result<*mut u8, MemoryError> {
        self.check(self.len, offset, len)
    }

    /// The address of an access that writes, when it may happen.
    #[inline(always)]
    pub(super) fn check_write(&self, offset: u64, len: u64) -> Result<*mut u8, MemoryError> {
        self.check(self.writable, offset, len)
    }

    #[inline(always)]
    fn check(&self, bound: usize, offset: u64, len: u64) -> Result<*mut u8, MemoryError> {
        let bound = (bound & self.region.gate()) as u64;
        // An empty access is rare and goes the slow way: no bound could tell it from one to closed memory.
        if len == 0 || offset >= bound.saturating_sub(len - 1) {
            self.refuse(bound, offset, len)?;
        }
        // SAFETY: offset < bound <= len: inside the pages.
        Ok(unsafe { self.start.as_ptr().add(narrow(offset)) })
    }

    /// Finds out what is wrong; nothing is, with an empty access inside the view.
    #[cold]
    #[inline(never)]
    fn refuse(&self, bound: u64, offset: u64, len: u64) -> Result<(), MemoryError> {
        if self.is_closed() {
            return Err(MemoryError::Closed);
        }
        let size = self.len();
        if offset > size || len > size - offset {
            return Err(MemoryError::OutOfBounds { offset, len, size });
        }
        if bound < size { Err(MemoryError::ReadOnly) } else { Ok(()) }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("len", &self.len)
            .field("read_only", &self.is_read_only())
            .field("cache_mode", &self.cache_mode())
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// Bytes that a search copies at a time.
const SEARCH_CHUNK: usize = 64 * 1024;

/// A checked offset or length: not above the length of pages that are mapped.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "checked against a bound that is a usize")]
pub(super) fn narrow(bytes: u64) -> usize {
    bytes as usize
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

    use super::*;
    use crate::ErrorKind;
    use crate::region::pages::Pages;

    /// Memory whose storage is full.
    struct Full(Heap);

    // SAFETY: as Heap.
    unsafe impl Pages for Full {
        fn start(&self) -> NonNull<u8> {
            self.0.start()
        }

        fn len(&self) -> usize {
            self.0.len()
        }

        fn is_read_only(&self) -> bool {
            false
        }

        fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
            assert_eq!((offset, len), (103, 7), "a view's offset counts from the start of the pages");
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_sync_that_fails_says_what_was_not_stored() {
        let memory = Memory::new(Region::new(Full(Heap::new(200).unwrap()), CacheMode::Cached));
        let error = memory.view(100, 50).unwrap().sync(3, 7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert!(error.to_string().contains("7 bytes at offset 3"), "{error}");
    }

    #[test]
    fn every_store_arrives_in_every_cache_mode() {
        for mode in [CacheMode::Cached, CacheMode::WriteCombined, CacheMode::Uncached] {
            let memory = Memory::new(Region::new(Heap::new(64).unwrap(), mode));
            assert_eq!(memory.view(8, 8).unwrap().cache_mode(), mode);
            for order in [Relaxed, Release, SeqCst] {
                memory.store(8, 0_u64, Relaxed).unwrap();
                memory.store(8, u64::MAX, order).unwrap();
                assert_eq!(memory.load::<u64>(8, Acquire).unwrap(), u64::MAX);
                memory.fence();
            }
        }
    }

    #[test]
    fn a_heap_that_nobody_can_have_is_an_error_with_its_size() {
        for size in [u64::MAX, 1 << 63, 1 << 60] {
            let error = Memory::heap(size).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert!(error.to_string().contains(&size.to_string()), "{error}");
        }
        assert!(Memory::heap(0).unwrap().is_empty());
    }
}
