//! Plain memory: the files that can be opened, the effects on them, and the error texts.
#![expect(clippy::disallowed_methods, reason = "the folders of tests are changed by nobody else")]
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ivshmem::ErrorKind;
use ivshmem::device::{Device, DeviceKind, OpenError, Plain};
use ivshmem_conformance::bare_server::{BareServer, Manner};
use ivshmem_conformance::checkout;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use tempfile::TempDir;

/// A directory, and a file in it that does not exist yet.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory");
    (directory, path)
}

fn refused(options: Plain, kind: ErrorKind, words: &[&str]) -> OpenError {
    let error = options.open().map(drop).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    error
}

fn first_bytes(device: &Device) -> [u8; 4] {
    let mut bytes = [0; 4];
    device.memory().read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn two_programs_that_open_one_file_see_each_other() {
    let (_directory, path) = place();
    let one = ivshmem::plain(&path).size(100).open().unwrap();
    let two = ivshmem::plain(&path).open().unwrap();
    assert_eq!(one.kind(), DeviceKind::Plain);
    assert_eq!((one.memory().len(), two.memory().len()), (100, 100));
    one.memory().write(0, b"here").unwrap();
    assert_eq!(first_bytes(&two), *b"here");
    one.close();
    assert!(one.is_closed() && !two.is_closed());
    assert_eq!(one.memory().read(0, &mut [0]).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(first_bytes(&two), *b"here");
    let view = two.memory().view(1, 3).unwrap();
    drop(two);
    assert_eq!(view.read_word::<u8>(0).unwrap(), b'e');
}

#[test]
fn a_longer_file_is_mapped_whole_and_a_shorter_one_grows() {
    let (_directory, path) = place();
    fs::write(&path, b"here and there").unwrap();
    assert_eq!(ivshmem::plain(&path).size(4).open().unwrap().memory().len(), 14);
    assert_eq!(ivshmem::plain(&path).open().unwrap().memory().len(), 14);
    let grown = ivshmem::plain(&path).size(10_000).open().unwrap();
    assert_eq!((grown.memory().len(), fs::metadata(&path).unwrap().len()), (10_000, 10_000));
    assert_eq!(first_bytes(&grown), *b"here");
    assert_eq!(grown.memory().read_word::<u64>(9_992).unwrap(), 0);
}

#[test]
fn a_file_needs_a_size_when_it_has_none() {
    let (_directory, path) = place();
    refused(ivshmem::plain(&path), ErrorKind::NotFound, &[path.to_str().unwrap(), "give a size"]);
    refused(ivshmem::plain(&path).size(8).read_only(), ErrorKind::NotFound, &["does not exist"]);
    assert!(!path.exists());
    fs::write(&path, []).unwrap();
    refused(ivshmem::plain(&path), ErrorKind::InvalidArgument, &["empty", "give a size"]);
    refused(ivshmem::plain(&path).read_only(), ErrorKind::InvalidArgument, &["empty"]);
    assert_eq!(ivshmem::plain(&path).size(8).open().unwrap().memory().len(), 8);
}

#[test]
fn sizes_that_cannot_be_are_refused_with_the_limit() {
    let (_directory, path) = place();
    refused(ivshmem::plain(&path).size(0), ErrorKind::InvalidArgument, &["0 bytes", "at least 1"]);
    let limit = i64::MAX.to_string();
    for size in [u64::MAX, 1 << 63] {
        refused(ivshmem::plain(&path).size(size), ErrorKind::InvalidArgument, &[&size.to_string(), &limit]);
    }
    // The error depends on the file system: the size is above its limit, or it has no space.
    let error = ivshmem::plain(&path).size(i64::MAX as u64).open().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::NoSpace), "{error}");
    assert!(!path.exists(), "{error}");
}

#[test]
fn what_is_no_file_is_refused_by_its_name() {
    let (directory, path) = place();
    let named = |what| ["memory is a regular file", what].map(String::from);
    let check = |path: &PathBuf, what: &'static str| {
        for options in [ivshmem::plain(path).size(64), ivshmem::plain(path).read_only()] {
            let words = named(what);
            refused(options, ErrorKind::InvalidArgument, &[&words[0], &words[1]]);
        }
    };
    check(&directory.path().to_path_buf(), "a directory");
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    check(&fifo, "a pipe");
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    check(&socket, "a socket");
    check(&PathBuf::from("/dev/zero"), "a character device");
    assert!(!path.exists());
}

#[test]
fn files_of_sysfs_are_never_grown_nor_written_to() {
    let path = PathBuf::from("/sys/kernel/uevent_seqnum");
    let before = fs::read(&path).unwrap();
    refused(
        ivshmem::plain(&path).read_only().size(8192),
        ErrorKind::InvalidArgument,
        &["file's 4096", "cannot grow"],
    );
    refused(ivshmem::plain(&path).read_only(), ErrorKind::InvalidArgument, &["maps no files"]);
    let writable = PathBuf::from("/sys/kernel/mm/ksm/sleep_millisecs");
    if OpenOptions::new().write(true).open(&writable).is_ok() {
        let value = fs::read(&writable).unwrap();
        refused(ivshmem::plain(&writable).size(8192), ErrorKind::InvalidArgument, &["cannot grow"]);
        refused(ivshmem::plain(&writable), ErrorKind::InvalidArgument, &["maps no files"]);
        assert_eq!(fs::read(&writable).unwrap(), value);
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn paths_that_lead_nowhere_are_told_apart() {
    let (directory, path) = place();
    symlink(directory.path().join("gone"), &path).unwrap();
    for options in [ivshmem::plain(&path).size(8), ivshmem::plain(&path), ivshmem::plain(&path).read_only()] {
        refused(options, ErrorKind::NotFound, &["is a link to", "gone"]);
    }
    let deep = directory.path().join("no/such/file");
    refused(ivshmem::plain(&deep).size(8), ErrorKind::NotFound, &["there is no directory", "no/such"]);
    refused(ivshmem::plain("").size(8), ErrorKind::NotFound, &[]);
    let odd = directory.path().join("memory/file");
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"a file").unwrap();
    refused(ivshmem::plain(&odd).size(8), ErrorKind::Io, &["cannot open", "memory/file"]);
    // A link whose target exists is followed.
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(ivshmem::plain(&link).open().unwrap().memory().len(), 6);
}

#[test]
fn create_new_never_takes_what_exists() {
    let (directory, path) = place();
    let device = ivshmem::plain(&path).size(64).create_new().open().unwrap();
    device.memory().write(0, b"here").unwrap();
    refused(
        ivshmem::plain(&path).size(64).create_new(),
        ErrorKind::AlreadyExists,
        &["exists already", "create_new"],
    );
    assert_eq!(first_bytes(&device), *b"here");
    let link = directory.path().join("link");
    symlink(directory.path().join("gone"), &link).unwrap();
    refused(ivshmem::plain(&link).size(64).create_new(), ErrorKind::AlreadyExists, &[]);
    refused(ivshmem::plain(&path).create_new(), ErrorKind::InvalidArgument, &["needs a size"]);
    refused(ivshmem::plain(&path).size(1).create_new().read_only(), ErrorKind::InvalidArgument, &["exclude"]);
}

#[test]
fn a_created_file_has_the_mode_and_the_owner_asked_for() {
    let (directory, path) = place();
    ivshmem::plain(&path).size(64).open().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let open = directory.path().join("open");
    ivshmem::plain(&open).size(64).mode(0o666).open().unwrap();
    assert_eq!(fs::metadata(&open).unwrap().mode() & 0o7777, 0o666, "whatever the umask is");
    ivshmem::plain(&path).size(64).mode(0o640).open().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "a file that exists keeps its mode");
    let own = fs::metadata(&path).unwrap();
    let given = directory.path().join("given");
    match ivshmem::plain(&given).size(64).owner(own.uid() + 1, own.gid() + 1).open() {
        Ok(_) => assert_eq!(fs::metadata(&given).unwrap().uid(), own.uid() + 1),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{e}");
            assert!(!given.exists(), "half done");
        }
    }
}

#[test]
fn a_mode_or_an_owner_that_is_none_is_refused_and_nothing_is_created() {
    let (_directory, path) = place();
    // The value of Java's -1, 660 without a leading 0, and bits that are not permissions.
    for mode in [u32::MAX, 660, 0o1777, 0o100_600] {
        let error = ivshmem::plain(&path).size(64).mode(mode).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(&format!("{mode} in decimal")), "{error}");
        assert!(error.to_string().contains("octal"), "{error}");
    }
    for (user, group) in [(u32::MAX, 0), (0, u32::MAX)] {
        let error = ivshmem::plain(&path).size(64).owner(user, group).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("4294967295 is no id"), "{error}");
    }
    assert!(!path.exists());
}

#[test]
fn without_permission_the_error_says_so() {
    let (directory, path) = place();
    ivshmem::plain(&path).size(64).open().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let unprivileged = || {
        if rustix::process::geteuid().is_root() {
            // The system call, unlike the C library's function, changes only the calling thread.
            let nobody = rustix::fs::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        refused(ivshmem::plain(&path), ErrorKind::PermissionDenied, &["no permission to open"]);
        if fs::metadata(&path).unwrap().uid() != rustix::process::geteuid().as_raw() {
            let new = directory.path().join("new");
            refused(ivshmem::plain(&new).size(8), ErrorKind::PermissionDenied, &["no permission to create"]);
        }
        assert_eq!(ivshmem::plain(&path).read_only().open().unwrap().memory().len(), 64);
    };
    std::thread::scope(|scope| scope.spawn(unprivileged).join().unwrap());
}

#[test]
fn read_only_memory_can_be_read_and_never_grows() {
    let (_directory, path) = place();
    fs::write(&path, b"here").unwrap();
    let device = ivshmem::plain(&path).read_only().open().unwrap();
    assert_eq!(first_bytes(&device), *b"here");
    assert_eq!(device.memory().write(0, &[1]).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(ivshmem::plain(&path).read_only().size(4).open().unwrap().memory().len(), 4);
    refused(ivshmem::plain(&path).read_only().size(5), ErrorKind::InvalidArgument, &["5 bytes", "file's 4"]);
    assert_eq!(fs::read(&path).unwrap(), b"here");
}

#[test]
fn a_descriptor_is_enough() {
    let fd = memfd_create("memory", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let device = ivshmem::plain_fd(fd.try_clone().unwrap()).size(8192).open().unwrap();
    device.memory().write(0, b"here").unwrap();
    fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK).unwrap();
    let other = ivshmem::plain_fd(fd.try_clone().unwrap()).open().unwrap();
    assert_eq!(first_bytes(&other), *b"here");
    assert_eq!(ftruncate(&fd, 0).unwrap_err(), rustix::io::Errno::PERM);
    refused(
        ivshmem::plain_fd(fd.try_clone().unwrap()).size(8193),
        ErrorKind::InvalidArgument,
        &["8193", "sealed"],
    );
    let sealed = memfd_create("sealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&sealed, 4096).unwrap();
    fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
    refused(
        ivshmem::plain_fd(sealed.try_clone().unwrap()),
        ErrorKind::PermissionDenied,
        &["no permission to map"],
    );
    // The seals allow growing but not mapping: the failure must not leave the file longer.
    refused(ivshmem::plain_fd(sealed.try_clone().unwrap()).size(8192), ErrorKind::PermissionDenied, &[]);
    assert_eq!(ivshmem::plain_fd(sealed).read_only().open().unwrap().memory().len(), 4096);
    refused(ivshmem::plain_fd(fd).size(8).create_new(), ErrorKind::InvalidArgument, &["needs a path"]);
    let pipe: OwnedFd = std::io::pipe().unwrap().0.into();
    refused(ivshmem::plain_fd(pipe).size(8), ErrorKind::InvalidArgument, &["the descriptor is a pipe"]);
    let read_only: OwnedFd = fs::File::open("/etc/hostname").unwrap().into();
    refused(ivshmem::plain_fd(read_only), ErrorKind::PermissionDenied, &[]);
}

#[test]
fn a_window_shows_its_part_of_the_file_only() {
    let (_directory, path) = place();
    let whole = ivshmem::plain(&path).size(100_000).open().unwrap();
    for (offset, len) in [(0, 1), (1, 10), (4095, 2), (4096, 4096), (50_000, 50_000), (99_999, 1)] {
        let part = ivshmem::plain(&path).window(offset, len).open().unwrap();
        assert_eq!(part.memory().len(), len);
        part.memory().fill(0, 0x7e, len).unwrap();
        assert_eq!(part.memory().read(len, &mut [0]).unwrap_err().kind(), ErrorKind::OutOfBounds);
        assert_eq!(whole.memory().index_of(0, 100_000, &[0x7e]).unwrap(), Some(offset));
        part.memory().sync(0, len).unwrap();
        part.memory().fill(0, 0, len).unwrap();
        assert_eq!(whole.memory().index_of(0, 100_000, &[0x7e]).unwrap(), None);
    }
    for (offset, len) in [(0, 100_001), (100_000, 1), (99_999, 2), (u64::MAX, 2), (1, u64::MAX), (5, 0)] {
        let words = [format!("{len} bytes at offset {offset}"), "100000 bytes".to_owned()];
        refused(ivshmem::plain(&path).window(offset, len), ErrorKind::OutOfBounds, &[&words[0], &words[1]]);
    }
    // A part at an offset far beyond 32 bits.
    let sparse = OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
    sparse.set_len(6 << 30).unwrap();
    let part = ivshmem::plain(&path).window((5 << 30) + 3, 5).open().unwrap();
    part.memory().write(0, b"there").unwrap();
    if cfg!(target_pointer_width = "32") {
        let limit = isize::MAX.to_string();
        refused(
            ivshmem::plain(&path),
            ErrorKind::InvalidArgument,
            &["6442450944", "address space", &limit, "window"],
        );
    }
}

#[test]
fn growing_what_cannot_hold_it_leaves_the_file_as_it_was() {
    let (directory, path) = place();
    fs::write(&path, b"here").unwrap();
    refused(ivshmem::plain(&path).size(4000).window(3999, 2), ErrorKind::OutOfBounds, &[]);
    assert_eq!(fs::read(&path).unwrap(), b"here");
    let new = directory.path().join("new");
    refused(ivshmem::plain(&new).size(4000).window(3999, 2), ErrorKind::OutOfBounds, &[]);
    assert!(!new.exists());
}

#[test]
fn a_regular_file_has_the_bytes_after_sync() {
    let directory = tempfile::tempdir_in(checkout::scratch()).unwrap();
    let path = directory.path().join("memory");
    let device = ivshmem::plain(&path).size(10_000).open().unwrap();
    device.memory().write(5000, b"written").unwrap();
    device.memory().sync(5000, 7).unwrap();
    assert_eq!(&fs::read(&path).unwrap()[5000..5007], b"written");
    assert_eq!(device.memory().sync(5000, 5001).unwrap_err().kind(), ErrorKind::OutOfBounds);
    device.close();
    assert_eq!(device.memory().sync(0, 1).unwrap_err().kind(), ErrorKind::Closed);
}

/// The number of allocated bytes of the file.
fn space(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Creates a file that consists of one hole.
fn sparse(path: &Path, size: u64) {
    fs::File::create(path).unwrap().set_len(size).unwrap();
    assert_eq!(space(path), 0);
}

#[test]
fn what_is_created_or_grown_has_its_space_and_holes_that_were_there_stay() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("memory");
    ivshmem::plain(&path).size(1 << 20).open().unwrap();
    assert_eq!(space(&path), 1 << 20);
    let holes = directory.path().join("holes");
    sparse(&holes, 1 << 20);
    for options in
        [ivshmem::plain(&holes), ivshmem::plain(&holes).size(4096), ivshmem::plain(&holes).read_only()]
    {
        let device = options.open().unwrap();
        assert_eq!((device.memory().len(), space(&holes)), (1 << 20, 0));
    }
    ivshmem::plain(&holes).size(3 << 20).open().unwrap();
    assert_eq!(space(&holes), 2 << 20, "what it grew by, and nothing else");
    ivshmem::plain(&holes).window(4096, 8192).prefault().open().unwrap();
    assert_eq!(space(&holes), (2 << 20) + 8192, "what was asked for");
    ivshmem::open(&format!("plain:{}?prefault", holes.display())).unwrap();
    assert_eq!(space(&holes), 3 << 20);
}

#[test]
fn looking_at_memory_with_holes_takes_no_space() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("holes");
    sparse(&path, 1 << 20);
    let writer = ivshmem::plain(&path).open().unwrap();
    writer.memory().write(40_000, b"here").unwrap();
    let target = format!("plain:{}?size=2M", path.display());
    assert_eq!(ivshmem::open_read_only(&target).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let device = ivshmem::open_read_only(&format!("plain:{}", path.display())).unwrap();
    assert!(device.memory().is_read_only());
    let mut all = vec![7; 1 << 20];
    device.memory().peek(0, &mut all).unwrap();
    assert_eq!(&all[40_000..40_004], b"here");
    assert!(all.iter().filter(|byte| **byte != 0).count() == 4);
    // A part of a part, whose mapping starts at another page.
    let part = ivshmem::plain(&path).window(39_998, 10).read_only().open().unwrap();
    let mut bytes = [7; 5];
    part.memory().view(1, 9).unwrap().peek(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0here");
    assert_eq!(space(&path), 4096);
    assert_eq!(device.memory().peek(1, &mut all).unwrap_err().kind(), ErrorKind::OutOfBounds);
    // Writable memory is read through the mapping.
    writer.memory().peek(40_000, &mut bytes).unwrap();
    assert_eq!(&bytes, b"here\0");
    // Reading a part that another process has cut off is an error and does not end the process.
    fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let error = device.memory().peek(0, &mut all).unwrap_err();
    assert!(error.to_string().contains("1048576 bytes at offset 0"), "{error}");
    device.memory().detach().unwrap();
    assert_eq!(device.memory().peek(0, &mut bytes).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn looking_at_the_memory_of_a_server_takes_no_space() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _server = BareServer::start(&path, Manner::default()).unwrap();
    let target = format!("doorbell:{}", path.display());
    let device = ivshmem::open_read_only(&target).unwrap();
    let mut all = vec![7; usize::try_from(device.memory().len()).unwrap()];
    device.memory().peek(0, &mut all).unwrap();
    assert!(all.iter().all(|byte| *byte == 0));
    assert_eq!(blocks_of_the_server(), 0);
    device.memory().read(0, &mut all).unwrap();
    assert_ne!(blocks_of_the_server(), 0, "touching it takes pages, or this test sees nothing");
    let writer = ivshmem::open(&target).unwrap();
    writer.memory().write(1, b"here").unwrap();
    device.memory().peek(0, &mut all).unwrap();
    assert_eq!(&all[1..5], b"here");
}

/// The number of blocks of the server's memory, which belongs to this process.
fn blocks_of_the_server() -> u64 {
    let links = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let is_memory = |link: &PathBuf| {
        fs::read_link(link).is_ok_and(|name| name.to_string_lossy().contains("memfd:bare-server"))
    };
    fs::metadata(links.into_iter().find(is_memory).unwrap()).unwrap().blocks()
}

#[test]
fn prefault_and_huge_pages_are_done_or_refused() {
    let (directory, path) = place();
    let device = ivshmem::plain(&path).size(1 << 20).prefault().open().unwrap();
    assert_eq!(resident(&device), 1 << 10);
    drop(device);
    let device = ivshmem::plain(&path).read_only().prefault().open().unwrap();
    assert_eq!(resident(&device), 1 << 10);
    let huge = directory.path().join("huge");
    match ivshmem::plain(&huge).size(4 << 20).huge_pages().open() {
        Ok(device) => assert!(smaps_of(&device).contains(" hg"), "the mapping has no advice"),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
            assert!(e.to_string().contains("leave out huge_pages"), "{e}");
            assert!(!huge.exists());
        }
    }
}

/// The present part of the mapping, in KiB.
fn resident(device: &Device) -> u64 {
    let text = smaps_of(device);
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn smaps_of(device: &Device) -> String {
    let start = format!("{:x}-", device.memory().as_ptr().addr());
    let all = fs::read_to_string("/proc/self/smaps").unwrap();
    let from = all.lines().skip_while(|line| !line.trim_start_matches('0').starts_with(&start));
    let lines: Vec<_> =
        from.enumerate().take_while(|(i, line)| *i == 0 || !line.contains('-')).map(|(_, l)| l).collect();
    lines.join("\n")
}

#[test]
fn a_full_file_system_is_an_error_at_open() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"].map(OsStr::new))
        .arg(directory.path())
        .output()
        .unwrap();
    if !mounted.status.success() {
        println!("SKIP a_full_file_system_is_an_error_at_open: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    let result = std::panic::catch_unwind(|| fill_up(directory.path().to_path_buf()));
    // A process that another test is starting may have a file of it open.
    assert!(Command::new("umount").arg("--lazy").arg(directory.path()).status().unwrap().success());
    result.unwrap();
}

fn fill_up(directory: PathBuf) {
    let path = directory.join("memory");
    let size = (1 << 20) + 4096;
    refused(ivshmem::plain(&path).size(size), ErrorKind::NoSpace, &["no space for 1052672 bytes", "memory"]);
    assert!(!path.exists(), "half done");
    let fits = ivshmem::plain(&path).size(512 << 10).open().unwrap();
    fits.memory().write(0, b"here").unwrap();
    refused(ivshmem::plain(&path).size(size), ErrorKind::NoSpace, &[]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 512 << 10, "half done");
    assert_eq!(first_bytes(&fits), *b"here");
    // A file with holes that are larger than the free space.
    let holes = directory.join("holes");
    sparse(&holes, 768 << 10);
    refused(ivshmem::plain(&holes).prefault(), ErrorKind::NoSpace, &["holes"]);
    assert_eq!((fs::metadata(&holes).unwrap().len(), space(&holes)), (768 << 10, 0), "half done");
    let all = ivshmem::plain(&holes).open().unwrap();
    let mut bytes = vec![7; 768 << 10];
    ivshmem::plain(&holes).read_only().open().unwrap().memory().peek(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    assert_eq!(space(&holes), 0);
    all.memory().prefault(100, 256 << 10).unwrap();
    all.memory().fill(100, 1, 256 << 10).unwrap();
    let error = all.memory().prefault(0, 768 << 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("no space for 786432 bytes at offset 0"), "{error}");
    let part = ivshmem::plain(&holes).window(100, 256 << 10).prefault().open().unwrap();
    part.memory().fill(0, 2, 256 << 10).unwrap();
}
