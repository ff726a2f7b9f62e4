//! The accesses themselves, unchecked.
//!
//! Another machine may change any byte at any time, and words of different sizes may lie over each other. Rust's
//! memory model has no such accesses, so on x86 they are inline assembly, of which the model sees nothing but "some
//! bytes were read or written". Elsewhere, and under miri, they are relaxed atomics, which is slower and as exact as
//! the language allows.

// UNSAFETY: the trait below has unchecked accesses as methods.
#![expect(unsafe_code, reason = "methods that take addresses")]

#[cfg(any(not(any(target_arch = "x86", target_arch = "x86_64")), miri))]
mod portable;
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(miri)))]
mod x86;

#[cfg(any(not(any(target_arch = "x86", target_arch = "x86_64")), miri))]
pub(super) use portable::{copy_in, copy_out, copy_shared, fill};
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(miri)))]
pub(super) use x86::{copy_in, copy_out, copy_shared, fill};

/// An unsigned integer as one access moves it.
pub trait RawWord: Copy + Eq {
    /// Its size in bytes.
    const LEN: u64;

    /// The same bytes as the other byte order has them, where it differs from the processor's.
    fn le(self) -> Self;
    /// See `le`.
    fn be(self) -> Self;

    /// Reads at any alignment.
    ///
    /// # Safety
    /// `from` is valid for reads of this many bytes.
    unsafe fn read(from: *const u8) -> Self;

    /// Writes at any alignment.
    ///
    /// # Safety
    /// `to` is valid for writes of this many bytes.
    unsafe fn write(to: *mut u8, value: Self);
}
