// UNSAFETY: Pages is an unsafe trait: its implementations guarantee that an address stays valid.
#![expect(unsafe_code, reason = "the promise of Pages, and Send and Sync for its pointer")]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::CacheMode;

/// Pages whose address stays the same for as long as their owner lives.
///
/// # Safety
/// The `len` bytes from `start` on are valid for reads, and for writes unless `is_read_only`, from any thread, until the
/// owner is dropped. No Rust reference to any of them exists. `len` is at most `isize::MAX`.
pub(crate) unsafe trait Pages: Send + Sync {
    fn start(&self) -> NonNull<u8>;
    fn len(&self) -> usize;
    fn is_read_only(&self) -> bool;

    /// Whether an access never raises SIGBUS, whatever other processes do.
    fn is_sealed(&self) -> bool {
        false
    }

    /// Reads into `bytes` from `offset` on without allocating a page for a hole; `None` if only an access to the mapping can
    /// read the bytes.
    fn peek(&self, _offset: usize, _bytes: &mut [u8]) -> Option<io::Result<()>> {
        None
    }

    /// Makes pages present, for writing unless they are read-only. Does nothing for pages that are always present.
    fn populate(&self, _offset: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// Writes bytes to the storage of the pages. Does nothing for pages without storage.
    fn sync(&self, _offset: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// Releases shared memory while the addresses stay valid. Private pages may stay.
    fn detach(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The owner of pages. All views of the pages share it.
pub(crate) struct Region {
    /// All ones while the region is open, zero once it is closed. The bound of an access is the view's length AND this
    /// word, so one comparison checks both the bounds and whether the region is closed.
    gate: AtomicUsize,
    pages: Box<dyn Pages>,
    cache_mode: CacheMode,
    sleepers: Mutex<()>,
    closing: Condvar,
}

impl Region {
    pub(crate) fn new(pages: impl Pages + 'static, cache_mode: CacheMode) -> Self {
        Self {
            gate: AtomicUsize::new(usize::MAX),
            pages: Box::new(pages),
            cache_mode,
            sleepers: Mutex::new(()),
            closing: Condvar::new(),
        }
    }

    /// A relaxed load suffices: the pages stay mapped after closing, so an access that misses the change is harmless.
    #[inline(always)]
    pub(super) fn gate(&self) -> usize {
        self.gate.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.gate.store(0, Ordering::Release);
        // A sleeping thread checks the gate under this lock before it waits, so it cannot miss the notification.
        let _guard = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        self.closing.notify_all();
    }

    /// Sleeps for `time`, or until the memory is closed.
    pub(super) fn sleep(&self, time: Duration) {
        let guard = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.closing.wait_timeout_while(guard, time, |()| self.gate() != 0));
    }

    pub(super) fn pages(&self) -> &dyn Pages {
        &*self.pages
    }

    pub(super) fn cache_mode(&self) -> CacheMode {
        self.cache_mode
    }
}

#[cfg(windows)]
// SAFETY: a Mapping is removed on drop only, or with the process; a driver that is stopped keeps it until then.
unsafe impl Pages for crate::sys::windows::driver::Mapping {
    fn start(&self) -> NonNull<u8> {
        self.start()
    }

    fn len(&self) -> usize {
        self.size()
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
// SAFETY: a Mapping is unmapped on drop only, and no other code has its address.
unsafe impl Pages for crate::sys::linux::mapping::Mapping {
    fn start(&self) -> NonNull<u8> {
        self.start()
    }

    fn len(&self) -> usize {
        self.size()
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only()
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed()
    }

    fn peek(&self, offset: usize, bytes: &mut [u8]) -> Option<io::Result<()>> {
        self.peek(offset, bytes)
    }

    fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        self.populate(offset, len)
    }

    fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
        self.sync(offset, len)
    }

    fn detach(&self) -> io::Result<()> {
        self.detach()
    }
}
