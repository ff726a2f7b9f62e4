use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::{AtomicWord, Memory, MemoryError};

/// How to wait for a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spin {
    /// How long to sleep between two looks. `None` looks all the time: the fastest, at the price of a processor.
    pub sleep: Option<Duration>,
    /// When to give up. `None` waits until the value is there or the memory is closed.
    pub timeout: Option<Duration>,
}

/// Looks between two glances at the clock.
const LOOKS: u32 = 64;

/// # Waiting for a value
///
/// Nobody signals here, so a value that comes and goes between two looks is missed. [`close`](Self::close) ends the
/// waiting at once, also that of a sleeper.
impl Memory {
    /// Waits until the value at `offset` is `expected` and acquires it. Tells whether it was before the timeout.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`MemoryError::Closed`] also when the memory is closed meanwhile.
    pub fn spin<T: AtomicWord>(&self, offset: u64, expected: T, how: Spin) -> Result<bool, MemoryError> {
        // Looking orders nothing, which is cheaper where acquiring needs a fence.
        self.poll(how, || {
            Ok(self.load::<T>(offset, Relaxed)? == expected && self.load::<T>(offset, Acquire)? == expected)
        })
    }

    /// Waits until the value at `offset` is `expected` and writes `new` in its place, in one atomic step. Tells
    /// whether that was done before the timeout.
    ///
    /// # Errors
    /// As [`compare_exchange`](Self::compare_exchange); [`MemoryError::Closed`] also when the memory is closed
    /// meanwhile.
    pub fn spin_and_set<T: AtomicWord>(
        &self,
        offset: u64,
        expected: T,
        new: T,
        how: Spin,
    ) -> Result<bool, MemoryError> {
        // To look takes the cache line only for reading; to exchange in vain would take it from its owner each time.
        // The first attempt is an exchange all the same, so that memory that cannot be written is an error at once.
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
        // A timeout beyond what the clock can say is none.
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
