//! The accesses themselves, unchecked.
//!
//! Another machine may change any byte at any time, and words of different sizes may lie over each other. Rust's
//! memory model has no such accesses, so on x86 they are inline assembly, of which the model sees nothing but "some
//! bytes were read or written". Elsewhere, and under miri, they are atomics, which is slower and as exact as the
//! language allows.

// UNSAFETY: the trait below has unchecked accesses as methods.
#![expect(unsafe_code, reason = "methods that take addresses")]

use std::sync::atomic::Ordering;

/// The accesses by means of the standard library's atomics, as methods of `RawWord`. Whoever calls them has checked
/// the alignment and the ordering.
#[cfg(not(all(target_arch = "x86_64", not(any(miri, portable)))))]
macro_rules! std_atomics {
    ($atomic:ty) => {
        const ALIGN: usize = size_of::<Self>();

        #[inline(always)]
        fn is_single(at: *const u8) -> bool {
            at.addr().is_multiple_of(size_of::<Self>())
        }

        #[inline(always)]
        unsafe fn load(start: *const u8, offset: usize, order: Ordering) -> Self {
            let at = start.wrapping_add(offset).cast_mut().cast();
            // SAFETY: as the caller promises; aligned; gone at the end of this line.
            unsafe { <$atomic>::from_ptr(at) }.load(order)
        }

        #[inline(always)]
        unsafe fn store(at: *mut u8, value: Self, order: Ordering) {
            // SAFETY: as the caller promises; aligned; gone at the end of this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.store(value, order);
        }

        #[inline(always)]
        unsafe fn swap(at: *mut u8, value: Self, order: Ordering) -> Self {
            // SAFETY: as the caller promises; aligned; gone at the end of this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.swap(value, order)
        }

        #[inline(always)]
        unsafe fn compare_exchange(
            at: *mut u8,
            current: Self,
            new: Self,
            (success, failure): (Ordering, Ordering),
        ) -> Result<Self, Self> {
            // SAFETY: as the caller promises; aligned; gone at the end of this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.compare_exchange(current, new, success, failure)
        }

        #[inline(always)]
        unsafe fn fetch_add(at: *mut u8, value: Self, order: Ordering) -> Self {
            // SAFETY: as the caller promises; aligned; gone at the end of this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.fetch_add(value, order)
        }
    };
}

// The cfg `portable` forces the general way where there is a better one, to test it.
#[cfg(not(all(
    any(target_arch = "x86", target_arch = "x86_64"),
    target_feature = "sse2",
    not(any(miri, portable))
)))]
#[path = "portable.rs"]
mod processor;
#[cfg(all(
    any(target_arch = "x86", target_arch = "x86_64"),
    target_feature = "sse2",
    not(any(miri, portable))
))]
#[path = "x86/mod.rs"]
mod processor;

pub(super) use processor::{
    compare_exchange_128, copy_in, copy_out, copy_shared, fence, fill, supports_128bit_compare_exchange,
};

/// An unsigned integer as one access moves it.
///
/// # Safety of its functions
/// The address is valid for this many bytes, for writes where the function writes. The atomic functions (those with
/// an ordering) need an address that is a multiple of `ALIGN`, and `load` and `store` one that `is_single`.
pub trait RawWord: Copy + Eq {
    /// Its size in bytes.
    const LEN: u64;
    /// What the address of an atomic read-modify-write must be a multiple of.
    const ALIGN: usize;
    /// All bits clear.
    const ZERO: Self;

    /// The same bytes in little-endian order: swapped where the processor has the other.
    fn le(self) -> Self;
    /// The same bytes in big-endian order: swapped where the processor has the other.
    fn be(self) -> Self;
    /// The number that adds to zero with this one.
    fn negated(self) -> Self;
    /// Whether a load or store at this address is one for every observer.
    fn is_single(at: *const u8) -> bool;

    /// Reads at any alignment.
    ///
    /// The start and the offset come apart for the two forms of load: the processor adds them for nothing, and an
    /// addition of ours would make a chain of loads a quarter slower.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn read(start: *const u8, offset: usize) -> Self;

    /// Writes at any alignment.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn write(at: *mut u8, value: Self);

    /// # Safety
    /// See the trait.
    unsafe fn load(start: *const u8, offset: usize, order: Ordering) -> Self;

    /// # Safety
    /// See the trait.
    unsafe fn store(at: *mut u8, value: Self, order: Ordering);

    /// # Safety
    /// See the trait.
    unsafe fn swap(at: *mut u8, value: Self, order: Ordering) -> Self;

    /// # Safety
    /// See the trait.
    unsafe fn compare_exchange(
        at: *mut u8,
        current: Self,
        new: Self,
        orders: (Ordering, Ordering),
    ) -> Result<Self, Self>;

    /// # Safety
    /// See the trait.
    unsafe fn fetch_add(at: *mut u8, value: Self, order: Ordering) -> Self;
}
