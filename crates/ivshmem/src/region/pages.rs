// UNSAFETY: Pages is an unsafe trait: it promises that an address stays valid.
#![expect(unsafe_code, reason = "the promise of Pages, and Send and Sync for its pointer")]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::CacheMode;

/// Pages that stay where they are for as long as their owner lives.
///
/// # Safety
/// From `start` on, `len` bytes are valid for reads, and for writes unless `is_read_only`, from any thread, until the
/// owner is dropped. No Rust reference to any of them exists. `len` is at most `isize::MAX`.
pub(crate) unsafe trait Pages: Send + Sync {
    fn start(&self) -> NonNull<u8>;
    fn len(&self) -> usize;
    fn is_read_only(&self) -> bool;

    /// Whether no other process can make an access raise SIGBUS.
    fn is_sealed(&self) -> bool {
        false
    }

    /// Fills `bytes` from `offset` on without making a page present that is not; `None` where only a touch tells.
    fn peek(&self, _offset: usize, _bytes: &mut [u8]) -> Option<io::Result<()>> {
        None
    }

    /// Makes pages present, for writing unless they are read only; where they always are, nothing needs to be done.
    fn populate(&self, _offset: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// Brings bytes to the storage behind the pages; where there is none, nothing needs to be done.
    fn sync(&self, _offset: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// Lets go of shared memory while the addresses stay valid; pages that nobody else sees may stay.
    fn detach(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The owner of pages, common to all views of them.
pub(crate) struct Region {
    /// All ones while open, zero once closed: a view's length AND this is the bound of an access, so the check for
    /// bounds is the check for closed, too.
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

    /// Relaxed is enough: the pages outlive the closing, so an access that runs past it harms nobody.
    #[inline(always)]
    pub(super) fn gate(&self) -> usize {
        self.gate.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.gate.store(0, Ordering::Release);
        // A sleeper looks at the gate under this lock before it sleeps, so none can miss the call.
        let _guard = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        self.closing.notify_all();
    }

    /// Sleeps for the time given, or until the memory is closed.
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
// SAFETY: a Mapping ends on drop only, or with the process; a driver that is stopped keeps it until then.
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
// SAFETY: a Mapping unmaps on drop only, and nobody else has its address.
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
