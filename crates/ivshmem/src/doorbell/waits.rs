//! Which thread waits for which, so that a circle of waits is seen before it closes.
//!
//! Who removes a callback waits for the thread that runs it, and who closes a device for its dispatcher. Inside callbacks
//! two such waits can wait for each other, over any number of threads and devices.

use super::sync::{MutexGuard, ThreadId, WAITS};

/// One thread that waits for another one.
pub(crate) struct Wait {
    waiter: ThreadId,
    runner: ThreadId,
    /// What it waits for, by its address.
    what: usize,
}

/// Notes that `waiter` is about to wait until `runner` has ended `what`. False, and then it must not wait, when `runner`
/// waits for `waiter` already, be it through others.
pub(super) fn begin(waiter: ThreadId, runner: ThreadId, what: usize) -> bool {
    let mut waits = waits();
    let mut last = runner;
    // A thread waits for one other, and no circle exists, so this ends.
    while let Some(wait) = waits.iter().find(|wait| wait.waiter == last) {
        last = wait.runner;
    }
    if last == waiter {
        return false;
    }
    waits.push(Wait { waiter, runner, what });
    true
}

/// Nobody waits for this any more. Called before those who wait can go on, else they would seem to wait for a thread that
/// does something else by then.
pub(super) fn end(what: usize) {
    waits().retain(|wait| wait.what != what);
}

fn waits() -> MutexGuard<'static, Vec<Wait>> {
    WAITS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
