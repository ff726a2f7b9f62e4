//! Registering, calling, removing and closing callbacks, without any I/O.
//!
//! The guarantees, which tests/model.rs checks over all interleavings of this file:
//! - A callback runs at least once after the last ring.
//! - Once its removal has returned, a callback does not run and never will, unless it removed itself or waits for the end
//!   of the callback that removes it.
//! - A callback is never queued twice.
//! - Whatever a callback does (close, remove itself or others, add others), there is no deadlock.
//!
//! No lock is held while a callback, its executor or its destructor runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::sync::{Arc, Condvar, Mutex, MutexGuard, ThreadId, current};
use super::waits;

/// The callbacks of one vector, or of the peer events. The list changes rarely and is read often: a delivery copies only
/// one pointer.
pub(crate) struct Callbacks<A> {
    list: Mutex<List<A>>,
}

/// A registered function and the executor on which it runs.
pub(crate) struct Callback<A> {
    state: Mutex<State<A>>,
    ended: Condvar,
    executor: Option<Executor>,
}

/// A job for a caller's executor, to run once.
pub(crate) type Job = Box<dyn FnOnce() + Send>;
/// Passes a job to the threads of the caller.
pub(crate) type Executor = Box<dyn Fn(Job) + Send + Sync>;
/// The caller's function.
pub(crate) type Function<A> = Box<dyn FnMut(&A) + Send>;

/// The list is closed; nothing was added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<A: Clone + Send + 'static> Callbacks<A> {
    pub(crate) fn new() -> Self {
        Self { list: Mutex::new(List { entries: None, closed: false }) }
    }

    /// Adds a callback. If it is the only one, `first` runs before any interrupt can be delivered to it.
    pub(crate) fn add<E: From<Closed>>(
        &self,
        callback: &Arc<Callback<A>>,
        first: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut list = locked(&self.list);
        if list.closed {
            return Err(Closed.into());
        }
        let mut entries = list.entries.as_deref().cloned().unwrap_or_default();
        if entries.is_empty() {
            first()?;
        }
        entries.push(Arc::clone(callback));
        list.entries = Some(Arc::new(entries));
        Ok(())
    }

    /// Removes a callback and waits until it has ended, unless it is the caller. `last` runs if no callback is left.
    pub(crate) fn remove(&self, callback: &Arc<Callback<A>>, last: impl FnOnce()) {
        let mut list = locked(&self.list);
        let before = list.entries.as_deref().map_or(&[][..], Vec::as_slice);
        let left: Vec<_> = before.iter().filter(|c| !Arc::ptr_eq(c, callback)).cloned().collect();
        if left.len() < before.len() {
            if left.is_empty() {
                last();
            }
            list.entries = if left.is_empty() { None } else { Some(Arc::new(left)) };
        }
        drop(list);
        callback.remove();
    }

    /// Takes a pending interrupt with `take`, and calls all callbacks. Returns true if an interrupt was taken but reached no
    /// callback, because all of them were removed in between: the caller must then restore it for the next reader.
    ///
    /// `take` runs under the lock: once the last callback is removed, no interrupt is taken from the next reader.
    pub(crate) fn deliver(&self, argument: &A, take: impl FnOnce() -> bool) -> bool {
        let entries = {
            let list = locked(&self.list);
            match &list.entries {
                Some(entries) if take() => Arc::clone(entries),
                _ => return false,
            }
        };
        let mut reached = false;
        for callback in entries.iter() {
            reached |= Callback::deliver(callback, argument);
        }
        !reached
    }

    /// Prevents all further calls. Calls in progress continue to their end. Drops the functions that are not running.
    pub(crate) fn close(&self) {
        let entries = {
            let mut list = locked(&self.list);
            list.closed = true;
            list.entries.take()
        };
        for callback in entries.as_deref().into_iter().flatten() {
            callback.retire();
        }
    }
}

impl<A: Clone + Send + 'static> Callback<A> {
    /// Without an executor the function runs in the thread that delivers.
    pub(crate) fn new(function: Function<A>, executor: Option<Executor>) -> Arc<Self> {
        let state = State {
            phase: Phase::Idle,
            removed: false,
            awaited: false,
            function: Some(function),
            handing_over: None,
        };
        Arc::new(Self { state: Mutex::new(state), ended: Condvar::new(), executor })
    }

    /// Runs or queues the callback. Returns false if it has been removed.
    fn deliver(self_: &Arc<Self>, argument: &A) -> bool {
        if self_.executor.is_none() {
            return self_.run(argument, Phase::Idle) != Ran::Not;
        }
        let mut state = locked(&self_.state);
        if state.removed {
            return false;
        }
        match state.phase {
            Phase::Idle => state.phase = Phase::Queued,
            Phase::Running(thread) => {
                state.phase = Phase::RunningAgain(thread);
                return true;
            }
            Phase::Queued | Phase::RunningAgain(_) => return true,
        }
        drop(state);
        Self::hand_over(self_, argument);
        true
    }

    /// Passes a job to the executor. An executor that panics has dropped the job.
    fn hand_over(self_: &Arc<Self>, argument: &A) {
        let executor = self_.executor.as_ref().expect("only a callback with an executor is queued");
        let task = Task { callback: Arc::clone(self_), argument: argument.clone(), begun: false };
        let _ = catch_unwind(AssertUnwindSafe(|| executor(Box::new(move || task.run()))));
    }

    /// Calls the function once, unless the callback is removed or in another phase than `from`.
    fn run(&self, argument: &A, from: Phase) -> Ran {
        let thread = current().id();
        let mut function = {
            let mut state = locked(&self.state);
            if state.removed || state.phase != from {
                return Ran::Not;
            }
            state.phase = Phase::Running(thread);
            state.function.take().expect("only the running thread takes the function")
        };
        // The panic hook has reported a panic. It must not end the dispatcher, which serves other callbacks, too.
        let _ = catch_unwind(AssertUnwindSafe(|| function(argument)));

        let mut state = locked(&self.state);
        if state.removed {
            // Drop the function before reporting the end, so that its captures are dropped when its removal returns.
            drop(state);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(function)));
            state = locked(&self.state);
        } else {
            state.function = Some(function);
        }
        let again = matches!(state.phase, Phase::RunningAgain(_)) && !state.removed;
        state.phase = if again { Phase::Queued } else { Phase::Idle };
        if again {
            state.handing_over = Some(thread);
        }
        if state.awaited {
            waits::end(self.address());
        }
        drop(state);
        self.ended.notify_all();
        if again { Ran::AndRungAgain } else { Ran::Once }
    }

    /// Prevents all further calls. Waits while another thread runs the callback, unless that thread waits for this one.
    fn remove(&self) {
        let me = current().id();
        let mut state = locked(&self.state);
        state.removed = true;
        if let Some(runner) = state.phase.runner()
            && runner != me
            && waits::begin(me, runner, self.address())
        {
            state.awaited = true;
            // A removed callback does not start again, so the runner stays the same until the end.
            while state.phase.runner().is_some() {
                state = self.ended.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
        let function = state.function.take();
        drop(state);
        drop(function);
    }

    /// The address that identifies this callback in `waits`.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Prevents all further calls without waiting.
    fn retire(&self) {
        let mut state = locked(&self.state);
        state.removed = true;
        let function = state.function.take();
        drop(state);
        drop(function);
    }
}

struct List<A> {
    entries: Option<Arc<Vec<Arc<Callback<A>>>>>,
    closed: bool,
}

struct State<A> {
    phase: Phase,
    removed: bool,
    /// Whether a thread waits for the end of the call.
    awaited: bool,
    /// `None` while the function runs, and after it is dropped.
    function: Option<Function<A>>,
    /// The thread that is passing a job to the executor after a call; see [`Task::run`].
    handing_over: Option<ThreadId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The executor has a job for the callback.
    Queued,
    Running(ThreadId),
    /// Rung during the call, so it must run again.
    RunningAgain(ThreadId),
}

impl Phase {
    fn runner(self) -> Option<ThreadId> {
        match self {
            Self::Running(thread) | Self::RunningAgain(thread) => Some(thread),
            Self::Idle | Self::Queued => None,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Ran {
    Not,
    Once,
    AndRungAgain,
}

/// The job in an executor's queue.
struct Task<A: Clone + Send + 'static> {
    callback: Arc<Callback<A>>,
    argument: A,
    begun: bool,
}

impl<A: Clone + Send + 'static> Task<A> {
    /// Runs the callback, and queues it again if it was rung during the call, so that a peer that rings continuously does
    /// not occupy the executor's thread. With an executor that runs jobs immediately in the calling thread, this would recurse
    /// without limit; therefore such a job returns, and the loop below runs the callback instead.
    fn run(mut self) {
        self.begun = true;
        let me = current().id();
        {
            let mut state = locked(&self.callback.state);
            if state.handing_over == Some(me) {
                state.handing_over = None;
                return;
            }
        }
        while self.callback.run(&self.argument, Phase::Queued) == Ran::AndRungAgain {
            Callback::hand_over(&self.callback, &self.argument);
            let mut state = locked(&self.callback.state);
            match state.handing_over {
                Some(thread) if thread == me => {
                    state.handing_over = None;
                    return;
                }
                None => {}
                Some(_) => return,
            }
        }
    }
}

impl<A: Clone + Send + 'static> Drop for Task<A> {
    /// If an executor drops a job, that interrupt is lost, but later ones are not.
    fn drop(&mut self) {
        if !self.begun {
            let mut state = locked(&self.callback.state);
            if state.phase == Phase::Queued {
                state.phase = Phase::Idle;
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of the caller runs under these locks, so the data of a poisoned lock are consistent.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
