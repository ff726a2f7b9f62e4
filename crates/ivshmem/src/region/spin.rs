use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::{AtomicWord, Memory, MemoryError};

/// How [`Memory::spin`] and [`Memory::spin_and_set`] wait for a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spin {
    /// The time to sleep between two checks. `None` checks continuously, which responds fastest and occupies a processor.
    pub sleep: Option<Duration>,
    /// The time after which to give up. `None` waits until the memory has the value or is closed.
    pub timeout: Option<Duration>,
}

/// The number of checks between two readings of the clock.
const LOOKS: u32 = 64;

/// # Waiting for a value
///
/// These functions poll the memory, so they miss a value that appears and disappears between two checks.
/// [`close`](Self::close) ends a wait at once, including one that sleeps.
impl Memory {
    /// Waits until the value at `offset` is `expected`, and acquires it. Returns false if the timeout passes first.
    ///
    /// # Errors
    /// The same as [`load`](Self::load); [`MemoryError::Closed`] also if the memory is closed during the wait.
    pub fn spin<T: AtomicWord>(&self, offset: u64, expected: T, how: Spin) -> Result<bool, MemoryError> {
        // A relaxed load comes first: it is cheaper where an acquire needs a fence.
        self.poll(how, || {
            Ok(self.load::<T>(offset, Relaxed)? == expected && self.load::<T>(offset, Acquire)? == expected)
        })
    }

    /// Waits until the value at `offset` is `expected`, and replaces it with `new` in one atomic step. Returns false if the
    /// timeout passes first.
    ///
    /// # Errors
    /// The same as [`compare_exchange`](Self::compare_exchange); [`MemoryError::Closed`] also if the memory is closed
    /// during the wait.
    pub fn spin_and_set<T: AtomicWord>(
        &self,
        offset: u64,
        expected: T,
        new: T,
        how: Spin,
    ) -> Result<bool, MemoryError> {
        // A load shares the cache line; a failed exchange would take it from its owner each time. The first attempt is
        // an exchange nevertheless, so that read-only memory is an error at once.
        let mut first = true;
        self.poll(how, || {
            let worth_it = std::mem::take(&mut first) || self.load::<T>(offset, Relaxed)? == expected;
            Ok(worth_it && self.compare_exchange(offset, expected, new, AcqRel, Acquire)?.is_ok())
        })
    }

    fn poll(
        &self,
        how: Spin,
        mut look: impl FnMut() -> Result<bool, MemoryError>,
    ) -> Result<bool, MemoryError> {
        // A timeout beyond the range of the clock counts as none.
        let deadline = how.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            for _ in 0..LOOKS {
                if look()? {
                    return Ok(true);
                }
                if how.sleep.is_some() {
                    break;
                }
                std::hint::spin_loop();
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            match how.sleep {
                Some(Duration::ZERO) => std::thread::yield_now(),
                Some(sleep) => self.sleep(left.map_or(sleep, |left| left.min(sleep))),
                None => {}
            }
        }
    }
}
