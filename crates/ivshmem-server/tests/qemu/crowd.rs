//! Many clients with many vectors, and a real QEMU among them.

use crate::client::{Client, agree};
use crate::daemon::Daemon;
use crate::machine::{QEMU, Qemu};
use crate::process::{all_here, raise_descriptor_limit};

#[test]
fn a_qemu_gets_every_vector_of_nineteen_clients_though_one_has_stopped_reading() {
    if all_here(&[QEMU]) {
        // Three messages: then it is announced to all, and the rest of its handshake stays in its socket.
        nineteen_clients_and_a_qemu(3);
    }
}

#[test]
fn a_qemu_gets_every_vector_beside_a_client_that_never_read_and_hears_of_it_when_it_does() {
    if all_here(&[QEMU]) {
        nineteen_clients_and_a_qemu(0);
    }
}

/// One of the nineteen reads only `first_messages` until the QEMU is complete.
fn nineteen_clients_and_a_qemu(first_messages: usize) {
    const VECTORS: u16 = 64;
    raise_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "64"]);
    let join = || Client::connect(&server.socket, VECTORS.into());

    let mut clients: Vec<_> = (0..9).map(|_| join().greeted()).collect();
    let mut silent = join();
    while first_messages > 0 && silent.read(1) == 0 {}
    silent.read(first_messages.saturating_sub(1));
    clients.extend((0..9).map(|_| join().greeted()));
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, VECTORS);

    // A client that has not begun to read is not announced yet.
    let census = agree(&mut clients, if first_messages == 0 { 19 } else { 20 });
    qemu.note_internal(&census);
    assert!(census.values().all(|vectors| vectors.len() == usize::from(VECTORS)));

    // After it has read the rest, nothing is missing in any client.
    clients.push(silent);
    let census = agree(&mut clients, 20);
    qemu.await_exactly(&census);
    qemu.assert_alive();
}

#[test]
fn a_qemu_with_256_vectors_shares_them_with_a_client() {
    if !all_here(&[QEMU]) {
        return;
    }
    raise_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "256"]);
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 256);
    let mut clients = [Client::connect(&server.socket, 256).greeted()];
    let census = agree(&mut clients, 2);
    qemu.note_internal(&census);
    assert_eq!(census.keys().copied().collect::<Vec<_>>(), [0, 1], "Q9: the first client is 0");
    qemu.assert_alive();
}

#[test]
fn a_qemu_takes_the_device_while_it_runs_and_its_monitor_answers() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "2"]);
    let mut clients = [Client::connect(&server.socket, 2).greeted()];
    let mut qemu = Qemu::start(Qemu::bare(dir.path(), "qemu", &[]), dir.path(), "qemu");

    qemu.add_chardev(&server.socket);
    let plugged = qemu.plug(2);
    assert!(plugged.get("return").is_some(), "{plugged}");

    let census = agree(&mut clients, 2);
    qemu.note_internal(&census);
    qemu.assert_alive();
}

#[test]
fn a_qemu_with_fewer_vectors_than_the_server_gives_lives_on() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "4"]);
    let mut clients = [Client::connect(&server.socket, 4).greeted()];
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 1);
    // The other clients see all of its vectors; QEMU reports the ones that it has no room for, and ignores them.
    agree(&mut clients, 2);
    drop(clients);
    let mut next = [Client::connect(&server.socket, 4).greeted()];
    agree(&mut next, 2);
    qemu.assert_alive();
}
