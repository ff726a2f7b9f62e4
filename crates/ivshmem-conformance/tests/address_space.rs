//! Files that are larger than the address space that a process has left. Alone in its process, because it lowers a limit.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod huge_pages;

use std::fs;
use std::os::unix::fs::MetadataExt;

use ivshmem::ErrorKind;
use ivshmem_conformance::huge_pages::HUGE_PAGE;
use ivshmem_conformance::skip;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use huge_pages::Hugetlbfs;

#[test]
fn a_file_that_grows_needs_addresses_only_for_its_window() {
    let test = "a_file_that_grows_needs_addresses_only_for_its_window";
    let pages = match Hugetlbfs::mount() {
        Ok(pages) => pages,
        Err(reason) => return skip(test, &reason),
    };
    let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
    let (path, all) = (pages.path().join("file"), free());
    let last = |size| ivshmem::plain(&path).size(size).window(size - HUGE_PAGE, HUGE_PAGE);
    let before = getrlimit(Resource::As);
    // Mappings are aligned to huge pages, so a window of one page needs the addresses of two.
    let limit = Some(mapped() + 3 * HUGE_PAGE);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: before.maximum }).unwrap();
    // One mapping of all pages could reserve them. Without one, a failure still takes none.
    let error = last(5 * HUGE_PAGE).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_eq!((path.exists(), free()), (false, all));
    fs::File::create(&path).unwrap().set_len(HUGE_PAGE).unwrap();
    let error = last(6 * HUGE_PAGE).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_eq!((fs::metadata(&path).unwrap().len(), free()), (HUGE_PAGE, all));
    fs::remove_file(&path).unwrap();
    last(4 * HUGE_PAGE).open().unwrap().memory().write(0, b"here").unwrap();
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.len(), file.blocks() * 512, free()), (4 * HUGE_PAGE, 4 * HUGE_PAGE, 0));
    assert_eq!(file.mode() & 0o777, 0o600);
    // A file that does not fit into the address space keeps its length and its space.
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("file");
    fs::write(&path, b"here").unwrap();
    let short = fs::metadata(&path).unwrap();
    let error = ivshmem::plain(&path).size(4 * HUGE_PAGE).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("address space"), "{error}");
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.len(), file.blocks()), (4, short.blocks()));
    setrlimit(Resource::As, before).unwrap();
    ivshmem::plain(&path).size(4 * HUGE_PAGE).open().unwrap().memory().write(4, b"here").unwrap();
}

/// Bytes of addresses that this process uses.
fn mapped() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
