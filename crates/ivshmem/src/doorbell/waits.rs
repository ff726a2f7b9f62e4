//! Records which thread waits for which other one, to detect a cycle of waits before it forms.
//!
//! A thread that removes a callback waits for the thread that runs it, and a thread that closes a device waits for the
//! device's dispatcher. Inside callbacks such waits can form a cycle, over any number of threads and devices.

use super::sync::{MutexGuard, ThreadId, WAITS};

/// A wait of one thread for another one.
pub(crate) struct Wait {
    waiter: ThreadId,
    runner: ThreadId,
    /// The address of the object that identifies the awaited activity.
    what: usize,
}

/// Records that `waiter` is about to wait until `runner` has ended `what`. Returns false, and then `waiter` must not wait, if
/// `runner` already waits for `waiter`, directly or through other threads.
pub(super) fn begin(waiter: ThreadId, runner: ThreadId, what: usize) -> bool {
    let mut waits = waits();
    let mut last = runner;
    // Each thread waits for at most one other, and there is no cycle, so this loop ends.
    while let Some(wait) = waits.iter().find(|wait| wait.waiter == last) {
        last = wait.runner;
    }
    if last == waiter {
        return false;
    }
    waits.push(Wait { waiter, runner, what });
    true
}

/// Removes all waits for `what`. The caller does this before it wakes the waiting threads; otherwise they would still be
/// recorded as waiting for a thread that already does something else.
pub(super) fn end(what: usize) {
    waits().retain(|wait| wait.what != what);
}

fn waits() -> MutexGuard<'static, Vec<Wait>> {
    WAITS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
