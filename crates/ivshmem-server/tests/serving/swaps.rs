//! Names that others may change at any time: the owner of the directory, and users of a sticky one.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem_conformance::skip;
use ivshmem_server::{Backing, Server};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, open, renameat_with};
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;
use tempfile::TempDir;

use crate::client::{Client, HANG};

const NOBODY: u32 = 65_534;
/// The user that sockets are given to.
const FRIEND: u32 = 65_530;
/// If mode and owner were changed by name, one start in 15 to 100 would change another file.
const STARTS: usize = 2_000;

#[test]
fn whoever_swaps_names_meanwhile_never_has_another_file_changed() {
    let name = "whoever_swaps_names_meanwhile_never_has_another_file_changed";
    let Some(dir) = dir_of_nobody(name) else { return };
    let (round, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let soak = std::env::var("IVSHMEM_SOAK_SECONDS").map_or(0, |text| text.parse().unwrap());
    let (begin, soak) = (Instant::now(), Duration::from_secs(soak));
    let [bait, socket, trap] =
        ["bait", "socket", "trap"].map(|name| move |dir: &Path, round| dir.join(format!("{name}{round}")));
    let (mut served, mut starts) = (0, 0);
    std::thread::scope(|scope| {
        let (over, round, bait, socket, trap, dir) = (&over, &round, &bait, &socket, &trap, dir.path());
        let swap = |swaps: &'static (dyn Fn(&Path, &Path, &Path) -> [bool; 2] + Sync)| {
            scope.spawn(move || {
                let nobody = Uid::from_raw(NOBODY);
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
                let mut swapped = [0, 0];
                while !over.load(Ordering::Relaxed) {
                    let round = round.load(Ordering::Acquire);
                    let (bait, socket, trap) = (bait(dir, round), socket(dir, round), trap(dir, round));
                    for _ in 0..20 {
                        let now = swaps(&bait, &socket, &trap);
                        (0..2).for_each(|i| swapped[i] += usize::from(now[i]));
                    }
                }
                swapped
            })
        };
        let public = swap(&|bait, socket, _| [exchange(bait, socket), false]);
        // Also names that exist only for a moment, but are predictable.
        let private = swap(&|bait, socket, trap| {
            let private = socket.with_file_name(private_name(socket.file_name().unwrap().to_str().unwrap()));
            [exchange(&private, trap), exchange(&private, bait)]
        });
        let end = End(over);
        while starts < STARTS || begin.elapsed() < soak {
            let current = starts;
            starts += 1;
            let (bait, socket, trap) = (bait(dir, current), socket(dir, current), trap(dir, current));
            let file = File::create(&bait).unwrap();
            file.set_permissions(Permissions::from_mode(0o600)).unwrap();
            // A target for a server that would open its private directory again by name.
            fs::DirBuilder::new().mode(0o777).create(&trap).unwrap();
            chown(&trap, Some(NOBODY), None).unwrap();
            symlink(&bait, trap.join(socket.file_name().unwrap())).unwrap();
            round.store(current, Ordering::Release);
            let server = Server::builder(&socket).mode(0o666).owner(FRIEND, FRIEND).listen();
            served += usize::from(server.is_ok());
            drop(server);
            let now = file.metadata().unwrap();
            assert_eq!((now.mode() & 0o7777, now.uid(), now.gid()), (0o600, 0, 0), "at start {current}");
            fs::read_dir(dir).unwrap().flatten().for_each(|entry| {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            });
        }
        drop(end);
        let (public, private) = (public.join().unwrap(), private.join().unwrap());
        println!("swapped {} sockets, {private:?} private directories", public[0]);
        assert!(public[0] > 0 && private[0] + private[1] > 0, "nothing was tried");
    });
    println!("{served} of {starts} starts listened");
    assert!(served > starts / 100, "{served} of {starts}");
}

fn exchange(one: &Path, other: &Path) -> bool {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

#[test]
fn whoever_looks_all_the_time_sees_socket_and_object_finished_or_not_at_all() {
    const SIZE: u64 = 64 << 10;
    if !geteuid().is_root() {
        return skip("whoever_looks_all_the_time_sees_socket_and_object_finished_or_not_at_all", "not root");
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let [socket, status, object] = ["socket", "status", "object"].map(|name| dir.path().join(name));
    let (over, seen) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    std::thread::scope(|scope| {
        let expected = [(&socket, 0o660, FRIEND), (&status, 0o640, 0), (&object, 0o660, FRIEND)];
        for ((path, mode, owner), seen) in expected.into_iter().zip(&seen) {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let Ok(now) = fs::symlink_metadata(path) else { continue };
                    assert_eq!((now.mode() & 0o777, now.uid()), (mode, owner), "{}", path.display());
                    assert!(!now.is_file() || now.len() == SIZE, "{} bytes", now.len());
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _end = End(&over);
        let (begin, mut starts) = (Instant::now(), 0);
        while starts < 300 || seen.iter().any(|seen| seen.load(Ordering::Relaxed) == 0) {
            let builder = Server::builder(&socket).mode(0o660).owner(FRIEND, FRIEND).size(SIZE);
            let builder = builder.status_socket(&status).status_mode(0o640);
            drop(builder.backing(Backing::Named(object.clone())).listen().unwrap());
            assert!(begin.elapsed() < HANG, "not all were seen: {seen:?}");
            starts += 1;
        }
    });
    assert_eq!(names_in(dir.path()), [""; 0]);
}

#[test]
fn what_others_lock_or_put_into_a_sticky_directory_stops_no_start() {
    if !geteuid().is_root() {
        return skip("what_others_lock_or_put_into_a_sticky_directory_stops_no_start", "not root");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
    let locked = open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    flock(&locked, FlockOperation::LockExclusive).unwrap();
    let private = dir.path().join(private_name("socket"));
    let starts = || {
        let begin = Instant::now();
        let server = Server::builder(&path).start().unwrap();
        Client::greeted(server.path(), 1);
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    };
    starts();
    assert_eq!(names_in(dir.path()), [""; 0], "nothing is left");
    // Another user has the name that a start would use, with a lock on it.
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let new_dir = |mode| fs::DirBuilder::new().mode(mode).create(&private).unwrap();
    let plants: [(&str, &dyn Fn()); 4] = [
        ("file", &|| fs::write(&private, "").unwrap()),
        ("link", &|| symlink(&victim, &private).unwrap()),
        ("closed directory", &|| new_dir(0o1700)),
        ("open directory", &|| new_dir(0o1777)),
    ];
    for (what, plant) in plants {
        plant();
        std::os::unix::fs::lchown(&private, Some(NOBODY), Some(NOBODY)).unwrap();
        let held = open(&private, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty());
        if let Ok(held) = &held {
            flock(held, FlockOperation::LockExclusive).unwrap();
        }
        starts();
        assert!(fs::symlink_metadata(&private).is_ok(), "the {what} of somebody else stays");
        fs::remove_file(&private).or_else(|_| fs::remove_dir(&private)).unwrap();
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn what_a_killed_start_has_left_is_cleared_away_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for content in ["socket", "file", "nothing"] {
        let private = dir.path().join(private_name("socket"));
        fs::DirBuilder::new().mode(0o1700).create(&private).unwrap();
        match content {
            "socket" => drop(UnixListener::bind(private.join("socket")).unwrap()),
            "file" => fs::write(private.join("socket"), "part").unwrap(),
            _ => {}
        }
        let server = Server::builder(&path).start().unwrap();
        Client::greeted(server.path(), 1);
        assert_eq!(names_in(dir.path()), ["socket"], "{content}");
    }
}

#[test]
fn a_directory_of_this_user_that_somebody_gives_that_name_keeps_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let private = dir.path().join(private_name("socket"));
    fs::DirBuilder::new().mode(0o700).create(&private).unwrap();
    fs::write(private.join("socket"), "precious").unwrap();
    let server = Server::builder(dir.path().join("socket")).start().unwrap();
    Client::greeted(server.path(), 1);
    drop(server);
    assert_eq!(fs::read(private.join("socket")).unwrap(), b"precious");
}

#[test]
fn a_start_that_another_process_of_this_user_holds_up_ends_as_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let private = dir.path().join(private_name("socket"));
    fs::DirBuilder::new().mode(0o1700).create(&private).unwrap();
    let held = File::open(&private).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let error = Server::builder(dir.path().join("socket")).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(held);
    Server::builder(dir.path().join("socket")).start().unwrap();
}

#[test]
fn a_directory_whose_group_is_inherited_gives_it_to_what_is_made_there() {
    if !geteuid().is_root() {
        return skip("a_directory_whose_group_is_inherited_gives_it_to_what_is_made_there", "not root");
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    chown(dir.path(), None, Some(FRIEND)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o2750)).unwrap();
    let [socket, object] = ["socket", "object"].map(|name| dir.path().join(name));
    let _server = Server::builder(&socket).backing(Backing::Named(object.clone())).start().unwrap();
    for path in [socket, object] {
        assert_eq!(fs::metadata(path).unwrap().gid(), FRIEND);
    }
}

/// A directory that belongs to nobody; `None`, after reporting the skip, without root.
fn dir_of_nobody(test: &str) -> Option<TempDir> {
    if !geteuid().is_root() {
        skip(test, "not root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    Some(dir)
}

/// The name of a start's private directory, which is next to what it creates.
fn private_name(name: &str) -> PathBuf {
    let mut hash = DefaultHasher::new();
    OsStr::new(name).hash(&mut hash);
    PathBuf::from(format!(".ivshmem-{:016x}", hash.finish()))
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Ends the threads, however the test ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
