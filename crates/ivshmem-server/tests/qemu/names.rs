//! What a server owns on the host: its memory, its names, and what happens to them when it is killed.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::time::Duration;

use ivshmem::sys::linux::eventfd;
use rustix::process::Signal;
use tempfile::{TempDir, tempdir_in};

use crate::client::{Client, agree};
use crate::daemon::{Daemon, open_dir, socket_in};
use crate::descriptors::pending;
use crate::machine::{QEMU, Qemu};
use crate::process::{Nobody, all_here, eventually};

const IN_USE: Option<i32> = Some(3);

#[test]
fn no_client_can_change_the_size_of_the_memory() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-l", "1M"]);
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 1);
    let client = Client::connect(&server.socket, 1).greeted();
    let memory = File::from(client.memory().try_clone().unwrap());
    for size in [0, 4096, (1 << 20) - 1, (1 << 20) + 4096, 1 << 30] {
        let error = memory.set_len(size).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "to {size}: {error}");
    }
    memory.write_all_at(b"all there", (1 << 20) - 9).unwrap();
    assert_eq!(qemu.read_region(&memory, (1 << 20) - 9, 9), b"all there");
    qemu.assert_alive();
}

#[test]
fn a_second_server_on_the_same_socket_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &[]);
    let mut clients = vec![Client::connect(&server.socket, 1).greeted()];
    let mut second = Daemon::launch(dir.path(), &[]).log_to(dir.path().join("second.log")).start();
    assert_eq!(second.end().code(), IN_USE, "{}", second.log());
    assert!(second.log().contains(server.socket.to_str().unwrap()), "{}", second.log());
    clients.push(Client::connect(&server.socket, 1).greeted());
    agree(&mut clients, 2);
}

#[test]
fn a_second_server_on_the_same_memory_is_refused_and_the_first_untouched() {
    let (first, second, objects) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), in_memory());
    let object = objects.path().join("region");
    let place = ["-m", objects.path().to_str().unwrap(), "-M", "region"];
    let server = Daemon::start(first.path(), &[&place[..], &["-l", "1M"]].concat());
    let mut clients = vec![Client::connect(&server.socket, 1).greeted()];
    let memory = File::from(clients[0].memory().try_clone().unwrap());
    memory.write_all_at(b"mine", 4096).unwrap();

    for size in ["1M", "4K", "2M"] {
        let mut other = Daemon::launch(second.path(), &[&place[..], &["-l", size]].concat()).start();
        assert_eq!(other.end().code(), IN_USE, "{}", other.log());
        assert!(other.log().contains(object.to_str().unwrap()), "{}", other.log());
        assert!(!socket_in(second.path()).exists());
    }

    let mut bytes = [0; 4];
    File::open(&object).unwrap().read_exact_at(&mut bytes, 4096).unwrap();
    assert_eq!((&bytes, object.metadata().unwrap().len()), (b"mine", 1 << 20));
    clients.push(Client::connect(&server.socket, 1).greeted());
    agree(&mut clients, 2);
    // The server removes what it created.
    assert!(server.terminate().success());
    assert!(!object.exists());
}

#[test]
fn after_kill_minus_nine_the_next_server_starts_and_those_of_the_first_share_on() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut killed = Daemon::start(dir.path(), &["-n", "2", "-l", "1M"]);
    let mut qemu = Qemu::connect(dir.path(), "first", &killed.socket, 2);
    let mut clients = [Client::connect(&killed.socket, 2).keeping_eventfds().greeted()];
    let census = agree(&mut clients, 2);
    killed.process.signal(Signal::KILL);
    killed.process.end();

    // The socket of the killed server still exists, and is taken over.
    let mut server = Daemon::start(dir.path(), &["-n", "2", "-l", "1M"]);
    let mut next_qemu = Qemu::connect(dir.path(), "second", &server.socket, 2);
    let mut next = [Client::connect(&server.socket, 2).greeted()];
    let next_census = agree(&mut next, 2);
    assert_eq!(next_census.keys().copied().collect::<Vec<_>>(), [0, 1], "Q9: the first client is 0 again");
    next_qemu.assert_alive();
    server.process.assert_alive();

    // The memory of the first server lives as long as its clients, and differs from that of the second one.
    qemu.assert_alive();
    let memory = File::from(clients[0].memory().try_clone().unwrap());
    memory.write_all_at(b"after the end", 4096).unwrap();
    assert_eq!(qemu.read_region(&memory, 4096, 13), b"after the end");
    let other = File::from(next[0].memory().try_clone().unwrap());
    assert_eq!(next_qemu.read_region(&other, 4096, 13), [0; 13]);

    // An interrupt still reaches that QEMU: its main loop resets the counter.
    let id = *census.keys().find(|id| **id != clients[0].id()).unwrap();
    for vector in clients[0].eventfds_of(id) {
        eventfd::ring(vector.as_fd()).unwrap();
        eventually("QEMU takes the interrupt", || pending(vector).unwrap() == 0);
    }
    clients[0].read(usize::MAX);
    assert!(clients[0].is_closed());
}

#[test]
fn a_named_region_outlives_a_killed_server_and_the_next_one_serves_it() {
    let (dir, objects) = (tempfile::tempdir().unwrap(), in_memory());
    let args = ["-m", objects.path().to_str().unwrap(), "-M", "region", "-l", "64K"];
    let killed = Daemon::start(dir.path(), &args);
    let before = Client::connect(&killed.socket, 1).greeted();
    File::from(before.memory().try_clone().unwrap()).write_all_at(b"kept", 0).unwrap();
    drop(killed);

    let mut other_size = Daemon::launch(dir.path(), &["-m", args[1], "-M", "region", "-l", "128K"]).start();
    assert_eq!(other_size.end().code(), Some(1), "never resized: {}", other_size.log());

    let server = Daemon::start(dir.path(), &args);
    let after = Client::connect(&server.socket, 1).greeted();
    let mut bytes = [0; 4];
    File::from(after.memory().try_clone().unwrap()).read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"kept");
}

#[test]
fn only_users_whom_the_socket_admits_connect() {
    if !all_here(&["root", "setpriv", QEMU]) {
        return;
    }
    let dir = open_dir();
    let user = Nobody(64_004);
    let server = Daemon::start(dir.path(), &[]);
    let mut refused = Qemu::launch(dir.path(), "refused", &server.socket, 1).run_as(user).start();
    assert_eq!(refused.end().code(), Some(1));
    assert!(refused.log().contains("Permission denied"), "{}", refused.log());
    assert!(server.terminate().success());

    let server = Daemon::start(dir.path(), &["--mode", "666"]);
    Qemu::connect_as(user, dir.path(), "admitted", &server.socket, 1).assert_alive();
    drop(server);
}

#[test]
fn a_pid_file_is_no_way_to_overwrite_a_file_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (victim, file) = (dir.path().join("victim"), dir.path().join("pid"));
    std::fs::write(&victim, "precious").unwrap();
    symlink(&victim, &file).unwrap();
    let args = ["-p", file.to_str().unwrap()];
    let mut tricked = Daemon::launch(dir.path(), &args).start();
    assert_eq!(tricked.end().code(), Some(1), "{}", tricked.log());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!socket_in(dir.path()).exists());

    std::fs::remove_file(&file).unwrap();
    let server = Daemon::start(dir.path(), &args);
    eventually("the pid file is written", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.trim() == server.process.id().to_string())
    });
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o022, 0, "others may not write to it");
    assert!(server.terminate().success());
    assert!(!file.exists());
}

#[test]
fn a_signal_at_any_moment_ends_the_server_and_leaves_nothing_behind() {
    let objects = in_memory();
    for delay in (0..12_000).step_by(300).map(Duration::from_micros) {
        let dir = tempfile::tempdir().unwrap();
        let args = ["-m", objects.path().to_str().unwrap(), "-M", "region", "-l", "4K"];
        let mut server = Daemon::launch(dir.path(), &args).start();
        std::thread::sleep(delay);
        server.signal(Signal::TERM);
        let status = server.end();
        // Before the server has created anything, the signal may end it by its default action.
        assert!(matches!(status.code(), Some(0) | None), "{status}: {}", server.log());
        assert!(!socket_in(dir.path()).exists(), "after {delay:?}");
        assert_eq!(objects.path().read_dir().unwrap().count(), 0, "after {delay:?}");
    }
}

/// A directory in memory, for named objects.
fn in_memory() -> TempDir {
    tempdir_in("/dev/shm").unwrap()
}
