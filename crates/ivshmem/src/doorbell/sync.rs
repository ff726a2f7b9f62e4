//! The locks of `callbacks` and `waits`, so that tests/model.rs can compile the same files with loom's locks.

pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{ThreadId, current};

/// All waits of threads of this process for each other.
pub(super) static WAITS: Mutex<Vec<super::waits::Wait>> = Mutex::new(Vec::new());
