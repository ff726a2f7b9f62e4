//! Waits for the interrupts of a vector.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::shared::Shared;
use super::waiters::{Outcome, Read, Waiters};
use super::{DoorbellError, Reader};
use crate::sys::event::{self, Waited};
use crate::wire::MAX_VECTORS;

/// Receives the interrupts of one vector for one thread. Each waiter receives every interrupt once, including those that another
/// waiter has read; several interrupts before a wait count as one.
///
/// While it exists, the vector cannot have callbacks or a raw descriptor. A clone starts at the same position.
pub struct Waiter {
    source: Arc<dyn Source>,
    vector: u16,
    seen: u64,
}

/// What a waiter waits for: the interrupts of a doorbell's vectors, or their replacement.
pub(crate) trait Source: Send + Sync {
    /// Takes a share of the vector.
    fn claim(&self, vector: u16) -> Result<(), DoorbellError>;

    /// Takes one more share of a vector of which a waiter has a share.
    fn share(&self, vector: u16);

    /// Returns a share.
    fn release(&self, vector: u16);

    fn waiters(&self, vector: u16) -> &Waiters;

    /// Makes all waiting threads check their conditions again.
    fn wake(&self, vector: u16);

    /// Waits as [`Waiters::wait`] does.
    fn wait(
        &self,
        vector: u16,
        seen: Option<u64>,
        receives: bool,
        deadline: Option<Instant>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Outcome, DoorbellError>;
}

/// Why a wait of a [`Waiter`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The vector was rung.
    Interrupt,
    /// The deadline has passed.
    TimedOut,
    /// `cancelled` returned true.
    Cancelled,
}

impl Waiter {
    /// A waiter for the interrupts that no thread has received.
    pub(crate) fn new(source: Arc<dyn Source>, vector: u16) -> Result<Self, DoorbellError> {
        source.claim(vector)?;
        let seen = source.waiters(vector).received();
        Ok(Self { source, vector, seen })
    }

    /// Blocks the calling thread until the vector is rung. Returns false if the deadline passes first. Without a deadline, it
    /// waits without limit.
    ///
    /// # Errors
    /// If the device no longer has this vector, or is closed before or during the wait.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
        self.wait_unless(deadline, || false).map(|outcome| outcome == WaitOutcome::Interrupt)
    }

    /// Like [`wait`](Self::wait), and ends if `cancelled` returns true. `cancelled` is called at the beginning and after each
    /// [`Waker::wake`]; it must be quick and must not use this device.
    ///
    /// # Errors
    /// The same as `wait`.
    pub fn wait_unless(
        &mut self,
        deadline: Option<Instant>,
        cancelled: impl Fn() -> bool,
    ) -> Result<WaitOutcome, DoorbellError> {
        self.wait_and(true, deadline, cancelled)
    }

    /// Like [`wait_unless`](Self::wait_unless), but the interrupt does not count as received: a later [`Device::wait`] or a new
    /// waiter still receives it. Callbacks, tasks and raw descriptors that use the vector later do not receive it. The position
    /// of this waiter advances. Use this in a thread that passes interrupts on to others, which then call
    /// [`receive`](Self::receive).
    ///
    /// # Errors
    /// The same as `wait`.
    ///
    /// [`Device::wait`]: crate::device::Device::wait
    pub fn observe_unless(
        &mut self,
        deadline: Option<Instant>,
        cancelled: impl Fn() -> bool,
    ) -> Result<WaitOutcome, DoorbellError> {
        self.wait_and(false, deadline, cancelled)
    }

    fn wait_and(
        &mut self,
        receives: bool,
        deadline: Option<Instant>,
        cancelled: impl Fn() -> bool,
    ) -> Result<WaitOutcome, DoorbellError> {
        Ok(match self.source.wait(self.vector, Some(self.seen), receives, deadline, &cancelled)? {
            Outcome::Interrupt(seen) => {
                self.seen = seen;
                WaitOutcome::Interrupt
            }
            Outcome::TimedOut => WaitOutcome::TimedOut,
            Outcome::Cancelled => WaitOutcome::Cancelled,
        })
    }

    /// The vector for which this waits.
    pub fn vector(&self) -> u16 {
        self.vector
    }

    /// The position of this waiter: the number of the vector's interrupts, since the device was opened, before the next one that
    /// ends a wait.
    pub fn position(&self) -> u64 {
        self.seen
    }

    /// Continues at the position of another waiter for this vector.
    pub fn seek(&mut self, position: u64) {
        self.seen = position;
    }

    /// Marks all interrupts of the vector so far as received, for [`Device::wait`] and new waiters. Returns the position up to
    /// which they had already been received; pass it to [`give_back`](Self::give_back).
    ///
    /// [`Device::wait`]: crate::device::Device::wait
    pub fn receive(&self) -> u64 {
        self.source.waiters(self.vector).receive()
    }

    /// Undoes [`receive`](Self::receive) for the interrupts after `position`. Use it if they could not be passed on: a thread in
    /// [`Device::wait`] or a new waiter then receives them.
    ///
    /// [`Device::wait`]: crate::device::Device::wait
    pub fn give_back(&self, position: u64) {
        self.source.waiters(self.vector).give_back(position);
        self.source.wake(self.vector);
    }

    /// Returns a handle with which any thread can wake the waits for this vector.
    pub fn waker(&self) -> Waker {
        Waker { source: Arc::clone(&self.source), vector: self.vector }
    }
}

impl Clone for Waiter {
    fn clone(&self) -> Self {
        self.source.share(self.vector);
        Self { source: Arc::clone(&self.source), vector: self.vector, seen: self.seen }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.source.release(self.vector);
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("vector", &self.vector)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

/// Makes all threads that wait for one vector check again whether they are cancelled.
#[derive(Clone)]
pub struct Waker {
    source: Arc<dyn Source>,
    vector: u16,
}

impl Waker {
    /// Wakes them. Set the condition first. It does not block.
    pub fn wake(&self) {
        self.source.wake(self.vector);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("vector", &self.vector).finish_non_exhaustive()
    }
}

/// Blocks the calling thread until the vector is rung. Each interrupt ends one such wait. Returns false if the deadline has
/// passed.
pub(super) fn wait_once(
    shared: &Shared,
    vector: u16,
    deadline: Option<Instant>,
) -> Result<bool, DoorbellError> {
    if vector >= MAX_VECTORS || shared.is_closed() {
        shared.vector(vector)?;
    }
    // Reading the event checks whether the device has the vector.
    shared.reader(vector).claim.take(vector, Reader::Waiters)?;
    let outcome = shared.wait(vector, None, true, deadline, &|| false);
    shared.release(vector);
    Ok(outcome? != Outcome::TimedOut)
}

impl Source for Shared {
    fn claim(&self, vector: u16) -> Result<(), DoorbellError> {
        let reader = self.vector(vector)?.0;
        // A waiter must not fail later for lack of a descriptor.
        reader.wake_event().map_err(failed)?;
        reader.claim.take(vector, Reader::Waiters)
    }

    fn share(&self, vector: u16) {
        let shared = self.reader(vector).claim.take(vector, Reader::Waiters);
        shared.expect("a waiter has a share, which others can join");
    }

    fn release(&self, vector: u16) {
        self.reader(vector).claim.give_back();
    }

    fn waiters(&self, vector: u16) -> &Waiters {
        &self.reader(vector).waiters
    }

    fn wake(&self, vector: u16) {
        self.reader(vector).wake_waiters();
    }

    fn wait(
        &self,
        vector: u16,
        seen: Option<u64>,
        receives: bool,
        deadline: Option<Instant>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Outcome, DoorbellError> {
        let reader = self.reader(vector);
        if self.is_closed() {
            return Err(DoorbellError::Closed);
        }
        if !reader.has_wake_event() {
            // A vector that the device lacks gets none.
            self.vector(vector)?;
        }
        let wake = reader.wake_event().map_err(failed)?;
        reader.waiters.wait(seen, receives, deadline, cancelled, || {
            // A thread that parks must not keep a session: its descriptors would stay open after a reconnection.
            let session = self.session()?;
            match event::wait(session.own(vector)?, wake, deadline).map_err(failed)? {
                Waited::Rung => Ok(Read::Interrupt),
                Waited::TimedOut => Ok(Read::TimedOut),
                // A wait is cancelled, the device is closed, or a new session replaces this one.
                Waited::Woken => Ok(Read::Again),
            }
        })
    }
}

fn failed(source: std::io::Error) -> DoorbellError {
    DoorbellError::Io { doing: "wait for an interrupt", source }
}

#[cfg(target_os = "linux")]
pub(super) fn take(fd: std::os::fd::BorrowedFd<'_>) -> Result<bool, DoorbellError> {
    event::take(fd).map_err(|source| DoorbellError::Io { doing: "take an interrupt", source })
}
