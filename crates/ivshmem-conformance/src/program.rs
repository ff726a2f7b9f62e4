//! Programs that tests start.

use std::path::Path;
use std::process::{Child, Command};

/// Copies a program by another process. A child that another thread starts meanwhile would keep this process's descriptor that
/// writes the copy, and until that child's own program runs, the copy is busy.
///
/// # Panics
/// When it cannot be copied.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let status = Command::new("/usr/bin/cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap();
    assert!(status.success(), "cp {:?} {:?}: {status}", from.as_ref(), to.as_ref());
}

/// A process that is killed when this is dropped. Its end is not waited for: it may have files whose closing waits.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.try_wait();
    }
}
