//! The number of huge pages of the system, which tests change.

use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};

/// Size of a huge page in bytes.
pub const HUGE_PAGE: u64 = 2 << 20;

/// The number for the whole system.
const NUMBER: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

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
        let before = number()?;
        let pages = Self { before, _alone: alone };
        let wanted = before + count;
        fs::write(NUMBER, wanted.to_string()).map_err(|e| format!("cannot write {NUMBER}: {e}"))?;
        match number()? {
            now if now < wanted => {
                Err(format!("the system has {now} huge pages to give, {wanted} are needed"))
            }
            _ => Ok(pages),
        }
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = fs::write(NUMBER, self.before.to_string());
    }
}

fn number() -> Result<u64, String> {
    let text = fs::read_to_string(NUMBER).map_err(|e| format!("cannot read {NUMBER}: {e}"))?;
    text.trim().parse().map_err(|e| format!("{NUMBER} is {text:?}: {e}"))
}

#[cfg(test)]
mod tests {
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
            std::panic::panic_any(number().unwrap());
        });
        assert_eq!(failed.unwrap_err().downcast_ref(), Some(&(before + 1)));
        assert_eq!(HugePages::add(0).unwrap().before, before);
    }
}
