//! Many processes and threads that open one name at the same time, with different sizes, while some of them fail or reach
//! limits.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::device::{Device, Plain};
use ivshmem::sys::linux::lock::FileLock;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A small file system, which only root can mount.
struct Small(TempDir);

impl Small {
    fn new(test: &str, mebibytes: u64) -> Option<Self> {
        let options = format!("size={mebibytes}m");
        Self::mounted(test, &["-t", "tmpfs", "-o", &options, "none"].map(OsStr::new))
    }

    /// A file system of this kind in an image file.
    fn disk(test: &str, kind: &str, image: &Path) -> Option<Self> {
        File::create(image).unwrap().set_len(32 * MIB).unwrap();
        let made = Command::new(format!("mkfs.{kind}")).arg("-q").arg(image).status();
        if !made.is_ok_and(|made| made.success()) {
            ivshmem_conformance::skip(test, &format!("no mkfs.{kind}"));
            return None;
        }
        Self::mounted(test, &[OsStr::new("-o"), OsStr::new("loop"), image.as_os_str()])
    }

    fn mounted(test: &str, what: &[&OsStr]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(what).arg(directory.path()).output().unwrap();
        if !mounted.status.success() {
            ivshmem_conformance::skip(test, &String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self(directory))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily, because mappings of a failed test still exist.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Runs a test in a separate process, which a lost page ends.
fn run_alone(test: &str, place: &Path) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args([test, "--exact", "--nocapture"]).env(PLACE, place).status().unwrap();
    assert!(status.success(), "{test} in a process of its own: {status}");
}

const PLACE: &str = "IVSHMEM_TEST_PLACE";

#[test]
fn who_fails_to_open_a_file_takes_nothing_from_those_who_succeed() {
    let name = "who_fails_to_open_a_file_takes_nothing_from_those_who_succeed";
    if let Some(place) = std::env::var_os(PLACE) {
        return open_at_once(Path::new(&place));
    }
    let Some(small) = Small::new(name, 64) else { return };
    run_alone(name, small.0.path());
}

#[test]
fn who_keeps_the_lock_of_a_file_delays_an_opener_and_does_not_stop_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory");
    let file = File::create(&path).unwrap();
    let _kept = FileLock::take(&file, Duration::ZERO).unwrap();
    let start = Instant::now();
    let device = ivshmem::plain(&path).size(MIB).open().unwrap();
    println!("opened after {:?}", start.elapsed());
    device.memory().write(0, b"here").unwrap();
    assert_eq!(fs::read(&path).unwrap()[..4], *b"here");
    // A file that already has its length is opened without a lock.
    assert_eq!(ivshmem::plain(&path).size(MIB).open().unwrap().memory().len(), MIB);
}

#[test]
fn a_file_that_cannot_grow_has_no_more_space_than_before() {
    let name = "a_file_that_cannot_grow_has_no_more_space_than_before";
    let images = tempfile::tempdir().unwrap();
    for kind in ["ext4", "ext2"] {
        // ext2 cannot allocate space in advance.
        let Some(small) = Small::disk(name, kind, &images.path().join(kind)) else { return };
        let path = small.0.path().join("memory");
        fs::write(&path, b"here").unwrap();
        let before = fs::metadata(&path).unwrap();
        for path in [&path, &small.0.path().join("new")] {
            let error = ivshmem::plain(path).size(64 * MIB).open().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{kind}: {error}");
            let error = ivshmem::plain(path).size(1 << 60).open().unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidArgument,
                "{kind}: no file there can be so long: {error}"
            );
        }
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.len(), after.blocks()), (4, before.blocks()), "{kind}");
        assert!(!small.0.path().join("new").exists(), "{kind}: half done");
        let grown = ivshmem::plain(&path).size(16 * MIB).open().unwrap();
        grown.memory().fill(4, 1, 16 * MIB - 4).unwrap();
        grown.memory().sync(0, 16 * MIB).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!((bytes.len() as u64, &bytes[..5]), (16 * MIB, &b"here\x01"[..]), "{kind}");
    }
}

#[test]
fn a_size_above_the_limit_of_the_process_is_refused_and_nothing_is_left() {
    let name = "a_size_above_the_limit_of_the_process_is_refused_and_nothing_is_left";
    if let Some(place) = std::env::var_os(PLACE) {
        return stay_below_the_limit(Path::new(&place));
    }
    for place in [tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
        run_alone(name, place.path());
    }
}

fn stay_below_the_limit(place: &Path) {
    let path = place.join("memory");
    let longer = place.join("longer");
    ivshmem::plain(&longer).size(2 * MIB).open().unwrap();
    let sparse = place.join("sparse");
    File::create(&sparse).unwrap().set_len(2 * MIB).unwrap();
    let limit = rustix::process::Rlimit { current: Some(MIB), maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    let refused = |plain: Plain, size: u64| {
        let error = plain.size(size).open().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        for words in [&format!("a size of {size} bytes"), "the 1048576 bytes that this process", "ulimit -f"]
        {
            assert!(error.to_string().contains(words), "{error}");
        }
    };
    refused(ivshmem::plain(&path), MIB + 1);
    refused(ivshmem::plain(&path).create_new(), 64 * MIB);
    assert!(!path.exists(), "an empty file is left");
    ivshmem::plain(&path).size(MIB).open().unwrap();
    refused(ivshmem::plain(&path), MIB + 1);
    assert_eq!(fs::metadata(&path).unwrap().len(), MIB);
    let memfd = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    refused(ivshmem::plain_fd(memfd.try_clone().unwrap()), 2 * MIB);
    assert_eq!(rustix::fs::fstat(&memfd).unwrap().st_size, 0);
    // A file that is already longer does not grow.
    for path in [&longer, &sparse] {
        let device = ivshmem::plain(path).size(MIB + 1).open().unwrap();
        device.memory().fill(0, 1, 2 * MIB).unwrap();
        device.memory().sync(0, 2 * MIB).unwrap();
    }
}

fn open_at_once(place: &Path) {
    const ROUNDS: usize = 60;
    // With this file the largest size does not fit, which becomes apparent only when most of the space is allocated.
    let filler = File::create(place.join("filler")).unwrap();
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, 24 * MIB).unwrap();
    let sizes = [8 * MIB, 60 * MIB, 4 * MIB, 60 * MIB, 12 * MIB, 60 * MIB];
    let path = place.join("memory");
    let mut refusals = 0;
    for round in 0..ROUNDS {
        // In every other round, there is an empty file of another program, which no opener may remove.
        let is_empty = round.is_multiple_of(2);
        if is_empty {
            File::create(&path).unwrap();
        }
        let barrier = Barrier::new(sizes.len());
        let opened: Vec<_> = std::thread::scope(|scope| {
            let opening = sizes.map(|size| {
                let (barrier, path) = (&barrier, &path);
                scope.spawn(move || {
                    barrier.wait();
                    open(path, size)
                })
            });
            opening.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let users: Vec<_> = opened.iter().flatten().collect();
        refusals += sizes.len() - users.len();
        assert_eq!(users.len(), 3, "in round {round} one was refused that had space");
        let file = fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, 12 * MIB);
        assert_eq!(
            u64::from_ne_bytes(file[..8].try_into().unwrap()),
            3,
            "round {round}: they have different files"
        );
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(refusals, ROUNDS * 3);
    // Only openers that fail.
    for _ in 0..ROUNDS / 4 {
        let both = std::thread::scope(|scope| {
            [0, 1]
                .map(|_| scope.spawn(|| open(&path, 60 * MIB).is_none()))
                .map(|thread| thread.join().unwrap())
        });
        assert_eq!(both, [true, true]);
        assert!(!path.exists(), "an empty file is left");
    }
}

/// Opens the file, increments its first word, and writes to every page.
fn open(path: &Path, size: u64) -> Option<Device> {
    match ivshmem::plain(path).size(size).open() {
        Ok(device) => {
            assert!(device.memory().len() >= size);
            device.memory().fetch_add::<u64>(0, 1, SeqCst).unwrap();
            for _ in 0..3 {
                device.memory().fill(8, 0x7e, device.memory().len() - 8).unwrap();
            }
            Some(device)
        }
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
            None
        }
    }
}
