//! Programs that tests start.

use std::path::Path;
use std::process::{Child, Command};

/// Copies a program in another process. If this process wrote the copy, a child that another thread forks meanwhile would
/// inherit the descriptor, and the copy would be busy until that child executes its own program.
///
/// # Panics
/// When it cannot be copied.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let status = Command::new("/usr/bin/cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap();
    assert!(status.success(), "cp {:?} {:?}: {status}", from.as_ref(), to.as_ref());
}

/// A process that is killed on drop. The drop does not wait for its end, because closing its files may block.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.try_wait();
    }
}
