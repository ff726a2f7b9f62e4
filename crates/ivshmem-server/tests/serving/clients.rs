//! Clients that connect, disconnect, stop reading, and resume.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::peer::refuse_descriptors;
use ivshmem::sys::linux::socket::send;
use ivshmem::wire::Refusal;
use ivshmem_server::{Builder, Server};
use tempfile::TempDir;

use crate::client::{Client, eventually};
use crate::limits::raise_own_descriptor_limit;

fn new() -> (TempDir, Builder) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Server::builder(dir.path().join("socket"));
    (dir, builder)
}

#[test]
fn greetings_come_in_the_order_that_qemu_reads_them() {
    let (_dir, builder) = new();
    let server = builder.vectors(3).start().unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| Client::greeted(server.path(), 3)).collect();
    for (id, client) in (0..).zip(&mut clients) {
        assert_eq!(client.id, id);
        client.read_until_peers_are((0..4).filter(|other| *other != id), 3);
        assert!(!client.has_news());
    }
    drop(clients.remove(1));
    for client in &mut clients {
        let own = client.id;
        client.read_until_peers_are([0, 2, 3].into_iter().filter(|other| *other != own), 3);
    }
    eventually("the server sees it leave", || server.status().unwrap().clients == 3);
}

#[test]
fn the_others_are_all_told_before_ones_own_vectors() {
    let (_dir, builder) = new();
    let server = builder.vectors(2).start().unwrap();
    let _others: Vec<_> = (0..3).map(|_| Client::greeted(server.path(), 2)).collect();
    let mut client = Client::connect(server.path());
    let values: Vec<_> = (0..11).map(|_| client.raw().unwrap().value).collect();
    assert_eq!(values, [0, 3, -1, 0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn each_vector_reaches_the_one_it_belongs_to() {
    let (_dir, builder) = new();
    let server = builder.vectors(256).start().unwrap();
    let mut a = Client::greeted(server.path(), 256);
    let b = Client::greeted(server.path(), 256);
    a.read_until_peers_are([1], 256);
    for vector in [0, 1, 100, 255] {
        eventfd::ring(a.peers[&1][vector].as_fd()).unwrap();
        for (index, own) in b.own.iter().enumerate() {
            assert_eq!(eventfd::take(own.as_fd()).unwrap(), index == vector);
        }
    }
}

#[test]
fn a_client_that_stops_reading_is_brought_up_to_date_and_delays_nobody() {
    const VECTORS: usize = 8;
    let (_dir, builder) = new();
    let server = builder.vectors(8).start().unwrap();
    let mut stalled = Client::greeted(server.path(), VECTORS);
    for _ in 0..300 {
        // Each completes its handshake at once, although the stalled client has not read the announcement of any of them.
        Client::greeted(server.path(), VECTORS);
    }
    let mut there: Vec<_> = (0..5).map(|_| Client::greeted(server.path(), VECTORS)).collect();
    eventually("all have left", || server.status().unwrap().clients == 6);
    let ids: Vec<_> = there.iter().map(|client| client.id).collect();
    stalled.read_until_peers_are(ids.clone(), VECTORS);
    assert!(stalled.gone.len() < 300, "most of those that came and went are never mentioned");
    for client in &mut there {
        let own = client.id;
        client.read_until_peers_are(ids.iter().copied().filter(|id| *id != own).chain([0]), VECTORS);
    }
}

#[test]
fn whatever_clients_do_those_who_read_to_the_end_know_the_truth() {
    const VECTORS: usize = 5;
    raise_own_descriptor_limit();
    let (_dir, builder) = new();
    let server = builder.vectors(5).start().unwrap();
    let mut clients: Vec<Client> = Vec::new();
    // A fixed sequence of numbers; what the server does between two of them varies from run to run.
    let mut state = 1_u64;
    let mut number = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        match number(20) {
            0 if clients.len() < 40 => clients.push(Client::connect(server.path())),
            1 if !clients.is_empty() => drop(clients.swap_remove(number(clients.len()))),
            // Some clients read much more often than others, and some hardly ever.
            _ if !clients.is_empty() => {
                let picked = number(clients.len());
                let reader = number(picked + 1);
                for _ in 0..number(30) {
                    if clients[reader].has_news() {
                        clients[reader].read_one();
                    }
                }
            }
            _ => {}
        }
    }
    for client in &mut clients {
        client.read_until(|client| client.own.len() == VECTORS);
    }
    let ids: Vec<_> = clients.iter().map(|client| client.id).collect();
    for client in &mut clients {
        let own = client.id;
        client.read_until_peers_are(ids.iter().copied().filter(|id| *id != own), VECTORS);
    }
    eventually("everything is read", || server.status().unwrap().in_flight == 0);
}

#[test]
fn who_never_reads_is_not_announced_and_takes_no_id_away() {
    let (_dir, builder) = new();
    let server = builder.vectors(4).start().unwrap();
    let witness = Client::greeted(server.path(), 4);
    for _ in 0..2_000 {
        drop(UnixStream::connect(server.path()).unwrap());
    }
    let silent = Client::connect(server.path());
    let reader = Client::greeted(server.path(), 4);
    assert!(reader.peers.keys().eq([&0]), "{:?}", reader.peers.keys());
    let mut witness = witness;
    witness.read_until_peers_are([reader.id], 4);
    assert!(witness.gone.is_empty());
    drop(silent);
    drop(reader);
    drop(witness);
    eventually("every id is free again", || server.status().unwrap().free_ids == 65_536);
}

#[test]
fn an_id_never_comes_back_to_a_client_that_has_seen_it_leave() {
    let (_dir, builder) = new();
    let server = builder.start().unwrap();
    let mut witness = Client::greeted(server.path(), 1);
    for _ in 0..300 {
        let guest = Client::greeted(server.path(), 1);
        witness.read_until_peers_are([guest.id], 1);
        drop(guest);
        witness.read_until_peers_are([], 1);
    }
    assert_eq!(witness.gone, (1..=300).collect());
    drop(witness);
    eventually("what it knew is forgotten", || server.status().unwrap().free_ids == 65_536);
    assert_eq!(Client::greeted(server.path(), 1).id, 0);
}

#[test]
fn one_client_too_many_is_told_so_by_the_version_and_harms_nobody() {
    let (_dir, builder) = new();
    let server = builder.max_clients(2).start().unwrap();
    let mut clients = [Client::greeted(server.path(), 1), Client::greeted(server.path(), 1)];
    let mut third = Client::connect(server.path());
    let version = third.raw().unwrap().value;
    assert_eq!(Refusal::from_version(version), Some(Refusal::TooManyClients));
    assert!(third.raw().is_none(), "and then the connection ends");
    assert_eq!(server.status().unwrap().counters.refused_in_all(), 1);
    clients[0].read_until_peers_are([1], 1);
    assert!(!clients[0].has_news());
    let [first, _second] = clients;
    drop(first);
    eventually("there is room again", || server.status().unwrap().clients == 1);
    Client::greeted(server.path(), 1);
}

#[test]
fn who_sends_anything_or_ends_its_sending_has_left() {
    let (_dir, builder) = new();
    let server = builder.start().unwrap();
    let mut witness = Client::greeted(server.path(), 1);
    for how in ["bytes", "many bytes", "its own end", "a half shut"] {
        let talker = Client::greeted(server.path(), 1);
        witness.read_until_peers_are([talker.id], 1);
        match how {
            "bytes" => talker.stream().write_all(b"?").unwrap(),
            "many bytes" => {
                talker.stream().set_nonblocking(true).unwrap();
                while talker.stream().write(&[0xff; 4096]).is_ok() {}
            }
            // The descriptor in flight keeps the connection open, although no process holds another one.
            "its own end" => {
                sends_a_descriptor(talker.stream());
            }
            _ => talker.stream().shutdown(Shutdown::Write).unwrap(),
        }
        if how == "its own end" {
            drop(talker);
        }
        witness.read_until_peers_are([], 1);
    }
    eventually("nothing is left of them", || server.status().unwrap().clients == 1);
}

/// Sends a descriptor to a server, which receives it only where the kernel cannot refuse it, before Linux 6.16.
fn sends_a_descriptor(stream: &UnixStream) {
    let (probe, _other_end) = UnixStream::pair().unwrap();
    let is_kept_out = refuse_descriptors(&probe).unwrap();
    let sent = send(stream.as_fd(), b"?", Some(stream.as_fd()));
    let is_refused = sent.as_ref().is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    assert_eq!((is_refused, sent.is_ok()), (is_kept_out, !is_kept_out), "{sent:?}");
}

#[test]
fn no_socket_takes_a_descriptor_where_the_kernel_can_keep_it_out() {
    let (dir, builder) = new();
    let status = dir.path().join("status");
    let server = builder.status_socket(&status).start().unwrap();
    for path in [server.path(), &status] {
        sends_a_descriptor(&UnixStream::connect(path).unwrap());
    }
    let (dir, builder) = new();
    let path = dir.path().join("of the service manager");
    let socket = UnixListener::bind(&path).unwrap();
    let _listening = builder.listen_on_inherited(socket.into()).unwrap();
    sends_a_descriptor(&UnixStream::connect(&path).unwrap());
}

#[test]
fn who_waits_to_be_accepted_when_the_server_stops_is_told_so() {
    let (_dir, builder) = new();
    let listening = builder.listen().unwrap();
    let path = listening.path().to_owned();
    let mut client = Client::connect(&path);
    let stop = eventfd::create().unwrap();
    eventfd::ring(stop.as_fd()).unwrap();
    listening.run(stop).unwrap();
    assert_eq!(Refusal::from_version(client.raw().unwrap().value), Some(Refusal::Stopping));
    assert!(!path.exists());
}

#[test]
fn stopping_ends_every_connection_and_leaves_no_socket() {
    let (_dir, builder) = new();
    let server = builder.start().unwrap();
    let path = server.path().to_owned();
    let mut client = Client::greeted(&path, 1);
    server.stop().unwrap();
    assert!(client.raw().is_none());
    assert!(!path.exists());
}
