//! The unchecked accesses to shared memory.
//!
//! Another machine may change any byte at any time, and accesses of different sizes may overlap. Rust's memory model
//! does not define such accesses. On x86 they are inline assembly, which the compiler treats only as "some bytes were
//! read or written". On other processors, and under miri, they are atomics, which are slower and as exact as the
//! language allows.

// UNSAFETY: the trait below has unchecked accesses as methods.
#![expect(unsafe_code, reason = "methods that take addresses")]

use std::sync::atomic::Ordering;

/// Implements the atomic methods of `RawWord` by the standard library's atomics. The callers check the alignment and
/// the ordering.
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
            // SAFETY: as the caller promises; aligned; the reference ends with this line.
            unsafe { <$atomic>::from_ptr(at) }.load(order)
        }

        #[inline(always)]
        unsafe fn store(at: *mut u8, value: Self, order: Ordering) {
            // SAFETY: as the caller promises; aligned; the reference ends with this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.store(value, order);
        }

        #[inline(always)]
        unsafe fn swap(at: *mut u8, value: Self, order: Ordering) -> Self {
            // SAFETY: as the caller promises; aligned; the reference ends with this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.swap(value, order)
        }

        #[inline(always)]
        unsafe fn compare_exchange(
            at: *mut u8,
            current: Self,
            new: Self,
            (success, failure): (Ordering, Ordering),
        ) -> Result<Self, Self> {
            // SAFETY: as the caller promises; aligned; the reference ends with this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.compare_exchange(current, new, success, failure)
        }

        #[inline(always)]
        unsafe fn fetch_add(at: *mut u8, value: Self, order: Ordering) -> Self {
            // SAFETY: as the caller promises; aligned; the reference ends with this line.
            unsafe { <$atomic>::from_ptr(at.cast()) }.fetch_add(value, order)
        }
    };
}

// The cfg `portable` selects the portable implementation on x86, too, to test it.
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

/// An unsigned integer that one access reads or writes.
///
/// # Safety of its functions
/// The address is valid for `LEN` bytes, for writes if the function writes. The atomic functions (those with an
/// ordering) need an address that is a multiple of `ALIGN`; `load` and `store` need one for which `is_single` is true.
pub trait RawWord: Copy + Eq {
    /// The size in bytes.
    const LEN: u64;
    /// The required alignment, in bytes, of the address of an atomic read-modify-write.
    const ALIGN: usize;
    /// All bits clear.
    const ZERO: Self;

    /// The bytes in little-endian order: swapped on a big-endian processor.
    fn le(self) -> Self;
    /// The bytes in big-endian order: swapped on a little-endian processor.
    fn be(self) -> Self;
    /// The two's complement: the number whose sum with this one is 0.
    fn negated(self) -> Self;
    /// Whether every observer sees a load or store at this address as one access.
    fn is_single(at: *const u8) -> bool;

    /// Reads at any alignment.
    ///
    /// The two loads take the start and the offset separately: the processor adds them at no cost in the load itself,
    /// and a separate addition would make a chain of loads a quarter slower.
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
