// UNSAFETY: the standard library's allocator is unsafe to call.
#![expect(unsafe_code, reason = "allocation by layout, without a Rust type that would own the bytes")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::pages::Pages;

/// Zeroed memory that only this process can access, for tests and for programs without a peer.
pub(super) struct Heap {
    start: NonNull<u8>,
    len: usize,
    layout: Layout,
}

/// The alignment of a mapping, so that an offset has the same alignment in both kinds of memory.
const ALIGN: usize = 4096;

impl Heap {
    /// `None` if the system cannot allocate this many bytes.
    pub(super) fn new(len: usize) -> Option<Self> {
        // The allocator does not accept a size of 0.
        let layout = Layout::from_size_align(len.max(1), ALIGN).ok()?;
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        Some(Self { start: NonNull::new(start)?, len, layout })
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in new() with this layout, freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

// SAFETY: the bytes are plain memory, which is not bound to a thread.
unsafe impl Send for Heap {}
// SAFETY: as above; a shared Heap only returns its address.
unsafe impl Sync for Heap {}

// SAFETY: freed on drop only; a layout has at most isize::MAX bytes; no other code has the address.
unsafe impl Pages for Heap {
    fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn len(&self) -> usize {
        self.len
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn is_sealed(&self) -> bool {
        true
    }
}
