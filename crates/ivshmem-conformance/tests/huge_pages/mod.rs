//! A hugetlbfs for a test.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

/// A hugetlbfs of our own; undone on drop.
pub(crate) struct HugePages {
    directory: tempfile::TempDir,
    before: u64,
    /// Holds the lock: several tests, in several processes, change a number of the whole system.
    _alone: File,
}

pub(crate) const HUGE_PAGE: u64 = 2 << 20;
const PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const WANTED: u64 = 4;

impl HugePages {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Mounts it with room for a few pages; else the reason why this machine cannot.
    pub(crate) fn mount() -> Result<Self, String> {
        let alone = File::open(PAGES).map_err(|e| format!("cannot open {PAGES}: {e}"))?;
        flock(&alone, FlockOperation::LockExclusive).map_err(|e| format!("cannot lock {PAGES}: {e}"))?;
        let before = read_number(PAGES)?;
        let wanted = before + WANTED;
        std::fs::write(PAGES, wanted.to_string()).map_err(|e| format!("cannot write {PAGES}: {e}"))?;
        let huge = Self { directory: tempfile::tempdir().unwrap(), before, _alone: alone };
        let now = read_number(PAGES)?;
        if now < wanted {
            return Err(format!("the system has {now} huge pages to give, {wanted} are needed"));
        }
        let size = format!("pagesize={HUGE_PAGE},size={}", WANTED * HUGE_PAGE);
        run_mount(&["-t", "hugetlbfs", "-o", &size, "none"], huge.directory.path())?;
        Ok(huge)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        // When mounting failed there is nothing to unmount, and no need to say so.
        let _ = Command::new("umount").arg("-q").arg(self.directory.path()).output();
        let _ = std::fs::write(PAGES, self.before.to_string());
    }
}

fn read_number(path: &str) -> Result<u64, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    text.trim().parse().map_err(|e| format!("{path} is {text:?}: {e}"))
}

fn run_mount(options: &[&str], directory: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(options).arg(directory).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("cannot run mount: {e}")),
    }
}
