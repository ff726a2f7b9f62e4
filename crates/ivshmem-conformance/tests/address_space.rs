//! Files that are larger than the address space that a process has left. Alone in its process, because it lowers a limit.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod huge_pages;

use std::fs;
use std::process::Command;

use ivshmem::ErrorKind;
use ivshmem_conformance::huge_pages::HUGE_PAGE;
use ivshmem_conformance::skip;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use huge_pages::Hugetlbfs;

#[test]
fn a_file_on_hugetlbfs_that_grows_needs_addresses_for_what_is_new_or_its_length_before() {
    let test = "a_file_on_hugetlbfs_that_grows_needs_addresses_for_what_is_new_or_its_length_before";
    let pages = match Hugetlbfs::mount() {
        Ok(pages) => pages,
        Err(reason) => return skip(test, &reason),
    };
    let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
    let (path, all, size) = (pages.path().join("file"), free(), 4 * HUGE_PAGE);
    let last = |size| ivshmem::plain(&path).size(size).window(size - HUGE_PAGE, HUGE_PAGE).open();
    let before = getrlimit(Resource::As);
    // Mappings are aligned to huge pages, so a window of one page needs the addresses of two.
    let limit = Some(mapped() + 3 * HUGE_PAGE);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: before.maximum }).unwrap();
    let error = last(size).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let text = error.to_string();
    for word in ["8388608", "address space", "ulimit -v", "(fallocate -l 8388608)"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!((path.exists(), free()), (false, all));
    // Both remedies work.
    let made = Command::new("/usr/bin/fallocate").args(["-l", "8388608"]).arg(&path).status().unwrap();
    assert!(made.success());
    last(size).unwrap().memory().write(0, b"here").unwrap();
    fs::remove_file(&path).unwrap();
    setrlimit(Resource::As, before).unwrap();
    last(size).unwrap().memory().write(0, b"here").unwrap();
}

/// Bytes of addresses that this process uses.
fn mapped() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
