//! Opening and closing leaves nothing behind. Alone in its process, so that no other test disturbs the counting.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod huge_pages;

use std::fs;

use huge_pages::Hugetlbfs;
use ivshmem::region::Memory;
use ivshmem_conformance::huge_pages::HUGE_PAGE;
use ivshmem_conformance::skip;
use rustix::fs::{MemfdFlags, memfd_create};

#[test]
fn a_thousand_times_every_kind_of_memory_leaves_no_descriptor_mapping_or_thread() {
    let name = "a_thousand_times_every_kind_of_memory_leaves_no_descriptor_mapping_or_thread";
    let directory = tempfile::tempdir().unwrap();
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let huge = Hugetlbfs::mount().inspect_err(|reason| skip(name, reason)).ok();
    let memfd = memfd_create("leaks", MemfdFlags::CLOEXEC).unwrap();
    let (file, gone) = (directory.path().join("file"), directory.path().join("no/file"));
    let in_shm = shm.path().join("memory");

    let heap = || use_up(&Memory::heap(4096).unwrap());
    let created = || {
        use_up(ivshmem::plain(&in_shm).size(8192).create_new().open().unwrap().memory());
        fs::remove_file(&in_shm).unwrap();
    };
    let regular = || use_up(ivshmem::plain(&file).size(8192).prefault().open().unwrap().memory());
    let read_only = || {
        let device = ivshmem::plain(&file).read_only().open().unwrap();
        device.memory().view(1, 2).unwrap().read(0, &mut [0]).unwrap();
    };
    let window = || use_up(ivshmem::plain(&file).window(4000, 200).open().unwrap().memory());
    let descriptor =
        || use_up(ivshmem::plain_fd(memfd.try_clone().unwrap()).size(4096).open().unwrap().memory());
    let on_huge_pages = || {
        if let Some(huge) = &huge {
            let path = huge.path().join("memory");
            use_up(ivshmem::plain(&path).size(HUGE_PAGE).open().unwrap().memory());
            use_up(ivshmem::plain(&path).window(5, 500).open().unwrap().memory());
        }
    };
    let failing = || {
        ivshmem::plain(&gone).size(8).open().unwrap_err();
        ivshmem::plain(&file).size(8).create_new().open().unwrap_err();
        ivshmem::plain(directory.path()).size(8).open().unwrap_err();
        ivshmem::plain(&in_shm).size(100).window(100, 1).open().unwrap_err();
        assert!(!in_shm.exists());
    };

    let kinds: [(&str, &dyn Fn()); 8] = [
        ("heap", &heap),
        ("created in /dev/shm", &created),
        ("regular file", &regular),
        ("read only", &read_only),
        ("window", &window),
        ("descriptor", &descriptor),
        ("huge pages", &on_huge_pages),
        ("failing", &failing),
    ];
    for (kind, open_and_close) in kinds {
        // The first rounds may allocate what stays, such as buffers of the allocator.
        (0..5).for_each(|_| open_and_close());
        let before = counts();
        (0..1000).for_each(|_| open_and_close());
        assert_eq!(counts(), before, "descriptors, mappings of files, threads after 1000 x {kind}");
    }
}

fn use_up(memory: &Memory) {
    memory.write(0, b"bytes").unwrap();
    let view = memory.view(1, 2).unwrap();
    memory.close();
    assert!(view.is_closed());
}

/// Descriptors, mappings of files, and threads. Anonymous mappings of the allocator do not count.
fn counts() -> (usize, usize, usize) {
    let entries = |path: &str| fs::read_dir(path).unwrap().count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps.lines().filter(|line| line.contains('/')).count();
    (entries("/proc/self/fd"), files, entries("/proc/self/task"))
}
