//! Sizes and numbers of vectors as arguments, up to what a real QEMU maps.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ivshmem::PeerId;

use crate::client::{Client, agree};
use crate::daemon::{Daemon, socket_in};
use crate::machine::{QEMU, Qemu};
use crate::process::all_here;

#[test]
fn a_size_that_is_accepted_is_the_size_that_qemu_maps_to_its_last_byte() {
    if !all_here(&[QEMU]) {
        return;
    }
    // The argument, the served size, and whether they differ.
    let sizes = [
        ("4K", 4 << 10, false),
        ("3M", 4 << 20, true),
        ("4G", 4 << 30, false),
        ("5G", 8 << 30, true),
        ("64G", 64 << 30, false),
    ];
    for (typed, size, rounded) in sizes {
        let dir = tempfile::tempdir().unwrap();
        let server = Daemon::start(dir.path(), &["-l", typed]);
        assert_eq!(server.process.log().contains("rounded up"), rounded, "{}", server.process.log());
        let mut clients = [Client::connect(&server.socket, 1).greeted()];
        let memory = File::from(clients[0].memory().try_clone().unwrap());
        assert_eq!(memory.metadata().unwrap().len(), size, "-l {typed}");

        let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 1);
        agree(&mut clients, 2);
        memory.write_all_at(b"end", size - 3).unwrap();
        assert_eq!(qemu.read_region(&memory, size - 3, 3), b"end", "-l {typed}");
        qemu.assert_alive();
    }
}

#[test]
fn without_vectors_clients_and_a_qemu_share_memory_and_hear_of_nobody() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "0", "-l", "64K"]);
    let log = server.process.log();
    assert!(log.contains("no vectors: clients share the memory"), "{log}");
    assert!(log.contains("the memory has no name; -M ivshmem"), "{log}");
    let connect = || ivshmem::doorbell(&server.socket).vectors(0).connect().unwrap();
    let (first, second) = (connect(), connect());
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 1);
    first.memory().write(100, b"seen").unwrap();
    let mut seen = [0; 4];
    second.memory().read(100, &mut seen).unwrap();
    assert_eq!(&seen, b"seen");
    drop(second);
    let third = connect();
    assert_eq!(
        (third.own_id(), third.peers().unwrap(), first.peers().unwrap()),
        (Some(PeerId(1)), vec![], vec![])
    );
    qemu.assert_alive();
}

#[test]
fn a_size_or_a_number_of_vectors_that_cannot_be_is_refused_with_its_range() {
    let refused = [
        ("--size", "0", "4K"),
        ("--size", "1Z", "4K"),
        ("--size", "-1", "K"),
        ("--size", "x", "K"),
        ("--vectors", "257", "256"),
        ("--vectors", "x", "digit"),
        ("--vectors", "-1", "256"),
    ];
    for (option, value, remedy) in refused {
        let dir = tempfile::tempdir().unwrap();
        let short = if option == "--size" { "-l" } else { "-n" };
        let mut server = Daemon::launch(dir.path(), &[short, value]).start();
        assert_eq!(server.end().code(), Some(2), "{option} {value}: {}", server.log());
        let log = server.log();
        assert!(log.contains(value) && log.contains(option) && log.contains(remedy), "{log}");
        assert!(!socket_in(dir.path()).exists());
    }
}

#[test]
fn every_client_has_the_number_of_vectors_that_was_typed() {
    for vectors in [1_usize, 2, 65, 256] {
        let dir = tempfile::tempdir().unwrap();
        let server = Daemon::start(dir.path(), &["-n", &vectors.to_string()]);
        let mut clients: Vec<_> =
            (0..2).map(|_| Client::connect(&server.socket, vectors).greeted()).collect();
        let census = agree(&mut clients, 2);
        assert!(census.values().all(|own| own.len() == vectors));
    }
}

#[test]
fn a_server_that_cannot_start_says_why_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let mut server = Daemon::launch(&missing, &[]).log_to(dir.path().join("log")).start();
    assert_eq!(server.end().code(), Some(1));
    assert!(server.log().contains(missing.to_str().unwrap()), "{}", server.log());
}
