//! The number of huge pages of the system, which tests change.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// Size of a huge page in bytes.
pub const HUGE_PAGE: u64 = 2 << 20;

/// The number for the whole system.
const NUMBER: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// The number of pages that are in use beyond that number.
const SURPLUS: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages";

/// The maximum time to wait for the pages of the last test. Other programs may have such pages, too.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The place of the limits during a test.
const LIMITS: &str = "ivshmem-test-hugetlb";

/// Huge pages for a test. Dropping it restores the system's previous number, also when the test fails.
#[derive(Debug)]
pub struct HugePages {
    before: u64,
    /// Holds the lock, because tests of several processes change the number.
    _alone: File,
}

impl HugePages {
    /// Waits until no other test has huge pages, and adds `count` of 2 MiB to the system; or returns the reason why it
    /// cannot.
    pub fn add(count: u64) -> Result<Self, String> {
        let alone = File::open(NUMBER).map_err(|e| format!("cannot open {NUMBER}: {e}"))?;
        flock(&alone, FlockOperation::LockExclusive).map_err(|e| format!("cannot lock {NUMBER}: {e}"))?;
        // A process that another test is starting may have a file of the last test open. Its pages are beyond the number, but
        // are counted in it.
        let begin = Instant::now();
        while read(SURPLUS)? > 0 && begin.elapsed() < TIMEOUT {
            thread::sleep(Duration::from_millis(1));
        }
        let before = read(NUMBER)?;
        let pages = Self { before, _alone: alone };
        let wanted = before + count;
        fs::write(NUMBER, wanted.to_string()).map_err(|e| format!("cannot write {NUMBER}: {e}"))?;
        match read(NUMBER)? {
            now if now < wanted => {
                Err(format!("the system has {now} huge pages to give, {wanted} are needed"))
            }
            _ => Ok(pages),
        }
    }
}

/// What a control group limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Pages in use.
    Used,
    /// Pages reserved.
    Reserved,
}

/// A control group with a limit of huge pages; dropping it leaves and removes the group. A test has [`HugePages`] before and
/// after it.
#[derive(Debug)]
pub struct Limited {
    mount: PathBuf,
    group: PathBuf,
}

impl Limited {
    /// Allows this thread, and those that it starts, only so many bytes of huge pages of 2 MiB; or returns the reason why it
    /// cannot.
    ///
    /// It uses a control group of version 1, because only this version has the controller for single threads.
    pub fn enter(limit: Limit, bytes: u64) -> Result<Self, String> {
        let mount = std::env::temp_dir().join(format!("{LIMITS}-{}", std::process::id()));
        fs::create_dir_all(&mount).map_err(|e| format!("cannot create {}: {e}", mount.display()))?;
        // From here on, dropping this removes what exists.
        let limited = Self { group: mount.join(LIMITS), mount };
        run("mount", &["-t", "cgroup", "-o", "hugetlb", "none"], &limited.mount)?;
        fs::create_dir_all(&limited.group).map_err(|e| format!("cannot create a control group: {e}"))?;
        limited.set(limit, bytes)?;
        fs::write(limited.group.join("tasks"), "0")
            .map_err(|e| format!("cannot enter a control group: {e}"))?;
        Ok(limited)
    }

    /// Changes the limit to so many bytes.
    pub fn set(&self, limit: Limit, bytes: u64) -> Result<(), String> {
        let name = match limit {
            Limit::Used => "hugetlb.2MB.limit_in_bytes",
            Limit::Reserved => "hugetlb.2MB.rsvd.limit_in_bytes",
        };
        fs::write(self.group.join(name), bytes.to_string()).map_err(|e| format!("cannot set {name}: {e}"))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Threads that were started in the group leave it, too, because only an empty one can be removed.
        let tasks = fs::read_to_string(self.group.join("tasks")).unwrap_or_default();
        for task in tasks.lines() {
            let _ = fs::write(self.mount.join("tasks"), task);
        }
        let _ = fs::remove_dir(&self.group);
        let _ = run("umount", &[], &self.mount);
        let _ = fs::remove_dir(&self.mount);
    }
}

fn run(program: &str, options: &[&str], directory: &Path) -> Result<(), String> {
    match Command::new(program).args(options).arg(directory).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("cannot {program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("cannot run {program}: {e}")),
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = fs::write(NUMBER, self.before.to_string());
    }
}

fn read(path: &str) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    text.trim().parse().map_err(|e| format!("{path} is {text:?}: {e}"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

    use super::*;
    use crate::skip;

    #[test]
    fn a_test_that_fails_leaves_as_many_huge_pages_as_there_were() {
        let name = "a_test_that_fails_leaves_as_many_huge_pages_as_there_were";
        // Fails when the memory has no contiguous page of that size.
        let before = match HugePages::add(1) {
            Ok(pages) => pages.before,
            Err(why) => return skip(name, &why),
        };
        let failed = std::panic::catch_unwind(|| {
            let _pages = HugePages::add(1).unwrap();
            std::panic::panic_any(read(NUMBER).unwrap());
        });
        assert_eq!(failed.unwrap_err().downcast_ref(), Some(&(before + 1)));
        assert_eq!(HugePages::add(0).unwrap().before, before);
    }

    #[test]
    fn pages_of_the_last_test_that_are_still_in_use_are_not_kept() {
        let name = "pages_of_the_last_test_that_are_still_in_use_are_not_kept";
        let pages = match HugePages::add(1) {
            Ok(pages) => pages,
            Err(why) => return skip(name, &why),
        };
        let before = pages.before;
        let used = memfd_create("used", MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB).unwrap();
        fallocate(&used, FallocateFlags::empty(), 0, HUGE_PAGE).unwrap();
        let (adding, next) = std::sync::mpsc::channel::<()>();
        let file = File::open(NUMBER).unwrap();
        drop(pages);
        let added = thread::spawn(move || {
            let _adding = adding;
            HugePages::add(0).unwrap().before
        });
        // Until it has the lock.
        while next.try_recv() != Err(TryRecvError::Disconnected)
            && flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
        {
            flock(&file, FlockOperation::Unlock).unwrap();
        }
        drop(used);
        assert_eq!(added.join().unwrap(), before);
    }
}
