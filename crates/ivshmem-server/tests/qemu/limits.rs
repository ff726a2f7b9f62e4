//! A server that has come to its limits: clients, and descriptors, those in flight among them.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use ivshmem::wire::Refusal;

use crate::client::{Client, agree, agreed, read_until};
use crate::daemon::{Daemon, open_dir};
use crate::machine::{QEMU, Qemu};
use crate::process::{Nobody, all_here};

#[test]
fn a_refused_qemu_ends_with_the_version_message_and_does_not_hang() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["--max-clients", "1"]);
    let mut clients = [Client::connect(&server.socket, 1).greeted()];

    let start = Instant::now();
    let mut qemu = Qemu::launch(dir.path(), "refused", &server.socket, 1).start();
    let status = qemu.end();
    println!("a refused QEMU ended {:?} after its start", start.elapsed());
    assert_refused(status, &qemu.log(), Refusal::TooManyClients);
    // A QEMU without a server needs as long, give or take, but the row asks for a second.
    assert!(start.elapsed() < Duration::from_secs(20), "it hung");

    // It was never a peer, and the place is free again when the other goes.
    assert_eq!(agree(&mut clients, 1).len(), 1);
    assert_eq!(clients[0].announced(), [0; 0]);
    drop(clients);
    let _next = await_admission(&server, 1);
}

#[test]
fn descriptors_used_up_cost_no_client_anything_and_refuse_the_next_with_a_reason() {
    const VECTORS: usize = 64;
    if !all_here(&["root", "setpriv", "prlimit", QEMU]) {
        return;
    }
    let dir = open_dir();
    let launch = Daemon::launch_as(Nobody(64_001), 1024, dir.path(), &["-n", "64", "--mode", "666"]);
    let mut server = Daemon::listening(launch, dir.path());

    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let client = Client::connect(&server.socket, VECTORS).greeted();
        match client.refused() {
            None => clients.push(client),
            Some(version) => {
                assert_eq!(Refusal::from_version(version), Some(Refusal::OutOfDescriptors));
                refused += 1;
            }
        }
    }
    println!(
        "{} clients x {VECTORS} vectors fit into 1024 descriptors, {refused} were refused",
        clients.len()
    );
    assert!((14..=15).contains(&clients.len()), "{} clients x 65 descriptors", clients.len());
    let members = clients.len();
    let before = agree(&mut clients, members);

    let mut qemu = Qemu::launch(dir.path(), "refused", &server.socket, 64).start();
    let status = qemu.end();
    assert_refused(status, &qemu.log(), Refusal::OutOfDescriptors);

    server.process.assert_alive();
    let log = server.process.log();
    assert!(log.contains(&Refusal::OutOfDescriptors.to_string()), "{log}");
    assert_eq!(agreed(&clients), Ok(before), "somebody lost something");

    // A place that gets free is given to the next, who is complete.
    clients.pop();
    agree(&mut clients, members - 1);
    clients.push(await_admission(&server, VECTORS));
    agree(&mut clients, members);
}

#[test]
fn clients_that_do_not_read_stop_no_message_to_the_others_though_the_kernel_limits_descriptors_in_flight() {
    const VECTORS: usize = 32;
    if !all_here(&["root", "setpriv", "prlimit"]) {
        return;
    }
    let dir = open_dir();
    let launch = Daemon::launch_as(Nobody(64_002), 1024, dir.path(), &["-n", "32", "--mode", "666"]);
    let mut server = Daemon::listening(launch, dir.path());
    let join = || Client::connect(&server.socket, VECTORS);

    let mut readers = vec![join().greeted(), join().greeted()];
    // Each of these would hold 278 messages in its socket, 12 x 278 descriptors in all; the kernel allows 1024.
    let mut stalled: Vec<_> = (0..12).map(|_| join()).collect();
    for client in &mut stalled {
        read_until("the first messages", std::slice::from_mut(client), |c| c[0].messages() >= 3);
    }
    agree(&mut readers, 14);

    for _ in 0..60 {
        let peer = join().greeted();
        let id = peer.id();
        assert!(peer.census().len() >= 15, "a newcomer is told of everyone");
        read_until("the others hear of it", &mut readers, |c| {
            c.iter().all(|c| c.peers().get(&id).is_some_and(|v| v.len() == VECTORS))
        });
        drop(peer);
        read_until("the others hear of its end", &mut readers, |c| {
            c.iter().all(|c| !c.peers().contains_key(&id))
        });
    }

    server.process.assert_alive();
    readers.append(&mut stalled);
    agree(&mut readers, 14);
}

/// Connects until the server has noticed that there is room again.
fn await_admission(server: &Daemon, vectors: usize) -> Client {
    let start = Instant::now();
    loop {
        let client = Client::connect(&server.socket, vectors).greeted();
        if client.refused().is_none() {
            return client;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "there is room and nobody gets it");
    }
}

fn assert_refused(status: ExitStatus, printed: &str, why: Refusal) {
    let text = format!("server sent version {}, expecting 0", why.version());
    assert!(printed.contains(&text), "{printed}");
    assert_eq!(status.code(), Some(1), "{printed}");
}
