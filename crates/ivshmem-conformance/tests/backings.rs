//! The memory suite for every backing of memory.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]

use ivshmem::region::Memory;
use ivshmem_conformance::memory::{Fixture, run};

#[cfg(target_os = "linux")]
mod huge_pages;

#[test]
fn memory_on_the_heap_conforms() {
    run(&Heap);
}

struct Heap;

impl Fixture for Heap {
    fn open(&self) -> Memory {
        Memory::heap(200_000).unwrap()
    }

    fn open_read_only(&self, _memory: &Memory) -> Option<Memory> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    use ivshmem::region::Memory;
    use ivshmem_conformance::memory::{Fixture, run};
    use ivshmem_conformance::skip;
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::huge_pages::Hugetlbfs;
    use ivshmem_conformance::huge_pages::HUGE_PAGE;

    #[test]
    fn a_memfd_conforms() {
        run(&Memfd(memfd_create("conformance", MemfdFlags::CLOEXEC).unwrap()));
    }

    #[test]
    fn a_file_in_dev_shm_conforms() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        run(&File { path: directory.path().join("memory"), size: 200_001 });
    }

    #[test]
    fn a_regular_file_conforms() {
        let directory = tempfile::tempdir_in(ivshmem_conformance::checkout::scratch()).unwrap();
        run(&File { path: directory.path().join("memory"), size: 200_001 });
    }

    #[test]
    fn a_window_at_an_odd_offset_conforms() {
        let directory = tempfile::tempdir().unwrap();
        run(&Window(directory.path().join("memory")));
    }

    #[test]
    fn a_file_on_hugetlbfs_conforms() {
        match Hugetlbfs::mount() {
            Ok(pages) => run(&File { path: pages.path().join("memory"), size: HUGE_PAGE }),
            Err(reason) => skip("a_file_on_hugetlbfs_conforms", &reason),
        }
    }

    #[test]
    fn hugetlbfs_takes_whole_pages_only_and_says_which() {
        let pages = match Hugetlbfs::mount() {
            Ok(pages) => pages,
            Err(reason) => return skip("hugetlbfs_takes_whole_pages_only_and_says_which", &reason),
        };
        let path = pages.path().join("memory");
        for (size, next) in [(4096, HUGE_PAGE), (HUGE_PAGE + 4096, 2 * HUGE_PAGE)] {
            let error = ivshmem::plain(&path).size(size).open().unwrap_err();
            assert_eq!(error.kind(), ivshmem::ErrorKind::InvalidArgument);
            let text = error.to_string();
            assert!(text.contains(&format!("{size} bytes")), "{text}");
            assert!(text.contains(&format!("huge page size {HUGE_PAGE}; take {next}")), "{text}");
            assert!(!path.exists());
        }
        let error = ivshmem::plain(&path).size(8 * HUGE_PAGE).open().unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        assert!(!path.exists());
        // A small part of a huge page is mapped, and unmapped, with the whole page.
        let window = ivshmem::plain(&path).size(HUGE_PAGE).window(4097, 100).open().unwrap();
        assert_eq!(window.memory().len(), 100);
        window.memory().write(0, b"here").unwrap();
        drop(window);
        let whole = ivshmem::plain(&path).open().unwrap();
        assert_eq!(whole.memory().index_of(0, HUGE_PAGE, b"here").unwrap(), Some(4097));
        // An open that cannot get all pages takes none.
        let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
        let before = free();
        let error = ivshmem::plain(&path).size(8 * HUGE_PAGE).open().unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        assert_eq!((std::fs::metadata(&path).unwrap().len(), free()), (HUGE_PAGE, before));
        let grown = ivshmem::plain(&path).size(3 * HUGE_PAGE).open().unwrap();
        assert_eq!((std::fs::metadata(&path).unwrap().len(), free()), (3 * HUGE_PAGE, before - 2));
        grown.memory().fill(HUGE_PAGE, 1, 2 * HUGE_PAGE).unwrap();
        grown.memory().detach().unwrap();
        assert_eq!(whole.memory().index_of(0, HUGE_PAGE, b"here").unwrap(), Some(4097));
    }

    #[test]
    fn a_new_file_on_hugetlbfs_has_all_its_pages_or_is_not_there() {
        let pages = match Hugetlbfs::mount() {
            Ok(pages) => pages,
            Err(reason) => return skip("a_new_file_on_hugetlbfs_has_all_its_pages_or_is_not_there", &reason),
        };
        let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
        let (path, all) = (pages.path().join("new"), free());
        let window = |size| ivshmem::plain(&path).size(size).window(0, HUGE_PAGE).open();
        let error = window((all + 1) * HUGE_PAGE).unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        assert_eq!((path.exists(), free()), (false, all));
        // A file of holes keeps its length too, if the mapped part has no pages.
        std::fs::File::create(&path).unwrap().set_len(HUGE_PAGE).unwrap();
        let error = ivshmem::plain(&path).size((all + 1) * HUGE_PAGE).open().unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        assert_eq!((std::fs::metadata(&path).unwrap().len(), free()), (HUGE_PAGE, all));
        std::fs::remove_file(&path).unwrap();
        let device = window(all * HUGE_PAGE).unwrap();
        // The pages are allocated and not only reserved, also where the file is not mapped.
        let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
        assert_eq!((blocks * 512, free()), (all * HUGE_PAGE, 0));
        drop(device);
    }

    #[test]
    fn looking_at_a_file_on_hugetlbfs_takes_no_huge_page() {
        let pages = match Hugetlbfs::mount() {
            Ok(pages) => pages,
            Err(reason) => return skip("looking_at_a_file_on_hugetlbfs_takes_no_huge_page", &reason),
        };
        let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
        let all = free();
        // More than the system has, all of it holes.
        let path = pages.path().join("holes");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(8 * HUGE_PAGE).unwrap();
        let look = ivshmem::plain(&path).read_only().open().unwrap();
        let mut bytes = vec![7; usize::try_from(HUGE_PAGE).unwrap() + 5];
        look.memory().peek(3, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        let writer = ivshmem::plain(&path).open().unwrap();
        assert_eq!(free(), all);
        // Prefaulting allocates the pages or returns an error.
        writer.memory().prefault(HUGE_PAGE - 1, 2).unwrap();
        assert_eq!(free(), all - 2);
        writer.memory().write(HUGE_PAGE - 1, b"ab").unwrap();
        look.memory().peek(HUGE_PAGE - 1, &mut bytes[..2]).unwrap();
        assert_eq!(&bytes[..2], b"ab");
        let error = writer.memory().prefault(0, 8 * HUGE_PAGE).unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        let error = ivshmem::plain(&path).prefault().open().unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
    }

    struct Memfd(OwnedFd);

    impl Fixture for Memfd {
        fn open(&self) -> Memory {
            let fd = self.0.try_clone().unwrap();
            ivshmem::plain_fd(fd).size(200_000).open().unwrap().memory().clone()
        }

        fn open_read_only(&self, _memory: &Memory) -> Option<Memory> {
            let fd = self.0.try_clone().unwrap();
            Some(ivshmem::plain_fd(fd).read_only().open().unwrap().memory().clone())
        }
    }

    struct File {
        path: PathBuf,
        size: u64,
    }

    impl Fixture for File {
        fn open(&self) -> Memory {
            ivshmem::plain(&self.path).size(self.size).open().unwrap().memory().clone()
        }

        fn open_read_only(&self, _memory: &Memory) -> Option<Memory> {
            Some(ivshmem::plain(&self.path).read_only().open().unwrap().memory().clone())
        }
    }

    struct Window(PathBuf);

    impl Fixture for Window {
        fn open(&self) -> Memory {
            let device = ivshmem::plain(&self.0).size(1 << 20).window(123_456, 200_000).open().unwrap();
            device.memory().clone()
        }

        fn open_read_only(&self, _memory: &Memory) -> Option<Memory> {
            let device = ivshmem::plain(&self.0).read_only().window(123_456, 200_000).open().unwrap();
            Some(device.memory().clone())
        }
    }
}
