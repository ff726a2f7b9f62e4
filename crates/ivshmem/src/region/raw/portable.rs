// UNSAFETY: this file implements every access to shared bytes by relaxed atomics.
#![expect(unsafe_code, reason = "atomics at checked addresses, each for one access only")]

use std::sync::atomic::{
    AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, Ordering::Relaxed,
};

use super::RawWord;

const STEP: usize = size_of::<usize>();

/// Copies from shared to private memory.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
pub(in super::super) unsafe fn copy_out(from: *const u8, to: *mut u8, len: usize) {
    let (head, steps) = split(from, len);
    for i in 0..head {
        // SAFETY: below `len`, as the caller promises.
        let byte = unsafe { u8::read(from, i) };
        // SAFETY: below `len`, as the caller promises.
        unsafe { to.wrapping_add(i).write(byte) };
    }
    for i in (head..head + steps).step_by(STEP) {
        // SAFETY: as above, and aligned by split().
        let word = unsafe { AtomicUsize::from_ptr(from.wrapping_add(i).cast_mut().cast()) }.load(Relaxed);
        // SAFETY: as above; private memory may be unaligned.
        unsafe { to.wrapping_add(i).cast::<usize>().write_unaligned(word) };
    }
    for i in head + steps..len {
        // SAFETY: below `len`, as the caller promises.
        let byte = unsafe { u8::read(from, i) };
        // SAFETY: below `len`, as the caller promises.
        unsafe { to.wrapping_add(i).write(byte) };
    }
}

/// Copies from private to shared memory.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
pub(in super::super) unsafe fn copy_in(from: *const u8, to: *mut u8, len: usize) {
    let (head, steps) = split(to, len);
    for i in 0..head {
        // SAFETY: below `len`, as the caller promises.
        let byte = unsafe { from.wrapping_add(i).read() };
        // SAFETY: below `len`, as the caller promises.
        unsafe { u8::write(to.wrapping_add(i), byte) };
    }
    for i in (head..head + steps).step_by(STEP) {
        // SAFETY: as above; private memory may be unaligned.
        let word = unsafe { from.wrapping_add(i).cast::<usize>().read_unaligned() };
        // SAFETY: as above, and aligned by split().
        unsafe { AtomicUsize::from_ptr(to.wrapping_add(i).cast()) }.store(word, Relaxed);
    }
    for i in head + steps..len {
        // SAFETY: below `len`, as the caller promises.
        let byte = unsafe { from.wrapping_add(i).read() };
        // SAFETY: below `len`, as the caller promises.
        unsafe { u8::write(to.wrapping_add(i), byte) };
    }
}

/// Copies within shared memory; source and target may overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes.
pub(in super::super) unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    // Ascending order is correct unless the target begins inside the source.
    let ascending = to.addr().wrapping_sub(from.addr()) >= len;
    for i in 0..len {
        let i = if ascending { i } else { len - 1 - i };
        // SAFETY: below `len`, as the caller promises.
        let byte = unsafe { u8::read(from, i) };
        // SAFETY: below `len`, as the caller promises.
        unsafe { u8::write(to.wrapping_add(i), byte) };
    }
}

/// Sets `len` bytes to `byte`.
///
/// # Safety
/// `to` is valid for writes of `len` bytes.
pub(in super::super) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    for i in 0..len {
        // SAFETY: below `len`, as the caller promises.
        unsafe { u8::write(to.wrapping_add(i), byte) };
    }
}

/// Orders every earlier access before every later one.
pub(in super::super) fn fence() {
    std::sync::atomic::fence(Ordering::SeqCst);
}

/// Whether this processor can exchange 16 bytes: never here. Rust offers only a lock of this process, which other
/// processes do not take.
pub(in super::super) fn supports_128bit_compare_exchange() -> bool {
    false
}

/// Exchanges nothing.
///
/// # Safety
/// There is no condition.
pub(in super::super) unsafe fn compare_exchange_128(
    _at: *mut u8,
    _current: u128,
    _new: u128,
) -> Option<u128> {
    None
}

/// The number of bytes before the first aligned word, and the number of bytes in the whole words after those.
fn split(at: *const u8, len: usize) -> (usize, usize) {
    let head = (at.addr().wrapping_neg() % STEP).min(len);
    (head, (len - head) / STEP * STEP)
}

macro_rules! raw_words {
    ($($raw:ty, $atomic:ty;)*) => {$(
        impl RawWord for $raw {
            std_atomics!($atomic);

            const LEN: u64 = size_of::<$raw>() as u64;
            const ZERO: Self = 0;

            fn le(self) -> Self {
                self.to_le()
            }

            fn be(self) -> Self {
                self.to_be()
            }

            fn negated(self) -> Self {
                self.wrapping_neg()
            }

            unsafe fn read(start: *const u8, offset: usize) -> Self {
                let at = start.wrapping_add(offset);
                if Self::is_single(at) {
                    // SAFETY: as the caller promises, and aligned.
                    return unsafe { <$atomic>::from_ptr(at.cast_mut().cast()) }.load(Relaxed);
                }
                let mut bytes = [0; size_of::<Self>()];
                // SAFETY: as the caller promises.
                unsafe { copy_out(at, bytes.as_mut_ptr(), bytes.len()) };
                Self::from_ne_bytes(bytes)
            }

            unsafe fn write(at: *mut u8, value: Self) {
                if Self::is_single(at) {
                    // SAFETY: as the caller promises, and aligned.
                    return unsafe { <$atomic>::from_ptr(at.cast()) }.store(value, Relaxed);
                }
                let bytes = value.to_ne_bytes();
                // SAFETY: as the caller promises.
                unsafe { copy_in(bytes.as_ptr(), at, bytes.len()) };
            }
        }
    )*};
}
raw_words! { u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64; }
