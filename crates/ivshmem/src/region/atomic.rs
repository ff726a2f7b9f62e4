// UNSAFETY: this file accesses shared words by address, each time after one check.
#![expect(unsafe_code, reason = "calls of the raw accesses with checked addresses")]

use std::ops::{BitAnd, BitOr, BitXor, Not};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::memory::narrow;
use super::raw::{self, RawWord};
use super::{CacheMode, Memory, MemoryError, Word};

/// A value that one atomic access reads or writes: an integer of 8 to 64 bits, signed or unsigned.
pub trait AtomicWord:
    Word + Ord + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
}

macro_rules! atomic_words {
    ($($word:ty),*) => { $(impl AtomicWord for $word {})* };
}
atomic_words!(u8, u16, u32, u64, i8, i16, i32, i64);

/// Adds to the word at an address, and returns the previous value. For a binding that accesses memory by address.
///
/// # Safety
/// The address is valid for reads and writes of the word until this returns, and has the alignment that [`Memory`]
/// requires.
#[doc(hidden)]
#[inline]
pub unsafe fn fetch_add_at<T: AtomicWord>(at: *mut u8, value: T) -> T {
    // SAFETY: as the caller promises.
    T::from_raw(unsafe { T::Raw::fetch_add(at, value.into_raw(), SeqCst) })
}

/// Replaces the word at an address, and returns the previous value.
///
/// # Safety
/// The same as [`fetch_add_at`].
#[doc(hidden)]
#[inline]
pub unsafe fn swap_at<T: AtomicWord>(at: *mut u8, value: T) -> T {
    // SAFETY: as the caller promises.
    T::from_raw(unsafe { T::Raw::swap(at, value.into_raw(), SeqCst) })
}

/// Replaces the word at an address with `new` if it is `current`, and returns whether it did.
///
/// # Safety
/// The same as [`fetch_add_at`].
#[doc(hidden)]
#[inline]
pub unsafe fn compare_exchange_at<T: AtomicWord>(at: *mut u8, current: T, new: T) -> bool {
    // SAFETY: as the caller promises.
    unsafe { T::Raw::compare_exchange(at, current.into_raw(), new.into_raw(), (SeqCst, SeqCst)) }.is_ok()
}

/// # Atomic accesses
///
/// They behave like the standard library's atomics of the same names, and pair with the atomics of a peer's program in
/// any language.
///
/// On x86-64 any offset is allowed, and on 32-bit x86 any offset for accesses of up to 4 bytes. An access that crosses a
/// cache line locks the bus of the whole machine, and some systems forbid it, so align the words of your own layouts.
/// On other processors the address must be a multiple of the size, otherwise the access fails with
/// [`MemoryError::Misaligned`].
///
/// All of them return the errors of [`read`](Self::read), and all except [`load`](Self::load) also those of
/// [`write`](Self::write). An ordering that is invalid for the operation is [`MemoryError::InvalidOrdering`].
impl Memory {
    /// Reads a value. `order` is relaxed, acquire or sequentially consistent.
    ///
    /// # Errors
    /// As above. A load that crosses a boundary of 8 bytes needs writable memory.
    #[inline]
    pub fn load<T: AtomicWord>(&self, offset: u64, order: Ordering) -> Result<T, MemoryError> {
        if matches!(order, Release | AcqRel) {
            return Err(MemoryError::InvalidOrdering { operation: "a load", ordering: order });
        }
        let at = self.check_read(offset, T::Raw::LEN)?;
        if !T::Raw::is_single(at) {
            return self.load_split(offset);
        }
        // SAFETY: checked.
        let value = unsafe { T::Raw::load(self.as_ptr(), narrow(offset), order) };
        // Reads of ordinary memory are ordered; those of write-combined memory may overtake each other.
        if order != Relaxed && self.cache_mode() != CacheMode::Cached {
            self.fence();
        }
        Ok(T::from_raw(value))
    }

    /// Writes a value. `order` is relaxed, release or sequentially consistent.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn store<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<(), MemoryError> {
        if matches!(order, Acquire | AcqRel) {
            return Err(MemoryError::InvalidOrdering { operation: "a store", ordering: order });
        }
        let at = self.check_write(offset, T::Raw::LEN)?;
        // A plain store neither flushes the write-combining buffers nor bypasses them. Uncached memory may be
        // write-combined in fact.
        let late = order != Relaxed && self.cache_mode() != CacheMode::Cached;
        if late || !T::Raw::is_single(at) {
            return self.swap(offset, value, SeqCst).map(drop);
        }
        // SAFETY: checked.
        unsafe { T::Raw::store(at, value.into_raw(), order) };
        Ok(())
    }

    /// Writes a value, and returns the previous one.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn swap<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        let at = self.check_atomic::<T>(offset)?;
        // SAFETY: checked.
        Ok(T::from_raw(unsafe { T::Raw::swap(at, value.into_raw(), order) }))
    }

    /// Writes `new` if the value is `current`. Returns the previous value: as `Ok` if it was `current`, otherwise as `Err`.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn compare_exchange<T: AtomicWord>(
        &self,
        offset: u64,
        current: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<Result<T, T>, MemoryError> {
        if matches!(failure, Release | AcqRel) {
            let operation = "a compare-exchange that fails";
            return Err(MemoryError::InvalidOrdering { operation, ordering: failure });
        }
        let at = self.check_atomic::<T>(offset)?;
        let (current, new) = (current.into_raw(), new.into_raw());
        // SAFETY: checked.
        let result = unsafe { T::Raw::compare_exchange(at, current, new, (success, failure)) };
        Ok(result.map(T::from_raw).map_err(T::from_raw))
    }

    /// Adds `value`, wrapping around on overflow, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_add<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        let at = self.check_atomic::<T>(offset)?;
        // SAFETY: checked.
        Ok(T::from_raw(unsafe { T::Raw::fetch_add(at, value.into_raw(), order) }))
    }

    /// Subtracts `value`, wrapping around on overflow, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_sub<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.fetch_add(offset, T::from_raw(value.into_raw().negated()), order)
    }

    /// Writes the bitwise AND with `value`, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_and<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old & value)
    }

    /// Writes the bitwise NAND with `value`, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_nand<T: AtomicWord>(
        &self,
        offset: u64,
        value: T,
        order: Ordering,
    ) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| !(old & value))
    }

    /// Writes the bitwise OR with `value`, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_or<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old | value)
    }

    /// Writes the bitwise XOR with `value`, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_xor<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old ^ value)
    }

    /// Writes the maximum of the current value and `value`, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_max<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old.max(value))
    }

    /// Writes the minimum of the current value and `value`, and returns the previous value.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_min<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old.min(value))
    }

    /// Calls `update` with the current value, and writes the result if the value is still the same; otherwise repeats this
    /// with the new value. Returns the previous value: as `Ok` after the write, or as `Err` without one if `update` returned
    /// `None`.
    ///
    /// # Errors
    /// As above.
    pub fn fetch_update<T: AtomicWord>(
        &self,
        offset: u64,
        set_order: Ordering,
        fetch_order: Ordering,
        mut update: impl FnMut(T) -> Option<T>,
    ) -> Result<Result<T, T>, MemoryError> {
        let mut old = self.load(offset, fetch_order)?;
        while let Some(new) = update(old) {
            // Every attempt checks again, so closing ends the loop whatever the peers do.
            match self.compare_exchange(offset, old, new, set_order, fetch_order)? {
                Ok(old) => return Ok(Ok(old)),
                Err(now) => old = now,
            }
        }
        Ok(Err(old))
    }

    /// Whether this processor supports [`compare_exchange_128`](Self::compare_exchange_128). Nearly all x86-64 processors do.
    pub fn supports_128bit_compare_exchange() -> bool {
        raw::supports_128bit_compare_exchange()
    }

    /// Replaces 16 bytes with `new` if they are `current`, sequentially consistent and in the processor's byte order. Returns
    /// the previous value: as `Ok` if it was `current`, otherwise as `Err`. The address must be a multiple of 16.
    ///
    /// # Errors
    /// As above, and [`MemoryError::No128Bit`] if the processor has no such instruction.
    pub fn compare_exchange_128(
        &self,
        offset: u64,
        current: u128,
        new: u128,
    ) -> Result<Result<u128, u128>, MemoryError> {
        let at = self.check_write(offset, 16)?;
        if !at.addr().is_multiple_of(16) {
            return Err(MemoryError::Misaligned { offset, align: 16 });
        }
        // SAFETY: checked.
        let old = unsafe { raw::compare_exchange_128(at, current, new) }.ok_or(MemoryError::No128Bit)?;
        Ok(if old == current { Ok(old) } else { Err(old) })
    }

    /// Orders every earlier access before every later one, in every cache mode. In write-combined memory it flushes plain
    /// writes.
    pub fn fence(&self) {
        raw::fence();
    }

    fn modify<T: AtomicWord>(
        &self,
        offset: u64,
        order: Ordering,
        change: impl Fn(T) -> T,
    ) -> Result<T, MemoryError> {
        let failure = match order {
            Release => Relaxed,
            AcqRel => Acquire,
            other => other,
        };
        let at = self.check_atomic::<T>(offset)?;
        // SAFETY: checked. If the value is torn, the exchange below fails.
        let mut old = unsafe { T::Raw::read(at, 0) };
        loop {
            let new = change(T::from_raw(old)).into_raw();
            // SAFETY: checked.
            match unsafe { T::Raw::compare_exchange(at, old, new, (order, failure)) } {
                Ok(old) => return Ok(T::from_raw(old)),
                Err(now) => old = now,
            }
            // Closing ends the loop, whatever the peers do.
            if self.is_closed() {
                return Err(MemoryError::Closed);
            }
        }
    }

    /// Reads a value that a plain load could tear, by exchanging zero for zero.
    #[cold]
    fn load_split<T: AtomicWord>(&self, offset: u64) -> Result<T, MemoryError> {
        let zero = T::from_raw(T::Raw::ZERO);
        match self.compare_exchange(offset, zero, zero, SeqCst, SeqCst) {
            Ok(result) => Ok(result.unwrap_or_else(|old| old)),
            Err(MemoryError::ReadOnly) => Err(MemoryError::Misaligned { offset, align: T::Raw::LEN }),
            Err(e) => Err(e),
        }
    }

    #[inline(always)]
    fn check_atomic<T: Word>(&self, offset: u64) -> Result<*mut u8, MemoryError> {
        let at = self.check_write(offset, T::Raw::LEN)?;
        if !at.addr().is_multiple_of(T::Raw::ALIGN) {
            return Err(MemoryError::Misaligned { offset, align: T::Raw::LEN });
        }
        Ok(at)
    }
}
