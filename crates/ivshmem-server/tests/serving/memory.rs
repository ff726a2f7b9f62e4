//! The shared memory: its size, its seals, and its owner.

use std::fmt::Debug;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::sys::linux::eventfd;
use ivshmem_conformance::huge_pages::{HUGE_PAGE, HugePages, Limit, Limited};
use ivshmem_conformance::skip;
use ivshmem_server::{Backing, Builder, Error, Server};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::client::Client;

/// A directory in /dev/shm, where objects are memory.
fn new() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let object = dir.path().join("object");
    (dir, object)
}

/// Creates an object with this content and mode.
fn write(object: &Path, content: &[u8], mode: u32) {
    fs::write(object, content).unwrap();
    File::open(object).unwrap().set_permissions(fs::Permissions::from_mode(mode)).unwrap();
}

fn builder(dir: &Path, socket: &str, backing: Backing) -> Builder {
    Server::builder(dir.join(socket)).size(1 << 20).backing(backing)
}

#[test]
fn sealed_memory_keeps_its_size_whatever_a_client_does() {
    let (dir, _) = new();
    for prealloc in [false, true] {
        let server = builder(dir.path(), "socket", Backing::Sealed).prealloc(prealloc).start().unwrap();
        let client = Client::greeted(server.path(), 1);
        let memory = client.memory.as_ref().unwrap();
        for size in [0, 4096, 2 << 20] {
            assert_eq!(rustix::fs::ftruncate(memory, size), Err(Errno::PERM));
        }
        let seals = rustix::fs::SealFlags::WRITE;
        assert_eq!(rustix::fs::fcntl_add_seals(memory, seals), Err(Errno::PERM));
        assert_eq!(client.size(), 1 << 20);
        let blocks = rustix::fs::fstat(memory).unwrap().st_blocks;
        assert_eq!(blocks * 512, if prealloc { 1 << 20 } else { 0 });
    }
}

#[test]
fn sixty_four_gibibytes_are_shared_without_having_them() {
    let (dir, _) = new();
    let server = builder(dir.path(), "socket", Backing::Sealed).size(64 << 30).start().unwrap();
    assert_eq!(Client::greeted(server.path(), 1).size(), 64 << 30);
    server.stop().unwrap();
    let error =
        builder(dir.path(), "socket", Backing::Sealed).size(1 << 40).prealloc(true).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
}

#[test]
fn a_named_object_is_created_allocated_and_removed() {
    let (dir, object) = new();
    let server = builder(dir.path(), "s", Backing::Named(object.clone())).mode(0o640).start().unwrap();
    let metadata = fs::metadata(&object).unwrap();
    assert_eq!((metadata.len(), metadata.blocks() * 512), (1 << 20, 1 << 20));
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    fs::write(&object, b"hello").unwrap();
    File::options().write(true).open(&object).unwrap().set_len(1 << 20).unwrap();
    let mut start = [0; 5];
    let client = Client::greeted(server.path(), 1);
    rustix::io::pread(client.memory.as_ref().unwrap(), &mut start, 0).unwrap();
    assert_eq!(&start, b"hello");
    server.stop().unwrap();
    assert!(!object.exists());
}

#[test]
fn an_object_of_somebody_else_is_used_as_it_is_and_stays() {
    let (dir, object) = new();
    let mut content = vec![0; 1 << 20];
    content[..5].copy_from_slice(b"other");
    write(&object, &content, 0o600);
    let server = builder(dir.path(), "s", Backing::Named(object.clone())).start().unwrap();
    assert_eq!(Client::greeted(server.path(), 1).size(), 1 << 20);
    server.stop().unwrap();
    assert_eq!(fs::read(&object).unwrap(), content);
}

#[test]
fn an_object_of_another_size_is_refused_with_both_sizes_and_not_touched() {
    let (dir, object) = new();
    write(&object, &[7; 8192], 0o600);
    let error = builder(dir.path(), "s", Backing::Named(object.clone())).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let text = error.to_string();
    assert!(text.contains("8192") && text.contains("1048576") && text.contains("object"), "{text}");
    assert_eq!(fs::read(&object).unwrap(), [7; 8192]);
    assert!(!dir.path().join("s").exists(), "nothing half done");
}

#[test]
fn an_object_that_is_less_safe_than_a_new_one_is_refused_with_the_remedy_and_not_touched() {
    let (dir, object) = new();
    let content = vec![7; 1 << 20];
    let start = |mode| builder(dir.path(), "s", Backing::Named(object.clone())).mode(mode).start();
    let refused = |mode, word: &str| {
        let before = fs::metadata(&object).unwrap();
        let error = start(mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains(word) && error.to_string().contains("object"), "{error}");
        let after = fs::metadata(&object).unwrap();
        assert_eq!((before.mode(), before.uid(), before.len()), (after.mode(), after.uid(), after.len()));
        assert_eq!(fs::read(&object).unwrap(), content);
        assert!(!dir.path().join("s").exists(), "nothing half done");
    };
    for (mode, narrow, wide) in [(0o644, 0o600, 0o644), (0o660, 0o640, 0o660), (0o606, 0o660, 0o606)] {
        write(&object, &content, mode);
        refused(narrow, &format!("mode 0{mode:03o}"));
        start(wide).unwrap();
    }
    // As QEMU's own server creates them: the owner's execute permission does no harm.
    write(&object, &content, 0o700);
    start(0o600).unwrap();
    let second = dir.path().join("second");
    fs::hard_link(&object, &second).unwrap();
    refused(0o600, "other names");
    fs::remove_file(second).unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(&object, Some(65_534), None).unwrap();
    refused(0o600, "user 65534");
    // A lock on it does not change the reason to "in use by another server".
    let held = File::open(&object).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    refused(0o600, "user 65534");
    drop(held);
    let given = || builder(dir.path(), "s", Backing::Named(object.clone()));
    given().owner(65_534, None).start().unwrap();
    assert!(given().owner(65_533, None).start().is_err());
    // The group matters if it has permissions.
    chown(&object, Some(0), Some(65_534)).unwrap();
    given().owner(None, 65_533).start().unwrap();
    write(&object, &content, 0o660);
    given().mode(0o660).owner(None, 65_534).start().unwrap();
    let error = given().mode(0o660).owner(None, 65_533).start().unwrap_err();
    assert!(error.to_string().contains("group 65534"), "{error}");
}

/// In a directory with the set-group-ID bit, new files get its group. A killed server leaves such a file.
#[test]
fn the_object_of_a_killed_server_is_used_whatever_group_the_directory_gives() {
    if !rustix::process::geteuid().is_root() {
        skip(
            "the_object_of_a_killed_server_is_used_whatever_group_the_directory_gives",
            "it needs root, to change groups",
        );
        return;
    }
    for mode in [0o2770, 0o770] {
        let (dir, object) = new();
        chown(dir.path(), None, Some(1234)).unwrap();
        File::open(dir.path()).unwrap().set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        let start = || builder(dir.path(), "s", Backing::Named(object.clone())).mode(0o660).start();
        let server = start().unwrap();
        let inherits = mode & 0o2000 != 0;
        assert_eq!(fs::metadata(&object).unwrap().gid() == 1234, inherits);
        // The server does not remove its object if the object has another name.
        let kept = dir.path().join("kept");
        fs::rename(&object, &kept).unwrap();
        server.stop().unwrap();
        fs::rename(&kept, &object).unwrap();
        start().unwrap().stop().unwrap();
        // A file of any user with a group that a new file would not get.
        chown(&object, None, Some(if inherits { 4321 } else { 1234 })).unwrap();
        assert_eq!(start().unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}

#[test]
fn an_empty_object_gets_its_size_and_stays_empty_when_the_start_fails() {
    let (dir, object) = new();
    write(&object, b"", 0o600);
    let is_untouched = || {
        let now = fs::metadata(&object).unwrap();
        assert_eq!((now.len(), now.blocks()), (0, 0));
    };
    let backing = Backing::Named(object.clone());
    let too_large = builder(dir.path(), "s", backing.clone()).size(1 << 40).start().unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::NoSpace, "{too_large}");
    is_untouched();
    // Failures before the memory is examined, in the memory itself, and last of all.
    fs::write(dir.path().join("file"), "").unwrap();
    let no_status = builder(dir.path(), "s", backing.clone()).status_socket(dir.path().join("missing/s"));
    for failing in [
        builder(dir.path(), "file", backing.clone()).start(),
        builder(dir.path(), "missing/s", backing.clone()).start(),
        no_status.start(),
    ] {
        failing.unwrap_err();
        is_untouched();
    }
    let server = builder(dir.path(), "s", backing).start().unwrap();
    let client = Client::greeted(server.path(), 1);
    let now = fs::metadata(&object).unwrap();
    assert_eq!((client.size(), now.len(), now.blocks() * 512), (1 << 20, 1 << 20, 1 << 20));
    server.stop().unwrap();
    assert_eq!(fs::metadata(&object).unwrap().len(), 1 << 20, "it was somebody's, and stays");
}

#[test]
fn a_user_who_may_not_give_files_away_is_refused_and_nothing_is_left() {
    if !rustix::process::geteuid().is_root() {
        return skip("a_user_who_may_not_give_files_away_is_refused_and_nothing_is_left", "not root");
    }
    let (dir, object) = new();
    chown(dir.path(), Some(65_534), None).unwrap();
    let backing = Backing::Named(object);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            let builder = || builder(dir.path(), "s", backing.clone());
            for (uid, gid) in [(Some(0), None), (None, Some(1)), (Some(0), Some(0))] {
                let error = builder().owner(uid, gid).listen().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
                assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
            }
            drop(builder().listen().unwrap());
        });
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_file_is_refused() {
    let (dir, object) = new();
    fs::create_dir(&object).unwrap();
    let link = dir.path().join("link");
    let target = dir.path().join("target");
    symlink(&target, &link).unwrap();
    for path in [object, link] {
        let error = builder(dir.path(), "s", Backing::Named(path)).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    assert!(!target.exists(), "links are not followed");
    let missing = dir.path().join("missing/object");
    let error = builder(dir.path(), "s", Backing::Named(missing)).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn a_second_server_on_the_same_object_is_refused_and_the_first_goes_on() {
    let (dir, object) = new();
    let backing = Backing::Named(object.clone());
    let first = builder(dir.path(), "first", backing.clone()).start().unwrap();
    let client = Client::greeted(first.path(), 1);
    let error = builder(dir.path(), "second", backing.clone()).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(object.exists() && !dir.path().join("second").exists());
    Client::greeted(first.path(), 1);
    drop(first);
    // The client still has the first server's memory open, which must not lock the name.
    let second = builder(dir.path(), "second", backing).start().unwrap();
    Client::greeted(second.path(), 1);
    drop(client);
}

#[test]
fn memory_that_does_not_fit_is_an_error_now_and_not_a_signal_later() {
    let (dir, object) = new();
    for backing in [Backing::Named(object.clone()), Backing::Unnamed(dir.path().to_owned())] {
        let error = builder(dir.path(), "s", backing).size(1 << 40).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert!(error.to_string().starts_with("1099511627776 bytes asked for, "), "{error}");
        assert!(!object.exists());
    }
}

#[test]
fn a_start_that_is_to_stop_takes_no_more_space_and_leaves_nothing() {
    let (dir, object) = new();
    let stop = Arc::new(eventfd::create().unwrap());
    eventfd::ring(stop.as_fd()).unwrap();
    let backings = [Backing::Sealed, Backing::Named(object.clone()), Backing::Unnamed(dir.path().to_owned())];
    for backing in backings {
        let builder = builder(dir.path(), "s", backing).prealloc(true).stop_on(Arc::clone(&stop));
        let error = builder.listen().unwrap_err();
        assert!(matches!(error, Error::Stopped { taken: 0, size: 0x10_0000 }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    // An existing file keeps its length.
    write(&object, b"", 0o600);
    let builder = builder(dir.path(), "s", Backing::Named(object.clone())).stop_on(stop);
    assert!(matches!(builder.listen().unwrap_err(), Error::Stopped { .. }));
    assert_eq!(fs::metadata(&object).unwrap().len(), 0);
}

#[test]
fn memory_from_a_directory_leaves_no_name_there() {
    let (dir, _) = new();
    let server = builder(dir.path(), "s", Backing::Unnamed(dir.path().to_owned())).start().unwrap();
    assert_eq!(Client::greeted(server.path(), 1).size(), 1 << 20);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["s"]);
}

#[test]
fn memory_on_hugetlbfs_is_checked_against_its_pages() {
    let test = "memory_on_hugetlbfs_is_checked_against_its_pages";
    let _pages = match HugePages::add(4) {
        Ok(pages) => pages,
        Err(why) => return skip(test, &why),
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::at(dir.path()) else {
        return skip(test, "hugetlbfs cannot be mounted here");
    };
    for backing in [Backing::Named(dir.path().join("object")), Backing::Unnamed(dir.path().to_owned())] {
        let sockets = tempfile::tempdir().unwrap();
        let error = builder(sockets.path(), "s", backing.clone()).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("2097152"), "{error}");
        let server = builder(sockets.path(), "s", backing).size(4 << 20).start().unwrap();
        let client = Client::greeted(server.path(), 1);
        assert_eq!(client.size(), 4 << 20);
        server.stop().unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_start_that_finds_too_few_huge_pages_leaves_an_existing_object_its_holes_and_its_data() {
    let test = "a_start_that_finds_too_few_huge_pages_leaves_an_existing_object_its_holes_and_its_data";
    let _pages = match HugePages::add(4) {
        Ok(pages) => pages,
        Err(why) => return skip(test, &why),
    };
    let idle = free_huge_pages();
    // By the limit of the mount, and by what the system has.
    for (options, size) in [("size=6M", 8 << 20), ("mode=700", 1 << 40)] {
        let dir = tempfile::tempdir().unwrap();
        let Some(mounted) = Mounted::with(dir.path(), options) else {
            return skip(test, "hugetlbfs cannot be mounted here");
        };
        let (sockets, object) = (tempfile::tempdir().unwrap(), dir.path().join("object"));
        let backing = Backing::Named(object.clone());
        let free = || match options {
            "size=6M" => rustix::fs::statvfs(dir.path()).unwrap().f_bfree,
            _ => free_huge_pages(),
        };
        let (all, refused) = (free(), |pages: u64| {
            let error = builder(sockets.path(), "s", backing.clone()).size(size).start().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            let available = format!(" asked for, {} available in ", pages * (2 << 20));
            assert!(error.to_string().contains(&available), "{error}");
        });
        refused(all);
        assert!(!object.exists());
        await_free(all, free, options);
        write(&object, b"", 0o600);
        refused(all);
        assert_eq!(fs::metadata(&object).unwrap().len(), 0);
        await_free(all, free, options);
        File::options().write(true).open(&object).unwrap().set_len(size).unwrap();
        let data = || ivshmem::plain(&object).window(2 << 20, 2 << 20).open().unwrap();
        data().memory().write(0, b"data").unwrap();
        let before = free();
        // Including the page that the object has.
        refused(before + 1);
        let has = fs::metadata(&object).unwrap();
        assert_eq!((has.len(), has.blocks() * 512), (size, 2 << 20));
        await_free(before, free, options);
        let mut bytes = [0; 4];
        data().memory().read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"data");
        // The remedy works, and the holes get the pages that were reserved for them.
        File::options().write(true).open(&object).unwrap().set_len(4 << 20).unwrap();
        let server = builder(sockets.path(), "s", backing).size(4 << 20).start().unwrap();
        assert_eq!(fs::metadata(&object).unwrap().blocks() * 512, 4 << 20);
        await_free(before - 1, free, options);
        server.stop().unwrap();
        drop(mounted);
        await_free(idle, free_huge_pages, options);
    }
}

#[test]
fn a_start_that_gets_fewer_huge_pages_than_are_free_names_the_limit_of_the_control_group() {
    let test = "a_start_that_gets_fewer_huge_pages_than_are_free_names_the_limit_of_the_control_group";
    let _pages = match HugePages::add(4) {
        Ok(pages) => pages,
        Err(why) => return skip(test, &why),
    };
    let dir = tempfile::tempdir().unwrap();
    // Linux 6.18 loses a page of a mount with a limit when it reaches that of a control group.
    let Some(_mounted) = Mounted::at(dir.path()) else {
        return skip(test, "hugetlbfs cannot be mounted here");
    };
    let (sockets, object) = (tempfile::tempdir().unwrap(), dir.path().join("object"));
    let (all, free) = (free_huge_pages(), free_huge_pages);
    let size = all * HUGE_PAGE;
    let builder = || builder(sockets.path(), "s", Backing::Named(object.clone())).size(size);
    for (limit, name, stay) in [
        (Limit::Used, "hugetlb.SIZE.limit_in_bytes", all),
        (Limit::Reserved, "hugetlb.SIZE.rsvd.limit_in_bytes", 0),
    ] {
        let limited = match Limited::enter(limit, 2 * HUGE_PAGE) {
            Ok(limited) => limited,
            Err(why) => return skip(test, &why),
        };
        let refused = || {
            let error = builder().start().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("{size} bytes asked for, {size} available in ")),
                "{limit:?}: {text}"
            );
            assert!(text.contains(name), "{limit:?}: {text}");
        };
        refused();
        assert!(!object.exists(), "{limit:?}");
        await_free(all, free, limit);
        write(&object, b"", 0o600);
        refused();
        assert_eq!(fs::metadata(&object).unwrap().len(), 0, "{limit:?}");
        await_free(all, free, limit);
        File::options().write(true).open(&object).unwrap().set_len(size).unwrap();
        refused();
        assert_eq!(fs::metadata(&object).unwrap().len(), size, "{limit:?}");
        await_free(all - stay, free, limit);
        // The remedy works.
        limited.set(limit, size).unwrap();
        builder().start().unwrap().stop().unwrap();
        fs::remove_file(&object).unwrap();
        await_free(all, free, limit);
    }
}

/// Waits until `free` returns this number. A process that another test is starting has the files of this process open until it
/// runs its program, and the pages of a file without a name are free once nobody has it open.
#[track_caller]
fn await_free(expected: u64, free: impl Fn() -> u64, context: impl Debug) {
    const HANG: Duration = Duration::from_secs(30);
    let begin = Instant::now();
    loop {
        let now = free();
        if now == expected {
            return;
        }
        assert!(begin.elapsed() < HANG, "{context:?}: {now} huge pages are free, not {expected}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Number of pages of 2 MiB that are neither used nor reserved.
fn free_huge_pages() -> u64 {
    let [free, reserved] = ["free", "resv"].map(|name| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}_hugepages");
        fs::read_to_string(path).unwrap().trim().parse::<u64>().unwrap()
    });
    free - reserved
}

/// A mounted hugetlbfs, unmounted on drop.
pub(crate) struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    pub(crate) fn at(path: &'a Path) -> Option<Self> {
        Self::with(path, "mode=755")
    }

    fn with(path: &'a Path, options: &str) -> Option<Self> {
        let options = format!("pagesize=2M,{options}");
        let mount =
            Command::new("mount").args(["-t", "hugetlbfs", "-o", &options, "none"]).arg(path).output();
        mount.ok()?.status.success().then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // A process that another test is starting may have a file of it open.
        Command::new("umount").arg("--lazy").arg(self.0).status().unwrap();
    }
}
