//! Thousands of clients that connect and disconnect, while others stay connected.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;

use ivshmem::wire::Refusal;

use crate::client::{Client, agree, read_until};
use crate::daemon::{Daemon, open_dir};
use crate::descriptors::count;
use crate::machine::{QEMU, Qemu};
use crate::process::{Nobody, all_here, eventually};

#[test]
fn ten_thousand_that_connect_and_close_cost_nobody_anything() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Daemon::start(dir.path(), &["-n", "2"]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&server.socket, 2).greeted()).collect();
    let before = agree(&mut clients, 3);
    let descriptors = count(server.process.id());

    for n in 0..10_000 {
        let mut short = UnixStream::connect(&server.socket).unwrap();
        // Every third one leaves something that must not affect the server.
        match n % 3 {
            0 => {}
            1 => drop(short.write_all(b"never asked for")),
            _ => assert!(Client::connect(&server.socket, 2).read(1) <= 1),
        }
        for client in &mut clients {
            client.read(usize::MAX);
        }
    }

    server.process.assert_alive();
    // The other clients have lost nothing, and new ones are admitted.
    clients.push(Client::connect(&server.socket, 2).greeted());
    let after = agree(&mut clients, 4);
    assert!(before.iter().all(|(id, vectors)| after.get(id) == Some(vectors)));
    clients.pop();
    agree(&mut clients, 3);
    assert_eq!(count(server.process.id()), descriptors, "a connection that ended left a descriptor behind");
}

#[test]
fn ids_start_again_at_the_lowest_when_nobody_lives_who_knows_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &[]);
    let descriptors = count(server.process.id());
    for _ in 0..100 {
        let mut pair: Vec<_> = (0..2).map(|_| Client::connect(&server.socket, 1).greeted()).collect();
        let census = agree(&mut pair, 2);
        assert_eq!(census.keys().copied().collect::<Vec<_>>(), [0, 1]);
        drop(pair);
        eventually("the server has noticed the end of both", || count(server.process.id()) == descriptors);
    }
}

#[test]
fn a_qemu_lives_through_two_thousand_peers_and_no_id_comes_back_to_it() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "2"]);
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 2);
    // The checker is connected as long as the QEMU, receives the same messages, and checks them.
    let mut checker = [Client::connect(&server.socket, 2).greeted()];
    let census = agree(&mut checker, 2);
    qemu.note_internal(&census);

    for _ in 0..2_000 {
        let peer = Client::connect(&server.socket, 2).greeted();
        let id = peer.id();
        read_until("the peer is announced", &mut checker, |c| {
            c[0].peers().get(&id).is_some_and(|v| v.len() == 2)
        });
        drop(peer);
        read_until("the peer's end is announced", &mut checker, |c| !c[0].peers().contains_key(&id));
    }

    assert_eq!(
        checker[0].announced().iter().collect::<BTreeSet<_>>().len(),
        2_001,
        "the QEMU and 2,000 peers"
    );
    let census = agree(&mut checker, 2);
    qemu.await_exactly(&census);
    qemu.assert_alive();
}

#[test]
fn sixty_five_thousand_connections_of_one_user_leave_a_qemu_alive_and_room_for_another_user() {
    const CONNECTIONS: usize = 65_600;
    const AT_ONCE: usize = 32;
    if !all_here(&["root", "setpriv", QEMU]) {
        return;
    }
    let dir = open_dir();
    let mut server = Daemon::start(dir.path(), &["--mode", "666"]);
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 1);
    let mut checker = [Client::connect(&server.socket, 1).greeted()];
    let census = agree(&mut checker, 2);
    qemu.note_internal(&census);

    // Each client reads its whole handshake and leaves only after it was announced, so that its id is used up.
    let mut refused = 0;
    for _ in 0..CONNECTIONS / AT_ONCE {
        let round: Vec<_> = (0..AT_ONCE).map(|_| Client::connect(&server.socket, 1).greeted()).collect();
        let ids: Vec<_> = round.iter().filter(|c| c.refused().is_none()).map(Client::id).collect();
        refused += AT_ONCE - ids.len();
        read_until("they are announced", &mut checker, |c| {
            ids.iter().all(|id| c[0].peers().contains_key(id))
        });
        drop(round);
        read_until("their end is announced", &mut checker, |c| c[0].peers().len() == 1);
    }

    let announced = checker[0].announced();
    println!("{} connections were announced, {refused} refused", announced.len() - 1);
    assert_eq!(announced.iter().collect::<BTreeSet<_>>().len(), announced.len(), "an id came back");
    assert!(refused > 0 && announced.len() > 30_000, "the user got its share and no more");
    qemu.await_exactly(&census);
    qemu.assert_alive();
    server.process.assert_alive();
    assert!(server.process.log().contains(&Refusal::IdsOfUserSpent.to_string()));

    let mut other = Qemu::connect_as(Nobody(64_003), dir.path(), "other", &server.socket, 1);
    let census = agree(&mut checker, 3);
    qemu.await_exactly(&census);
    other.assert_alive();
}
