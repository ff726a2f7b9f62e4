//! Every lock of `callbacks` comes from here, so that tests/model.rs can compile the same file against loom's.

pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{ThreadId, current};
