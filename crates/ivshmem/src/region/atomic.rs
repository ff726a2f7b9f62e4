// UNSAFETY: addresses become atomic accesses here, each after one check.
#![expect(unsafe_code, reason = "calls of the raw accesses with checked addresses")]

use std::ops::{BitAnd, BitOr, BitXor, Not};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::memory::narrow;
use super::raw::{self, RawWord};
use super::{CacheMode, Memory, MemoryError, Word};

/// An integer of 8 to 64 bits, signed or not: what an atomic access moves.
pub trait AtomicWord:
    Word + Ord + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
}

macro_rules! atomic_words {
    ($($word:ty),*) => { $(impl AtomicWord for $word {})* };
}
atomic_words!(u8, u16, u32, u64, i8, i16, i32, i64);

/// Adds at an address, for a binding whose own accesses go by address; gives the value before.
///
/// # Safety
/// The address is valid for reads and writes of the word until this returns, and has the alignment that [`Memory`] demands.
#[doc(hidden)]
#[inline]
pub unsafe fn fetch_add_at<T: AtomicWord>(at: *mut u8, value: T) -> T {
    // SAFETY: as the caller promises.
    T::from_raw(unsafe { T::Raw::fetch_add(at, value.into_raw(), SeqCst) })
}

/// Exchanges at an address; gives the value before.
///
/// # Safety
/// As [`fetch_add_at`].
#[doc(hidden)]
#[inline]
pub unsafe fn swap_at<T: AtomicWord>(at: *mut u8, value: T) -> T {
    // SAFETY: as the caller promises.
    T::from_raw(unsafe { T::Raw::swap(at, value.into_raw(), SeqCst) })
}

/// Compares and exchanges at an address; whether it has.
///
/// # Safety
/// As [`fetch_add_at`].
#[doc(hidden)]
#[inline]
pub unsafe fn compare_exchange_at<T: AtomicWord>(at: *mut u8, current: T, new: T) -> bool {
    // SAFETY: as the caller promises.
    unsafe { T::Raw::compare_exchange(at, current.into_raw(), new.into_raw(), (SeqCst, SeqCst)) }.is_ok()
}

/// # Atomic accesses
///
/// They are the standard library's atomics of the same names, and they pair with the atomics of whatever program is
/// on the other side, in whatever language.
///
/// On x86-64 any offset will do, and on 32-bit x86 any offset for up to 4 bytes. An access that crosses a cache line
/// stops the bus of the whole machine for a moment, and some systems forbid it, so align what you lay out yourself.
/// Elsewhere the address must be a multiple of the size: [`MemoryError::Misaligned`].
///
/// All of them fail as [`read`](Self::read) does, and all but [`load`](Self::load) as [`write`](Self::write) does.
/// An ordering that makes no sense is [`MemoryError::InvalidOrdering`].
impl Memory {
    /// Reads a value: relaxed, acquire or sequentially consistent.
    ///
    /// # Errors
    /// As above. A load that is not inside 8 aligned bytes needs memory that can be written.
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
        // Reads of ordinary memory are in order; those of write-combined memory may overtake each other.
        if order != Relaxed && self.cache_mode() != CacheMode::Cached {
            self.fence();
        }
        Ok(T::from_raw(value))
    }

    /// Writes a value: relaxed, release or sequentially consistent.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn store<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<(), MemoryError> {
        if matches!(order, Acquire | AcqRel) {
            return Err(MemoryError::InvalidOrdering { operation: "a store", ordering: order });
        }
        let at = self.check_write(offset, T::Raw::LEN)?;
        // A plain store neither waits for what the write-combining buffers hold, nor leaves them. Uncached memory may
        // have such buffers as well.
        let late = order != Relaxed && self.cache_mode() != CacheMode::Cached;
        if late || !T::Raw::is_single(at) {
            return self.swap(offset, value, SeqCst).map(drop);
        }
        // SAFETY: checked.
        unsafe { T::Raw::store(at, value.into_raw(), order) };
        Ok(())
    }

    /// Writes a value and gives the one that was there.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn swap<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        let at = self.check_atomic::<T>(offset)?;
        // SAFETY: checked.
        Ok(T::from_raw(unsafe { T::Raw::swap(at, value.into_raw(), order) }))
    }

    /// Writes `new` if the value is `current`. Gives the value that was there: `Ok` when it was `current`.
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

    /// Adds, wrapping around; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_add<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        let at = self.check_atomic::<T>(offset)?;
        // SAFETY: checked.
        Ok(T::from_raw(unsafe { T::Raw::fetch_add(at, value.into_raw(), order) }))
    }

    /// Subtracts, wrapping around; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_sub<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.fetch_add(offset, T::from_raw(value.into_raw().negated()), order)
    }

    /// Keeps the bits that are set in both; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_and<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old & value)
    }

    /// Sets the bits that are not set in both; gives the value before.
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

    /// Sets the bits that are set in either; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_or<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old | value)
    }

    /// Sets the bits that are set in exactly one; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_xor<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old ^ value)
    }

    /// Writes the greater one; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_max<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old.max(value))
    }

    /// Writes the lesser one; gives the value before.
    ///
    /// # Errors
    /// As above.
    #[inline]
    pub fn fetch_min<T: AtomicWord>(&self, offset: u64, value: T, order: Ordering) -> Result<T, MemoryError> {
        self.modify(offset, order, |old: T| old.min(value))
    }

    /// Writes what the function makes of the value, again and again until nobody came between; gives the value
    /// before. `Err` with the value when the function gives `None`; nothing is written then.
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
            // Every turn checks again, so closing ends this whatever the other side does.
            match self.compare_exchange(offset, old, new, set_order, fetch_order)? {
                Ok(old) => return Ok(Ok(old)),
                Err(now) => old = now,
            }
        }
        Ok(Err(old))
    }

    /// Whether this processor can do [`compare_exchange_128`](Self::compare_exchange_128): nearly all x86-64 can.
    pub fn supports_128bit_compare_exchange() -> bool {
        raw::supports_128bit_compare_exchange()
    }

    /// Writes 16 bytes if they are `current`, sequentially consistent, in the processor's byte order. Gives what was
    /// there: `Ok` when it was `current`. The address must be a multiple of 16.
    ///
    /// # Errors
    /// As above, and [`MemoryError::No128Bit`] where the processor has no such instruction.
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

    /// Orders every access before it with every access after it, in every cache mode. On write-combined memory it
    /// sends plain writes on their way.
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
        // SAFETY: checked. Should this be seen in parts, the exchange fails.
        let mut old = unsafe { T::Raw::read(at, 0) };
        loop {
            let new = change(T::from_raw(old)).into_raw();
            // SAFETY: checked.
            match unsafe { T::Raw::compare_exchange(at, old, new, (order, failure)) } {
                Ok(old) => return Ok(T::from_raw(old)),
                Err(now) => old = now,
            }
            // Closing ends this, whatever the other side does.
            if self.is_closed() {
                return Err(MemoryError::Closed);
            }
        }
    }

    /// A load that several observers could see in parts is done by an exchange of nothing for nothing.
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
