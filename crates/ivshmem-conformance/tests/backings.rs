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
    use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::huge_pages::Hugetlbfs;
    use ivshmem_conformance::huge_pages::{HUGE_PAGE, Limit, Limited};

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
        std::fs::remove_file(&path).unwrap();
        // A window in the existing part gets no page for a hole, unless it is prefaulted: then there is one page too few.
        std::fs::File::create(&path).unwrap().set_len(HUGE_PAGE).unwrap();
        let window = || ivshmem::plain(&path).size((all + 1) * HUGE_PAGE).window(0, HUGE_PAGE);
        let error = window().prefault().open().unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        // Only the reservation for the hole stays.
        assert_eq!((std::fs::metadata(&path).unwrap().len(), free()), (HUGE_PAGE, all - 1));
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(HUGE_PAGE).unwrap();
        drop(window().open().unwrap());
        let grown = std::fs::metadata(&path).unwrap();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&grown);
        assert_eq!((grown.len(), blocks * 512, free()), ((all + 1) * HUGE_PAGE, all * HUGE_PAGE, 0));
    }

    #[test]
    fn a_pool_that_is_too_small_for_the_holes_of_a_part_is_no_limit_of_a_control_group() {
        let test = "a_pool_that_is_too_small_for_the_holes_of_a_part_is_no_limit_of_a_control_group";
        let pages = match Hugetlbfs::mount() {
            Ok(pages) => pages,
            Err(reason) => return skip(test, &reason),
        };
        let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
        let (path, other) = (pages.path().join("memory"), pages.path().join("other"));
        // The first two pages are allocated, the third is a hole.
        std::fs::File::create(&path).unwrap().set_len(3 * HUGE_PAGE).unwrap();
        drop(ivshmem::plain(&path).window(0, 2 * HUGE_PAGE).prefault().open().unwrap());
        for (left, size, len) in [(0, 3, 1), (1, 4, 2)] {
            drop(ivshmem::plain(&other).size((free() - left) * HUGE_PAGE).open().unwrap());
            let part = ivshmem::plain(&path).size(size * HUGE_PAGE).window(2 * HUGE_PAGE, len * HUGE_PAGE);
            let error = part.prefault().open().unwrap_err();
            assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
            assert!(!error.to_string().contains("control group"), "{error}");
            std::fs::remove_file(&other).unwrap();
        }
        // The first page is a hole, and the second one is beyond the end, where a failed growth may leave it.
        std::fs::remove_file(&path).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(HUGE_PAGE).unwrap();
        rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, HUGE_PAGE, HUGE_PAGE).unwrap();
        drop(ivshmem::plain(&other).size(free() * HUGE_PAGE).open().unwrap());
        let error = ivshmem::plain(&path).prefault().open().unwrap_err();
        assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
        assert!(!error.to_string().contains("control group"), "{error}");
    }

    #[test]
    fn a_file_that_gets_fewer_huge_pages_than_are_free_is_as_before_and_the_error_names_the_limit() {
        let test =
            "a_file_that_gets_fewer_huge_pages_than_are_free_is_as_before_and_the_error_names_the_limit";
        let pages = match Hugetlbfs::mount() {
            Ok(pages) => pages,
            Err(reason) => return skip(test, &reason),
        };
        let free = || rustix::fs::statvfs(pages.path()).unwrap().f_bfree;
        let (all, path) = (free(), pages.path().join("memory"));
        let size = all * HUGE_PAGE;
        for (limit, name) in [
            (Limit::Used, "hugetlb.SIZE.limit_in_bytes"),
            (Limit::Reserved, "hugetlb.SIZE.rsvd.limit_in_bytes"),
        ] {
            let limited = match Limited::enter(limit, 2 * HUGE_PAGE) {
                Ok(limited) => limited,
                Err(reason) => return skip(test, &reason),
            };
            let refused = || {
                let error = ivshmem::plain(&path).size(size).open().unwrap_err();
                assert_eq!(error.kind(), ivshmem::ErrorKind::NoSpace, "{error}");
                error.to_string()
            };
            let mut texts = [refused(), refused()].to_vec();
            assert_eq!((path.exists(), free()), (false, all), "{limit:?}: half done");
            drop(ivshmem::plain(&path).size(HUGE_PAGE).open().unwrap());
            texts.extend([refused(), refused()]);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), HUGE_PAGE, "{limit:?}: half done");
            if limit == Limit::Used {
                // What is beyond the end can be released.
                std::fs::File::options().write(true).open(&path).unwrap().set_len(HUGE_PAGE).unwrap();
            }
            assert_eq!(free(), all - 1, "{limit:?}");
            for text in texts {
                assert!(
                    text.contains("counts enough huge pages") && text.contains(name),
                    "{limit:?}: {text}"
                );
            }
            // The remedy works.
            limited.set(limit, size).unwrap();
            let device = ivshmem::plain(&path).size(size).open().unwrap();
            device.memory().fill(0, 1, size).unwrap();
            drop(device);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(free(), all, "{limit:?}");
        }
    }

    #[test]
    fn a_sealed_memfd_of_huge_pages_that_cannot_grow_takes_none() {
        let pages = match Hugetlbfs::mount() {
            Ok(pages) => pages,
            Err(reason) => {
                return skip("a_sealed_memfd_of_huge_pages_that_cannot_grow_takes_none", &reason);
            }
        };
        for (seal, kind) in [
            (SealFlags::GROW, ivshmem::ErrorKind::InvalidArgument),
            (SealFlags::WRITE, ivshmem::ErrorKind::PermissionDenied),
        ] {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
            let fd = memfd_create("sealed", flags).unwrap();
            rustix::fs::ftruncate(&fd, HUGE_PAGE).unwrap();
            fcntl_add_seals(&fd, seal).unwrap();
            let free = || ivshmem::sys::linux::file::free_huge_pages(&fd, HUGE_PAGE).unwrap();
            let before = free();
            let open = ivshmem::plain_fd(fd.try_clone().unwrap()).size(3 * HUGE_PAGE).open();
            let error = open.unwrap_err();
            assert_eq!((error.kind(), free()), (kind, before), "{error}");
            assert_eq!(rustix::fs::fstat(&fd).unwrap().st_size, i64::try_from(HUGE_PAGE).unwrap());
        }
        drop(pages);
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
