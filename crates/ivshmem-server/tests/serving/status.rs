//! The content and the readers of the status socket, and the proof that its readers delay no one else.

use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ivshmem::wire::Refusal;
use ivshmem_server::{PeerState, Server};
use rustix::process::{Resource, Rlimit, Signal, getegid, geteuid, prlimit};
use serde_json::{Value, json};

use crate::client::{Client, eventually};
use crate::daemon::{Daemon, program};

fn read(path: &Path) -> Value {
    let mut text = String::new();
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("}\n"), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn each_connection_gets_one_document_with_every_field_that_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
    let mut command = program();
    command.args(["-F", "-n", "3", "-l", "1M", "--max-clients", "2", "--connection-rate", "1000"]);
    command.arg("-S").arg(&socket).arg("--status").arg(&status);
    let daemon = Daemon::start(command, &socket);
    // The harness checks by a connection whether the server listens.
    eventually("that connection is gone", || read(&status)["clients"] == 0);
    let before = read(&status);

    let first = Client::greeted(&socket, 3);
    let silent = Client::connect(&socket);
    let refused = Client::connect(&socket).raw().unwrap().value;
    assert_eq!(refused, Refusal::TooManyClients.version());
    eventually("all is read", || read(&status)["peers"][0]["unread_messages"] == 0);
    let now = read(&status);

    let mut sections: Vec<_> = now.as_object().unwrap().keys().map(String::as_str).collect();
    sections.sort_unstable();
    let expected = [
        "clients",
        "counters",
        "format",
        "free_ids",
        "in_flight",
        "limits",
        "peers",
        "server",
        "turned_away",
    ];
    assert_eq!(sections, expected);
    assert_eq!(now["format"], 1);
    let server = &now["server"];
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(server["socket"], socket.to_str().unwrap());
    assert_eq!(server["memory"], json!({"bytes": 1 << 20, "sealed": true, "path": null}));
    assert_eq!(server["vectors"], 3);
    assert!(server["pid"].as_u64().unwrap() > 1);
    assert!(
        server["uptime_seconds"].as_f64().unwrap() >= before["server"]["uptime_seconds"].as_f64().unwrap()
    );
    assert_eq!((&now["limits"]["clients"], &now["limits"]["connection_rate"]), (&json!(2), &json!(1000)));
    assert!(
        now["limits"]["in_flight"].as_u64().unwrap() > 0
            && now["limits"]["descriptors"].as_u64().unwrap() > 0
    );

    let peers = now["peers"].as_array().unwrap();
    assert_eq!((peers.len(), &now["clients"]), (2, &json!(2)));
    let (reads, does_not) = (&peers[0], &peers[1]);
    assert_eq!((&reads["id"], &reads["vectors"]), (&json!(first.id), &json!(3)));
    assert_eq!((&reads["uid"], &reads["gid"]), (&json!(geteuid().as_raw()), &json!(getegid().as_raw())));
    assert_eq!((&reads["pid"], &reads["state"]), (&json!(std::process::id()), &json!("greeted")));
    assert_eq!((&reads["unread_messages"], &reads["unread_bytes"]), (&json!(0), &json!(0)));
    assert_eq!((&reads["behind"], &reads["stalled"]), (&json!(false), &json!(false)));
    assert!(reads["connected_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!((&does_not["state"], &does_not["behind"]), (&json!("connected"), &json!(true)));
    assert_eq!(does_not["unread_messages"], 3);
    assert!(does_not["unread_bytes"].as_u64().unwrap() > 3 * 8);

    let since =
        |name: &str| now["counters"][name].as_u64().unwrap() - before["counters"][name].as_u64().unwrap();
    // The first and the silent client; version, id, memory and vectors of the first, three messages of the silent one.
    assert_eq!((since("accepted"), since("left"), since("messages")), (2, 0, 6 + 3));
    let reasons = now["counters"]["refused"].as_object().unwrap();
    assert_eq!(reasons.len(), Refusal::ALL.len());
    assert!(Refusal::ALL.iter().all(|reason| reasons.contains_key(reason.name())));
    assert_eq!(reasons["too-many-clients"], 1);
    assert_eq!(reasons["not-admitted"], 0);

    drop((first, silent));
    eventually("their leave is counted", || read(&status)["counters"]["left"] == now["counters"]["accepted"]);
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
    assert!(!status.exists(), "it goes with the server");
}

#[test]
fn the_status_is_for_the_servers_user_alone_unless_its_mode_says_otherwise() {
    for (arguments, mode) in [(&[][..], 0o600), (&["--status-mode", "640", "--mode", "666"][..], 0o640)] {
        let dir = tempfile::tempdir().unwrap();
        let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
        let mut command = program();
        command.arg("-F").arg("-S").arg(&socket).arg("--status").arg(&status).args(arguments);
        let _daemon = Daemon::start(command, &socket);
        assert_eq!(fs::metadata(&status).unwrap().permissions().mode() & 0o777, mode);
    }
    let without = program().args(["-F", "--status-mode", "640"]).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
}

#[test]
fn a_second_server_leaves_the_status_socket_of_the_first_alone() {
    let dir = tempfile::tempdir().unwrap();
    let status = dir.path().join("status");
    let first = Server::builder(dir.path().join("a")).status_socket(&status).start().unwrap();
    let second = Server::builder(dir.path().join("b")).status_socket(&status).start();
    assert!(second.unwrap_err().to_string().contains("another server listens"));
    assert_eq!(read(&status)["server"]["socket"], first.path().to_str().unwrap());
}

#[test]
fn readers_of_the_status_that_do_not_read_delay_no_client_and_others_get_it_still() {
    crate::limits::raise_own_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
    let server = Server::builder(&socket).status_socket(&status).start().unwrap();
    // So many that the document does not fit into a socket that is not read.
    let mut crowd: Vec<_> = (0..3_000).map(|_| Client::connect(&socket)).collect();
    eventually("all are connected", || server.status().unwrap().clients == 3_000);
    let document = read(&status);
    assert!(document.to_string().len() > 450_000, "{} bytes", document.to_string().len());

    let deaf: Vec<_> = (0..3).map(|_| UnixStream::connect(&status).unwrap()).collect();
    let closed = UnixStream::connect(&status).unwrap();
    closed.shutdown(Shutdown::Both).unwrap();
    (0..20).for_each(|_| drop(UnixStream::connect(&status).unwrap()));
    let begin = std::time::Instant::now();
    let newcomer = Client::greeted(&socket, 1);
    println!("greeted {:?} after it connected, with 3 readers that do not read", begin.elapsed());
    assert_eq!(newcomer.id, 3_000);
    assert_eq!(read(&status)["clients"], 3_001);
    // A reader that did not read gets what its socket holds, and then the end.
    for mut stream in deaf {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        assert!(!text.is_empty());
    }
    crowd.truncate(1);
    eventually("the rest has left", || server.status().unwrap().clients == 2);
    let state = server.status().unwrap().peers[0].state;
    assert_eq!(state, PeerState::Connected);
}

#[test]
fn readers_who_do_not_read_and_those_who_close_at_once_keep_no_honest_reader_waiting() {
    crate::limits::raise_own_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
    let _server = Server::builder(&socket).status_socket(&status).start().unwrap();
    // So many that the document does not fit into a socket that is not read.
    let _crowd: Vec<_> = (0..3_000).map(|_| Client::connect(&socket)).collect();
    eventually("all are connected", || read(&status)["clients"] == 3_000);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut deaf = std::collections::VecDeque::new();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    (0..50).for_each(|_| drop(UnixStream::connect(&status)));
                    deaf.push_back(UnixStream::connect(&status).unwrap());
                    deaf.drain(..deaf.len().saturating_sub(8));
                }
            });
        }
        let begin = std::time::Instant::now();
        let result = std::panic::catch_unwind(|| {
            (0..10).for_each(|_| assert_eq!(read(&status)["clients"], 3_000));
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        println!("10 readings took {:?}", begin.elapsed());
        result.unwrap();
        // If served one by one, each of the 8 readers that do not read would take a second at each of the 10 readings.
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", begin.elapsed());
    });
}

#[test]
fn many_who_ask_at_once_without_a_pause_delay_no_client() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::builder(dir.path().join("s")).start().unwrap();
    let mut witness = Client::greeted(server.path(), 1);
    std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..500).for_each(|_| drop(server.status().unwrap())))).collect();
        for _ in 0..50 {
            let guest = Client::greeted(server.path(), 1);
            witness.read_until(|witness| witness.peers.contains_key(&guest.id));
        }
        asking.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn the_status_is_told_though_no_descriptor_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
    let mut command = program();
    command.args(["-F", "-S"]).arg(&socket).arg("--status").arg(&status);
    let daemon = Daemon::start(command, &socket);
    let limit = Rlimit { current: Some(40), maximum: Some(40) };
    prlimit(Some(daemon.pid()), Resource::Nofile, limit).unwrap();
    let mut clients = Vec::new();
    loop {
        let mut client = Client::connect(&socket);
        let version = client.raw().unwrap().value;
        if version != 0 {
            assert_eq!(version, Refusal::OutOfDescriptors.version());
            break;
        }
        clients.push(client);
    }
    let status = read(&status);
    assert_eq!(status["clients"], clients.len());
    assert!(status["counters"]["refused"]["out-of-descriptors"].as_u64().unwrap() > 0);
}
