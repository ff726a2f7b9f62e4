//! The threads that wait for the interrupts of one vector, without any I/O.
//!
//! One thread at a time, the reader, reads the vector's event; the others park. The reader counts each interrupt and wakes the
//! others, and hands reading over when it leaves. Each waiter stores the count that it has seen, so it misses no interrupt that
//! another thread has read. tests/model.rs checks this file over all interleavings.

use std::time::Instant;

use super::sync::{Condvar, Mutex, MutexGuard};

/// The waiting threads of one vector, and the number of its interrupts.
#[derive(Debug)]
pub(crate) struct Waiters {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of interrupts read so far. Reaching its end would take longer than any machine runs.
    interrupts: u64,
    /// The value of `interrupts` when a thread last received an interrupt.
    received: u64,
    /// Whether a thread reads the event.
    reading: bool,
    parked: u32,
}

/// Why reading the event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// An interrupt was taken.
    Interrupt,
    /// The deadline has passed.
    TimedOut,
    /// The reader must check its conditions again.
    Again,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The waiter has seen this number of interrupts.
    Interrupt(u64),
    /// The deadline has passed.
    TimedOut,
    /// The caller's condition has cancelled the wait.
    Cancelled,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    /// Waits for an interrupt after the first `seen` ones or, with `None`, for one that no thread has received. With
    /// `receives`, the interrupts so far count as received when the wait returns one.
    ///
    /// `read` waits for the event, without the lock, until the deadline at the latest; [`wake`](Self::wake) must make it
    /// return `Again`. `cancelled` is called with the lock held, at the beginning and after each wake-up.
    ///
    /// # Errors
    /// Those of `read`. Each parked thread then reads itself.
    pub(crate) fn wait<E>(
        &self,
        seen: Option<u64>,
        receives: bool,
        deadline: Option<Instant>,
        cancelled: impl Fn() -> bool,
        mut read: impl FnMut() -> Result<Read, E>,
    ) -> Result<Outcome, E> {
        let _leaving = Leaving(self);
        let mut state = locked(&self.state);
        let mut has_read = false;
        let outcome = loop {
            if state.interrupts != seen.unwrap_or(state.received) {
                if receives {
                    state.received = state.interrupts;
                }
                break Ok(Outcome::Interrupt(state.interrupts));
            }
            if cancelled() {
                break Ok(Outcome::Cancelled);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let is_over = left.is_some_and(|left| left.is_zero());
            if is_over && (has_read || state.reading) {
                break Ok(Outcome::TimedOut);
            }
            if state.reading {
                state.parked += 1;
                state = match left {
                    None => self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
                    Some(left) => {
                        let waited = self.changed.wait_timeout(state, left);
                        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                    }
                };
                state.parked -= 1;
                continue;
            }
            // Even if the deadline has passed, a pending interrupt counts.
            has_read = true;
            state.reading = true;
            drop(state);
            let result = read();
            state = locked(&self.state);
            state.reading = false;
            match result {
                Ok(Read::Interrupt) => {
                    state.interrupts += 1;
                    self.notify(&state);
                }
                // A wake-up may have come before a pending interrupt.
                Ok(Read::Again) => has_read = false,
                Ok(Read::TimedOut) => break Ok(Outcome::TimedOut),
                Err(error) => break Err(error),
            }
        };
        if !state.reading && state.parked > 0 {
            self.changed.notify_one();
        }
        outcome
    }

    /// Makes all waiting threads check their conditions again. `wake_reader` runs without the lock if a thread reads the event.
    pub(crate) fn wake(&self, wake_reader: impl FnOnce()) {
        let state = locked(&self.state);
        self.notify(&state);
        let reading = state.reading;
        drop(state);
        if reading {
            wake_reader();
        }
    }

    /// Counts an interrupt that was taken from the event by other means and received. [`wake`](Self::wake) must follow.
    #[cfg(feature = "tokio")]
    pub(crate) fn count(&self) {
        let mut state = locked(&self.state);
        state.interrupts += 1;
        state.received = state.interrupts;
    }

    /// The number of interrupts so far.
    pub(crate) fn interrupts(&self) -> u64 {
        locked(&self.state).interrupts
    }

    /// The number of the first interrupts that count as received.
    pub(crate) fn received(&self) -> u64 {
        locked(&self.state).received
    }

    /// Marks all interrupts so far as received; returns how many were.
    pub(crate) fn receive(&self) -> u64 {
        let mut state = locked(&self.state);
        let interrupts = state.interrupts;
        std::mem::replace(&mut state.received, interrupts)
    }

    /// Marks only the first `before` interrupts as received, as the later ones have reached no receiver. [`wake`](Self::wake)
    /// must follow.
    pub(crate) fn give_back(&self, before: u64) {
        let mut state = locked(&self.state);
        state.received = state.received.min(before);
    }

    /// Wakes the parked threads. A notification is a system call even if no thread is parked.
    fn notify(&self, state: &State) {
        if state.parked > 0 {
            self.changed.notify_all();
        }
    }
}

/// Hands reading over if the caller's condition panics in a thread that was woken to read.
struct Leaving<'a>(&'a Waiters);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.changed.notify_one();
        }
    }
}

fn locked(mutex: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code of the caller changes the state, so the data of a poisoned lock are consistent.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
