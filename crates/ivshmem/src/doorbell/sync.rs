//! Every lock of `callbacks` and `waits` comes from here, so that tests/model.rs can compile the same files against loom's.

pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{ThreadId, current};

/// All waits of the process.
pub(super) static WAITS: Mutex<Vec<super::waits::Wait>> = Mutex::new(Vec::new());
