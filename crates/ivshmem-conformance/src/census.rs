//! Resources of this process.

use std::fs::read_dir;
use std::time::{Duration, Instant};

/// A limit against hanging only.
const HANG: Duration = Duration::from_secs(10);

/// Number of open descriptors, including the one used for counting.
///
/// # Panics
/// Without `/proc`.
pub fn descriptors() -> usize {
    read_dir("/proc/self/fd").unwrap().count()
}

/// Number of threads with this name.
///
/// # Panics
/// Without `/proc`.
pub fn threads(name: &str) -> usize {
    let tasks = read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|n| n.trim_end() == name))
        .count()
}

/// Waits until the condition is true.
///
/// # Panics
/// When it is not true within 10 s.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < HANG,
            "{what}: not within {HANG:?}; {} descriptors are open",
            descriptors()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
