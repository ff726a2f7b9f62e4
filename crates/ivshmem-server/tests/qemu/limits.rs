//! A server at its limits: of clients, and of descriptors, including those in flight.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use ivshmem::wire::Refusal;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::json;

use crate::client::{Client, agree, agreed, read_until};
use crate::daemon::{Daemon, open_dir};
use crate::descriptors::count;
use crate::machine::{QEMU, Qemu};
use crate::member;
use crate::process::{Nobody, all_here, eventually};

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

    // It was never announced, and its place is available when the other client disconnects.
    assert_eq!(agree(&mut clients, 1).len(), 1);
    assert_eq!(clients[0].announced(), [0; 0]);
    drop(clients);
    let _next = await_admission(&server, 1);
}

#[test]
fn a_qemu_whose_hot_plug_is_refused_says_why_and_its_monitor_answers() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["--max-clients", "1"]);
    let _only = Client::connect(&server.socket, 1).greeted();
    let mut qemu = Qemu::start(Qemu::bare(dir.path(), "qemu", &[]), dir.path(), "qemu");
    qemu.add_chardev(&server.socket);
    // If the connection were closed now, QEMU's main loop would discard unread data, and `plug` would never return.
    eventually("it is refused", || server.process.log().contains("refused"));
    (0..3).for_each(|_| qemu.assert_alive());
    let answer = qemu.plug(1);
    let text = answer["error"]["desc"].as_str().unwrap_or_default();
    assert!(text.contains("server sent version -2, expecting 0"), "{answer}");
    qemu.assert_alive();
}

#[test]
fn those_who_do_not_read_their_refusal_take_few_descriptors_and_give_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["--max-clients", "1"]);
    let mut only = [Client::connect(&server.socket, 1).greeted()];
    let descriptors = count(server.process.id());

    let mut deaf: Vec<_> = (0..100).map(|_| Client::connect(&server.socket, 1)).collect();
    let heard = Client::connect(&server.socket, 1).greeted();
    assert_eq!(heard.refused(), Some(Refusal::TooManyClients.version()));
    eventually("few of them are open", || count(server.process.id()) <= descriptors + 16);
    // Clients whose connection was closed meanwhile get the answer too.
    read_until("all hear of it", &mut deaf, |c| c.iter().all(|c| c.refused().is_some()));
    eventually("their descriptors are free again", || count(server.process.id()) == descriptors);
    agree(&mut only, 1);
}

#[test]
fn a_server_that_stops_while_qemus_start_leaves_none_of_them_spinning() {
    if !all_here(&[QEMU]) {
        return;
    }
    let query = json!({"execute": "query-status"});
    let mut lived = 0;
    for connected in [0, 1, 2, 3, 0, 1, 2, 3] {
        let dir = tempfile::tempdir().unwrap();
        let server = Daemon::start(dir.path(), &["-n", "64"]);
        let mut qemus: Vec<_> = ["a", "b", "c"]
            .map(|name| {
                let launch = Qemu::launch(dir.path(), name, &server.socket, 64);
                Qemu::start_at_risk(launch, dir.path(), name)
            })
            .into();
        // Then their handshakes are being sent: 64 vectors of each, and those of the others.
        eventually("so many are connected", || {
            server.process.log().matches("client connected").count() >= connected
        });
        assert!(server.terminate().success());
        for qemu in &mut qemus {
            match qemu.execute_unless_ended(&query) {
                Ok(_) => lived += 1,
                Err(status) => assert_eq!(status.code(), Some(1), "{}", qemu.process.log()),
            }
        }
    }
    println!("{lived} of 24 were connected before the server stopped, and live on");
}

#[test]
fn a_qemu_that_is_connected_and_has_read_nothing_when_the_server_stops_can_still_take_its_device() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut server = Daemon::start(dir.path(), &[]);
    let mut qemu = Qemu::start(Qemu::bare(dir.path(), "qemu", &[]), dir.path(), "qemu");
    qemu.add_chardev(&server.socket);
    eventually("it is a client", || server.process.log().contains("client connected"));
    server.process.signal(Signal::TERM);
    eventually("nobody new can connect", || !server.socket.exists());
    // It gets the first messages, which is all that it needs to keep running.
    let answer = qemu.plug(1);
    assert!(answer.get("return").is_some(), "{answer}");
    qemu.assert_alive();
    assert!(server.process.end().success());
    qemu.assert_alive();
}

#[test]
fn a_qemu_that_waits_to_be_accepted_when_the_server_stops_reads_why_it_is_refused() {
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut server = Daemon::start(dir.path(), &[]);
    let mut qemu = Qemu::start(Qemu::bare(dir.path(), "qemu", &[]), dir.path(), "qemu");
    server.process.stop();
    qemu.add_chardev(&server.socket);
    server.process.signal(Signal::TERM);
    server.process.signal(Signal::CONT);
    eventually("it is refused", || server.process.log().contains("refused"));
    let answer = qemu.plug(1);
    let text = answer["error"]["desc"].as_str().unwrap_or_default();
    assert!(text.contains("server sent version -7, expecting 0"), "{answer}");
    qemu.assert_alive();
    assert!(server.process.end().success());
}

#[test]
fn a_server_that_cannot_even_accept_waits_without_work_and_goes_on_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Daemon::start(dir.path(), &["-n", "2"]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&server.socket, 2).greeted()).collect();
    agree(&mut clients, 3);
    // Fewer than it has open, so that closing one makes no room for another.
    let pid = Some(Pid::from_raw(server.process.id().try_into().unwrap()).unwrap());
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(4), maximum: Some(200) }).unwrap();
    let mut waiting = [Client::connect(&server.socket, 2)];
    eventually("the server says what is wrong", || server.process.log().contains("cannot accept"));

    // Connected clients lose nothing meanwhile, and the server does not spin.
    clients.pop();
    agree(&mut clients, 2);
    let begin = server.process.processor_time();
    std::thread::sleep(Duration::from_secs(1));
    let spent = server.process.processor_time() - begin;
    assert!(spent < Duration::from_millis(300), "{spent:?} of processor time in a second");
    assert_eq!(waiting[0].read(1), 0);
    server.process.assert_alive();

    prlimit(pid, Resource::Nofile, Rlimit { current: Some(200), maximum: Some(200) }).unwrap();
    println!("the limit was {before:?} before");
    read_until("who waited is greeted", &mut waiting, |c| c[0].is_complete());
    clients.extend(waiting);
    agree(&mut clients, 3);
}

#[test]
fn descriptors_used_up_cost_no_client_anything_and_refuse_the_next_with_a_reason() {
    if all_here(&["prlimit", QEMU]) {
        // With 64 vectors the eventfds of a new client use them up; with one vector and these two limits, once its eventfd
        // and once its connection.
        for (vectors, limit) in [(64, 1024), (1, 64), (1, 65)] {
            let dir = tempfile::tempdir().unwrap();
            let launch = Daemon::launch(dir.path(), &["-n", &vectors.to_string()]).descriptors(limit);
            use_up_descriptors(Daemon::listening(launch, dir.path()), dir.path(), vectors, limit);
        }
    }
}

#[test]
fn descriptors_used_up_cost_no_client_anything_when_the_server_has_no_privileges() {
    if all_here(&["root", "setpriv", "prlimit", QEMU]) {
        let dir = open_dir();
        let launch = Daemon::launch_as(Nobody(64_001), dir.path(), &["-n", "64", "--mode", "666"]);
        let server = Daemon::listening(launch.descriptors(1024), dir.path());
        use_up_descriptors(server, dir.path(), 64, 1024);
    }
}

/// The server has this number of vectors per client and at most `limit` descriptors.
fn use_up_descriptors(mut server: Daemon, dir: &Path, vectors: u16, limit: u32) {
    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let client = Client::connect(&server.socket, vectors.into()).greeted();
        match client.refused() {
            None => clients.push(client),
            Some(version) => {
                assert_eq!(Refusal::from_version(version), Some(Refusal::OutOfDescriptors));
                refused += 1;
            }
        }
    }
    let members = clients.len();
    println!("{members} clients x {vectors} vectors fit into {limit} descriptors, {refused} were refused");
    let most = usize::try_from(limit).unwrap() / usize::from(vectors + 1);
    assert!((most - 10..=most).contains(&members) && refused > 0);
    let before = agree(&mut clients, members);

    let mut qemu = Qemu::launch(dir, "refused", &server.socket, vectors).start();
    let status = qemu.end();
    assert_refused(status, &qemu.log(), Refusal::OutOfDescriptors);

    server.process.assert_alive();
    let log = server.process.log();
    assert!(log.contains(&Refusal::OutOfDescriptors.to_string()), "{log}");
    assert_eq!(agreed(&clients), Ok(before), "somebody lost something");

    // A place that becomes free goes to the next client, which gets all announcements.
    clients.pop();
    agree(&mut clients, members - 1);
    clients.push(await_admission(&server, vectors.into()));
    agree(&mut clients, members);
}

#[test]
fn clients_that_do_not_read_stop_no_message_to_the_others_though_the_kernel_limits_descriptors_in_flight() {
    const VECTORS: usize = 32;
    if !all_here(&["root", "setpriv", "prlimit"]) {
        return;
    }
    let dir = open_dir();
    let launch = Daemon::launch_as(Nobody(64_002), dir.path(), &["-n", "32", "--mode", "666"]);
    let mut server = Daemon::listening(launch.descriptors(1024), dir.path());
    let join = || Client::connect(&server.socket, VECTORS);

    let mut readers = vec![join().greeted(), join().greeted()];
    let mut stalled: Vec<Client> = Vec::new();
    // Each of these would hold 278 messages in its socket, 12 x 278 descriptors in total; the kernel allows 1024. Each
    // takes what the previous ones left, until the next message always waits until a client reads.
    for n in 1..=12 {
        let mut silent = [join()];
        read_until("the first messages", &mut silent, |c| c[0].messages() >= 3);
        stalled.extend(silent);
        for _ in 0..8 {
            let peer = join().greeted();
            let id = peer.id();
            assert!(peer.census().len() >= n + 3, "everyone is announced to a newcomer");
            read_until("the others hear of it", &mut readers, |c| {
                c.iter().all(|c| c.peers().get(&id).is_some_and(|v| v.len() == VECTORS))
            });
            drop(peer);
            read_until("the others hear of its end", &mut readers, |c| {
                c.iter().all(|c| !c.peers().contains_key(&id))
            });
        }
    }

    server.process.assert_alive();
    readers.append(&mut stalled);
    agree(&mut readers, 14);
}

#[test]
fn a_kernel_that_takes_no_more_descriptors_of_the_user_delays_clients_and_costs_them_nothing() {
    if !all_here(&["root", "setpriv", "prlimit", QEMU]) {
        return;
    }
    let (dir, user) = (open_dir(), Nobody(64_005));
    let launch = Daemon::launch_as(user, dir.path(), &["-n", "2", "--mode", "666"]);
    let mut server = Daemon::listening(launch.descriptors(1024), dir.path());
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(&server.socket, 2).greeted()).collect();
    agree(&mut clients, 2);

    // Another process of the server's user holds all descriptors in flight that the kernel allows.
    let hog = member::hog_descriptors_in_flight(user, dir.path(), 1024);
    let launch = Qemu::launch(dir.path(), "qemu", &server.socket, 2);
    let mut qemu = Qemu::start_at_risk(launch, dir.path(), "qemu");
    eventually("the server says what is wrong", || server.process.log().contains("cannot send"));
    // They have read everything that could be sent, so the server must retry on its own.
    for _ in 0..2 {
        clients.push(Client::connect(&server.socket, 2));
        let last = clients.len() - 1;
        read_until("version and id", &mut clients[last..], |c| c[0].messages() == 2);
    }
    // The server waits between its tries, and does not spin.
    let before = server.process.processor_time();
    std::thread::sleep(Duration::from_secs(1));
    let spent = server.process.processor_time() - before;
    assert!(spent < Duration::from_millis(300), "{spent:?} of processor time in a second");
    server.process.assert_alive();

    drop(hog);
    let census = agree(&mut clients, 5);
    qemu.note_internal(&census);
    qemu.assert_alive();
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

pub(crate) fn assert_refused(status: ExitStatus, printed: &str, why: Refusal) {
    let text = format!("server sent version {}, expecting 0", why.version());
    assert!(printed.contains(&text), "{printed}");
    assert_eq!(status.code(), Some(1), "{printed}");
}
