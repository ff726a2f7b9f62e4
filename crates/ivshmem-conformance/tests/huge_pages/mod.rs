//! A hugetlbfs for a test.

use std::path::Path;
use std::process::Command;

use ivshmem_conformance::huge_pages::{HUGE_PAGE, HugePages};

/// A hugetlbfs that only this test uses; unmounted on drop.
pub(crate) struct Hugetlbfs {
    directory: tempfile::TempDir,
    _pages: HugePages,
}

const WANTED: u64 = 4;

impl Hugetlbfs {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Mounts it with space for a few pages; or returns the reason why this machine cannot.
    pub(crate) fn mount() -> Result<Self, String> {
        let huge = Self { _pages: HugePages::add(WANTED)?, directory: tempfile::tempdir().unwrap() };
        let size = format!("pagesize={HUGE_PAGE},size={}", WANTED * HUGE_PAGE);
        run_mount(&["-t", "hugetlbfs", "-o", &size, "none"], huge.directory.path())?;
        Ok(huge)
    }
}

impl Drop for Hugetlbfs {
    fn drop(&mut self) {
        // If mounting failed there is nothing to unmount, and an error is not reported.
        let _ = Command::new("umount").arg("-q").arg(self.directory.path()).output();
    }
}

fn run_mount(options: &[&str], directory: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(options).arg(directory).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("cannot run mount: {e}")),
    }
}
