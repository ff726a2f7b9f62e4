//! What happens to QEMU when a server breaks a rule, or when QEMU is used in an unsupported way: the reasons for the rules
//! of docs/wire.md. A QEMU that behaves better fails a test here, and then the pages that name versions need an update.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use ivshmem::sys::linux::eventfd;
use ivshmem_conformance::bare_server::send;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde_json::json;
use tempfile::TempDir;

use crate::machine::{QEMU, Qemu};
use crate::process::{HANG_LIMIT, Launch, Process, all_here, eventually};

/// A directory with a socket on which only the test serves.
fn listen() -> (TempDir, PathBuf, UnixListener) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server");
    let listener = UnixListener::bind(&path).unwrap();
    (dir, path, listener)
}

/// A starting QEMU with the device, and the server's end of its connection.
fn start(dir: &Path, path: &Path, listener: &UnixListener, more: &[&str]) -> (Qemu, UnixStream) {
    let chardev = format!("socket,path={},id=server", path.display());
    let mut args =
        vec!["-chardev", &chardev, "-device", "ivshmem-doorbell,vectors=1,chardev=server,id=shm,addr=4"];
    args.extend(more);
    let launch: Launch = Qemu::bare(dir, "qemu", &args);
    let qemu = Qemu::start_at_risk(launch, dir, "qemu");
    (qemu, listener.accept().unwrap().0)
}

fn vector() -> OwnedFd {
    eventfd::create().unwrap()
}

/// Sends id 0, memory and one vector to a client.
fn greet(client: &UnixStream) {
    greet_with(client, 4096);
}

fn greet_with(client: &UnixStream, size: u64) {
    let memory = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, size).unwrap();
    for (value, fd) in [(0, None), (0, None), (-1, Some(memory)), (0, Some(vector()))] {
        send(client, value, fd.as_ref()).unwrap();
    }
}

/// Announces a peer.
fn come(client: &UnixStream, peer: i64) {
    send(client, peer, Some(&vector())).unwrap();
}

fn go(client: &UnixStream, peer: i64) {
    send(client, peer, None).unwrap();
}

fn dies(qemu: &mut Process, why: &str) {
    let status = qemu.end();
    println!("{why}: {status}");
    assert!(status.signal().is_some(), "{why}: {status}; this QEMU survives it");
}

#[test]
fn a_connection_that_ends_in_the_greeting_makes_a_qemu_spin() {
    if !all_here(&[QEMU]) {
        return;
    }
    let (dir, path, listener) = listen();
    let (mut qemu, client) = start(dir.path(), &path, &listener, &[]);
    send(&client, 0, None).unwrap();
    drop(client);
    let before = qemu.process.processor_time();
    eventually("it works without an end", || qemu.process.processor_time() - before > Duration::from_secs(1));
    assert!(qemu.process.ended().is_none());
}

#[test]
fn a_silent_server_blocks_hot_plug_and_the_monitor_of_a_qemu() {
    if !all_here(&[QEMU]) {
        return;
    }
    let (dir, path, listener) = listen();
    let mut qemu = Qemu::start(Qemu::bare(dir.path(), "qemu", &[]), dir.path(), "qemu");
    qemu.add_chardev(&path);
    let (client, _) = listener.accept().unwrap();
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let plugged = qemu.plug(1);
        qemu.assert_alive();
        let _ = sender.send((plugged, qemu));
    });
    assert!(answer.recv_timeout(Duration::from_secs(2)).is_err(), "this QEMU does not wait");
    greet(&client);
    let (plugged, _qemu) = answer.recv_timeout(HANG_LIMIT).unwrap();
    assert!(plugged.get("return").is_some(), "{plugged}");
}

#[test]
fn a_size_that_is_no_power_of_two_ends_a_qemu() {
    if !all_here(&[QEMU]) {
        return;
    }
    let (dir, path, listener) = listen();
    let (mut qemu, client) = start(dir.path(), &path, &listener, &[]);
    greet_with(&client, 3 * 4096);
    dies(&mut qemu.process, "12 KiB");
}

#[test]
fn an_id_that_comes_back_or_leaves_twice_ends_a_qemu() {
    if !all_here(&[QEMU]) {
        return;
    }
    type Play = fn(&UnixStream);
    let plays: [(&str, Play); 2] = [
        ("an id comes back", |client| {
            come(client, 1);
            go(client, 1);
            come(client, 1);
            go(client, 1);
        }),
        ("an id leaves twice", |client| {
            come(client, 1);
            go(client, 1);
            go(client, 1);
        }),
    ];
    for (what, play) in plays {
        let (dir, path, listener) = listen();
        let (mut qemu, client) = start(dir.path(), &path, &listener, &[]);
        greet(&client);
        qemu.assert_alive();
        play(&client);
        dies(&mut qemu.process, what);
    }
}

/// A guest without an operating system: the test does what that would do when a device is to be unplugged.
#[test]
fn a_qemu_ends_when_its_device_is_unplugged_after_a_peer_has_left() {
    if !all_here(&[QEMU]) {
        return;
    }
    for has_left in [false, true] {
        let (dir, path, listener) = listen();
        let qtest = dir.path().join("qtest");
        let option = format!("unix:{},server=on,wait=off", qtest.display());
        let (mut qemu, client) = start(dir.path(), &path, &listener, &["-qtest", &option]);
        greet(&client);
        qemu.assert_alive();
        come(&client, 1);
        if has_left {
            go(&client, 1);
        }
        qemu.assert_alive();
        let asked = qemu.execute(&json!({"execute": "device_del", "arguments": {"id": "shm"}}));
        assert!(asked.get("return").is_some(), "{asked}");
        // The registers of QEMU's ACPI hot-plug: bus 0, and the slot of the device.
        let mut guest = Qtest::connect(&qtest);
        guest.say("outl 0xae10 0");
        guest.say("outl 0xae08 0x10");
        if has_left {
            dies(&mut qemu.process, "unplugged after a peer has left");
        } else {
            eventually("it is unplugged", || {
                let listed = qemu
                    .execute(&json!({"execute": "qom-list", "arguments": {"path": "/machine/peripheral"}}));
                !listed.to_string().contains("\"shm\"")
            });
            qemu.assert_alive();
        }
    }
}

#[test]
fn a_qemu_does_not_come_back_to_a_server_that_has_ended() {
    if !all_here(&[QEMU]) {
        return;
    }
    let (dir, path, listener) = listen();
    let (mut qemu, client) = start(dir.path(), &path, &listener, &[]);
    greet(&client);
    qemu.assert_alive();
    drop(client);
    listener.set_nonblocking(true).unwrap();
    // Longer than any interval in which QEMU retries operations that it does retry.
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        qemu.assert_alive();
        assert!(listener.accept().is_err(), "this QEMU comes back");
    }
}

/// QEMU's interface for device tests.
struct Qtest(BufReader<UnixStream>);

impl Qtest {
    fn connect(path: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(path).unwrap()))
    }

    /// A QEMU that this command crashes does not answer.
    fn say(&mut self, command: &str) {
        let _ = self.0.get_mut().write_all(format!("{command}\n").as_bytes());
        let _ = self.0.read_line(&mut String::new());
    }
}
