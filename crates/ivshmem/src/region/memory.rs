// UNSAFETY: this file accesses shared bytes by address, each time after one check.
#![expect(unsafe_code, reason = "calls of the raw accesses with checked addresses")]

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::heap::Heap;
use super::raw::{self, RawWord};
use super::{CacheMode, MemoryError, Region, Word};

/// A view of shared memory. It checks every access, and the pages stay mapped for as long as a view exists.
///
/// A view is cheap to clone, and any thread may use it. Offsets and lengths are in bytes and always 64 bits wide.
///
/// # Kinds of access
/// Other programs, in other machines, read and write the same bytes at the same time.
///
/// - **Plain** accesses ([`read`](Self::read), [`write`](Self::write), [`read_word`](Self::read_word) and the like)
///   copy bytes and order nothing. A read that is concurrent with a write may return a mixture of old and new bytes; on
///   x86 an access to a word that is aligned to its size never does. A write of many bytes may store a byte more than
///   once.
/// - **Atomic** accesses ([`load`](Self::load), [`store`](Self::store), [`fetch_add`](Self::fetch_add) and the like)
///   are indivisible for every observer and order the accesses around them. Publish data with them: write the bytes with
///   plain accesses, then store a number with `Release`. A peer that loads this number with `Acquire` sees the bytes.
/// - No reference to shared bytes ever exists. A read returns a private copy: check the copy, and use the copy.
///
/// # Cache modes
/// In [`CacheMode::WriteCombined`] memory, which is the default for a device's memory in a Linux guest, plain writes and
/// relaxed stores may reach the peers late and in any order. Every other store, every atomic read-modify-write and
/// [`fence`](Self::fence) flush them first. Plain reads may overtake each other in this mode, but not a load that is not
/// relaxed. Publishing data as described above is therefore correct in every mode.
///
/// # Truncated files
/// If another process makes the mapped file shorter, an access to the lost pages raises SIGBUS, which terminates the
/// process; the operating system reports no error instead. A server's memory is sealed against this; named files cannot
/// be sealed. [`is_sealed`](Self::is_sealed) returns whether the memory is. A hole of a file, which has no space yet,
/// raises SIGBUS as well if the file system is full; [`prefault`](Self::prefault) allocates the space, or returns an
/// error if there is none.
///
/// # Closing
/// [`close`](Self::close) closes all views of one region at once.
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
    /// The bound of writes: `len`, or 0 if the memory is read-only.
    writable: usize,
    region: Arc<Region>,
}

// SAFETY: the pointer is an address in pages that the region keeps valid for every thread; no reference is made from it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Allocates zeroed memory that only this process can access, for tests and for programs without a peer. `size` is in
    /// bytes.
    ///
    /// # Errors
    /// [`MemoryError::NoMemory`] if the system cannot allocate this much memory.
    pub fn heap(size: u64) -> Result<Self, MemoryError> {
        let heap = usize::try_from(size).ok().and_then(Heap::new).ok_or(MemoryError::NoMemory { size })?;
        Ok(Self::new(Region::new(heap, CacheMode::Cached)))
    }

    /// The first view of a region, which covers all of it.
    pub(crate) fn new(region: Region) -> Self {
        let pages = region.pages();
        let (start, len) = (pages.start(), pages.len());
        let writable = if pages.is_read_only() { 0 } else { len };
        Self { start, len, writable, region: Arc::new(region) }
    }

    /// The length in bytes. Closing does not change it.
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Whether the length of the view is 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the memory is open for reading only.
    pub fn is_read_only(&self) -> bool {
        self.region.pages().is_read_only()
    }

    /// Whether no other process can take pages away by truncating the file.
    ///
    /// It is true for memory that only this process can access, and for a memfd of ordinary pages that is sealed against
    /// shrinking, such as the memory of an ivshmem server. It is false for a memfd on a system with strict memory accounting
    /// (vm.overcommit_memory=2): the system may be unable to fill a hole that another process punches.
    pub fn is_sealed(&self) -> bool {
        self.region.pages().is_sealed()
    }

    /// How the processor caches the memory.
    pub fn cache_mode(&self) -> CacheMode {
        self.region.cache_mode()
    }

    /// Closes the region: every later access, through any view of the region and from any thread, fails with
    /// [`MemoryError::Closed`]. Wakes all threads that wait for a value.
    ///
    /// Clones and sub-views are views of the same region, so closing one of them closes all. An access that is in progress
    /// completes: the pages stay mapped until the last view is dropped.
    pub fn close(&self) {
        self.region.close();
    }

    /// Closes the region, and replaces the shared pages with private pages full of zeroes.
    ///
    /// A thread that still uses the address from [`as_ptr`](Self::as_ptr) does not fault: it reads zeroes, and its writes
    /// reach no peer. The addresses stay reserved until the last view is dropped. This function is for callers such as a Java
    /// virtual machine, which cannot wait for the accesses in progress.
    ///
    /// On Windows the driver made the mapping, and the pages cannot be replaced: the shared pages stay mapped until the last
    /// view is dropped.
    ///
    /// # Errors
    /// [`MemoryError::Detach`] if the system has no memory for the change. The region is closed nevertheless; the shared
    /// pages stay mapped until the last view is dropped, so a thread that still uses an address accesses them.
    pub fn detach(&self) -> Result<(), MemoryError> {
        self.close();
        self.region.pages().detach().map_err(|source| MemoryError::Detach { source })
    }

    /// Whether the region is closed, through this or any other view.
    pub fn is_closed(&self) -> bool {
        self.region.gate() == 0
    }

    /// A view of the `len` bytes from `offset` on. Offset 0 of the new view is `offset` of this one.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`].
    pub fn view(&self, offset: u64, len: u64) -> Result<Self, MemoryError> {
        let start = NonNull::new(self.check_read(offset, len)?).expect("an address inside an allocation");
        let len = usize::try_from(len).expect("checked: not above the length of this view");
        let writable = if self.writable == 0 { 0 } else { len };
        Ok(Self { start, len, writable, region: Arc::clone(&self.region) })
    }

    /// The address of the first byte in this process, for calls to foreign code.
    ///
    /// It stays mapped for as long as any view of the region exists, closed or not. Accesses through it bypass all checks
    /// of this type.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Fills `bytes` from the memory at `offset`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`]. An error leaves `bytes` unchanged.
    #[inline]
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let from = self.check_read(offset, bytes.len() as u64)?;
        // SAFETY: checked; private bytes never overlap shared ones.
        unsafe { raw::copy_out(from, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Fills `bytes` from the memory at `offset`. If the device is open for reading only, this allocates no pages on the
    /// host.
    ///
    /// A file may have holes: ranges that read as zeroes and have no pages. On a tmpfs, on hugetlbfs and in a memfd,
    /// [`read`](Self::read) allocates pages for them, because Linux does so for every access to a mapping; on a full file
    /// system such an access raises SIGBUS. This function instead reads through the file system, with a system call each
    /// time: use it for large ranges, not for words. For a guest's device and for writable memory it is the same as `read`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`] and [`MemoryError::Closed`] leave `bytes` unchanged. [`MemoryError::Peek`] if the system
    /// cannot read the file, for example a part that another process has cut off; `bytes` may have changed.
    pub fn peek(&self, offset: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let from = self.check_read(offset, bytes.len() as u64)?;
        let pages = self.region.pages();
        let len = bytes.len() as u64;
        match pages.peek(from.addr() - pages.start().addr().get(), bytes) {
            Some(result) => result.map_err(|source| MemoryError::Peek { offset, len, source }),
            None => self.read(offset, bytes),
        }
    }

    /// Makes the pages of `len` bytes from `offset` on present, and allocates space for the holes of a file. Later accesses
    /// neither wait for the system to provide a page nor fail because it has none.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`]. [`MemoryError::NoSpace`] if there is not enough memory, disk
    /// space or huge pages; some of the pages may be present then. [`MemoryError::Populate`] if the system does not support
    /// the operation, as before Linux 5.14.
    pub fn prefault(&self, offset: u64, len: u64) -> Result<(), MemoryError> {
        let from = self.check_read(offset, len)?;
        if self.cache_mode() != CacheMode::Cached {
            // A device's memory is always present.
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

    /// Writes `bytes` to the memory at `offset`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`], [`MemoryError::Closed`], [`MemoryError::ReadOnly`]. An error means that nothing was
    /// written.
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
    /// The same as [`write`](Self::write).
    #[inline]
    pub fn fill(&self, offset: u64, byte: u8, len: u64) -> Result<(), MemoryError> {
        let to = self.check_write(offset, len)?;
        // SAFETY: checked, so the length fits as well.
        unsafe { raw::fill(to, byte, narrow(len)) };
        Ok(())
    }

    /// Copies `len` bytes from `offset` in this memory to `to_offset` in `to`, which may be the same memory. The ranges may
    /// overlap.
    ///
    /// Overlap is detected by address. Two mappings of one file have different addresses; copying between overlapping parts
    /// of them mixes the bytes.
    ///
    /// # Errors
    /// The same as [`read`](Self::read) for this memory and [`write`](Self::write) for the other. An error means that nothing
    /// was written.
    #[inline]
    pub fn copy_to(&self, offset: u64, to: &Memory, to_offset: u64, len: u64) -> Result<(), MemoryError> {
        let from = self.check_read(offset, len)?;
        let to = to.check_write(to_offset, len)?;
        // SAFETY: both are checked, so the length fits as well.
        unsafe { raw::copy_shared(from, to, narrow(len)) };
        Ok(())
    }

    /// Writes `len` bytes from `offset` on to the storage of the mapped file, and waits until the storage has them.
    ///
    /// Other mappings of the file see every write at once, without this call. For memory without storage, such as a tmpfs
    /// or the heap, it does nothing.
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

    /// Reads a number in little-endian byte order, at any alignment.
    ///
    /// # Errors
    /// The same as [`read_word`](Self::read_word).
    #[inline]
    pub fn read_word_le<T: Word>(&self, offset: u64) -> Result<T, MemoryError> {
        Ok(T::from_raw(self.read_raw::<T::Raw>(offset)?.le()))
    }

    /// Reads a number in big-endian byte order, at any alignment.
    ///
    /// # Errors
    /// The same as [`read_word`](Self::read_word).
    #[inline]
    pub fn read_word_be<T: Word>(&self, offset: u64) -> Result<T, MemoryError> {
        Ok(T::from_raw(self.read_raw::<T::Raw>(offset)?.be()))
    }

    /// Writes a number in the processor's byte order, at any alignment.
    ///
    /// # Errors
    /// The same as [`write`](Self::write).
    #[inline]
    pub fn write_word<T: Word>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_raw(offset, value.into_raw())
    }

    /// Writes a number in little-endian byte order, at any alignment.
    ///
    /// # Errors
    /// The same as [`write`](Self::write).
    #[inline]
    pub fn write_word_le<T: Word>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_raw(offset, value.into_raw().le())
    }

    /// Writes a number in big-endian byte order, at any alignment.
    ///
    /// # Errors
    /// The same as [`write`](Self::write).
    #[inline]
    pub fn write_word_be<T: Word>(&self, offset: u64, value: T) -> Result<(), MemoryError> {
        self.write_raw(offset, value.into_raw().be())
    }

    /// The offset in this view of the first occurrence of `needle` within `len` bytes from `offset` on; `None` if there is
    /// none.
    ///
    /// The function searches a copy of the bytes, because other programs may change them at any time.
    ///
    /// # Errors
    /// The same as [`read`](Self::read).
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
            // An occurrence may span two chunks.
            done += (some - overlap) as u64;
        }
    }

    /// Sleeps for `time`, or until the memory is closed.
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

    /// Checks an access that reads, and returns its address.
    #[inline(always)]
    pub(super) fn check_read(&self, offset: u64, len: u64) -> Result<*mut u8, MemoryError> {
        self.check(self.len, offset, len)
    }

    /// Checks an access that writes, and returns its address.
    #[inline(always)]
    pub(super) fn check_write(&self, offset: u64, len: u64) -> Result<*mut u8, MemoryError> {
        self.check(self.writable, offset, len)
    }

    #[inline(always)]
    fn check(&self, bound: usize, offset: u64, len: u64) -> Result<*mut u8, MemoryError> {
        let bound = (bound & self.region.gate()) as u64;
        // An empty access is rare and takes the slow path: no bound distinguishes it from an access to closed memory.
        if len == 0 || offset >= bound.saturating_sub(len - 1) {
            self.refuse(bound, offset, len)?;
        }
        // SAFETY: offset < bound <= len, so the address is inside the pages.
        Ok(unsafe { self.start.as_ptr().add(narrow(offset)) })
    }

    /// Determines the error of an access; `Ok` for an empty access inside the view.
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

/// The number of bytes that a search copies at a time.
const SEARCH_CHUNK: usize = 64 * 1024;

/// Converts an offset or length that a check has bounded by the length of the mapped pages.
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
