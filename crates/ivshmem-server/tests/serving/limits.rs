//! Exhausted descriptors, and users without privileges.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ivshmem::wire::Refusal;
use ivshmem_conformance::program::copy;
use ivshmem_server::Server;
use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, getrlimit, kill_process, prlimit, setrlimit};

use crate::client::{Client, eventually};
use crate::daemon::{Daemon, program};

/// The program with this soft and hard limit of descriptors, as an ordinary user if the test runs as root. Each test has
/// its own user, because the kernel counts descriptors in flight per user.
fn unprivileged(uid: u32, descriptors: u32, dir: &Path, arguments: &[&str]) -> Command {
    // Other users may have no access to the build directory.
    let executable = dir.join("ivshmem-server");
    if !executable.exists() {
        copy(program().get_program(), &executable);
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    let limit = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={uid}"), "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
        command.args(["sh", "-c", &limit]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", &limit]);
        command
    };
    command.arg(executable).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn when_descriptors_are_used_up_clients_are_refused_with_a_word_and_nobody_is_hurt() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let socket_argument = socket.to_str().unwrap();
    let command =
        unprivileged(65_533, 64, dir.path(), &["-F", "-n", "8", "--mode", "666", "-S", socket_argument]);
    let daemon = Daemon::start(command, &socket);
    let mut clients = Vec::new();
    let refusal = loop {
        let mut client = Client::connect(&socket);
        let version = client.raw().unwrap().value;
        if let Some(refusal) = Refusal::from_version(version) {
            break refusal;
        }
        drop(client);
        clients.push(Client::greeted(&socket, 8));
    };
    assert_eq!(refusal, Refusal::OutOfDescriptors);
    assert!((3..7).contains(&clients.len()), "{} clients of 9 descriptors each", clients.len());
    for _ in 0..100 {
        let version = Client::connect(&socket).raw().unwrap().value;
        assert_eq!(Refusal::from_version(version), Some(Refusal::OutOfDescriptors));
    }
    drop(clients.pop());
    let mut newcomer = None;
    eventually("the place that became free is given", || {
        let mut client = Client::connect(&socket);
        let admitted = client.raw().unwrap().value == 0;
        newcomer = admitted.then_some(client);
        admitted
    });
    let (code, log) = daemon.stop(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(log.contains("no descriptors left"), "{log}");
    let refused = log.lines().filter(|line| line.contains("refused")).count();
    assert!(refused < 100, "{refused} lines: a flood is cut");
}

#[test]
fn without_privileges_clients_that_do_not_read_leave_room_for_the_others() {
    const VECTORS: usize = 32;
    raise_own_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let socket_argument = socket.to_str().unwrap();
    let command =
        unprivileged(65_534, 1024, dir.path(), &["-F", "-n", "32", "--mode", "666", "-S", socket_argument]);
    let daemon = Daemon::start(command, &socket);
    let mut witness = Client::greeted(&socket, VECTORS);
    // Each begins to read and then stops, with more messages waiting than all clients may have in flight together.
    let mut stalled: Vec<_> = (0..14)
        .map(|_| {
            let mut client = Client::connect(&socket);
            client.read_one();
            client
        })
        .collect();
    for _ in 0..20 {
        let newcomer = Client::greeted(&socket, VECTORS);
        witness
            .read_until(|witness| witness.peers.get(&newcomer.id).is_some_and(|peer| peer.len() == VECTORS));
    }
    let last = Client::greeted(&socket, VECTORS);
    // 15 others with 32 vectors each, of which the kernel would hold only 1024 for all clients that do not read.
    assert_eq!(last.peers.len(), 15);
    let ids: Vec<_> = (0..15).chain([last.id]).collect();
    for client in &mut stalled {
        client.read_until(|client| client.own.len() == VECTORS);
        let own = client.id;
        client.read_until_peers_are(ids.iter().copied().filter(|id| *id != own), VECTORS);
    }
    let (code, log) = daemon.stop(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(!log.contains("cannot send"), "the budget keeps below the kernel's limit: {log}");
}

#[test]
fn a_newcomer_is_greeted_while_a_crowd_reads_nothing_and_the_budget_is_spent() {
    raise_own_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let socket_argument = socket.to_str().unwrap();
    let command = unprivileged(65_532, 256, dir.path(), &["-F", "--mode", "666", "-S", socket_argument]);
    let _daemon = Daemon::start(command, &socket);
    // From about the fifteenth on, a new client has one message in flight at a time, and each next one must follow its
    // reading.
    let mut crowd: Vec<Client> = Vec::new();
    for before in 0..100 {
        crowd.push(Client::greeted(&socket, 1));
        assert_eq!(crowd[before].peers.len(), before);
    }
    for client in &mut crowd {
        let own = client.id;
        client.read_until_peers_are((0..100).filter(|id| *id != own), 1);
    }
}

#[test]
fn descriptors_that_other_processes_have_on_the_way_delay_a_client_and_lose_nothing() {
    raise_own_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let (greedy, modest, log) =
        (dir.path().join("greedy"), dir.path().join("modest"), dir.path().join("log"));
    let start = |descriptors, socket: &Path| {
        let (socket_argument, log) = (socket.to_str().unwrap(), log.to_str().unwrap());
        let arguments = ["-F", "-n", "32", "--mode", "666", "--log", log, "-S", socket_argument];
        Daemon::start(unprivileged(65_531, descriptors, dir.path(), &arguments), socket)
    };
    let _greedy = start(1024, &greedy);
    let crowd: Vec<_> = (0..14)
        .map(|_| {
            let mut client = Client::connect(&greedy);
            client.read_one();
            client
        })
        .collect();
    // By now the user has more in flight than the other server's limit permits.
    Client::greeted(&greedy, 32);
    let _modest = start(256, &modest);
    let mut client = Client::connect(&modest);
    client.read_until(|client| client.id >= 0);
    eventually("it was refused", || {
        fs::read_to_string(&log).unwrap().contains("too many descriptors in flight")
    });
    drop(crowd);
    client.read_until(|client| client.own.len() == 32);
}

#[test]
fn messages_in_flight_to_who_does_not_read_stay_within_the_option_and_whoever_reads_gets_all() {
    const VECTORS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    let unread = |limit: Option<u32>| {
        let builder = Server::builder(dir.path().join("s")).vectors(64);
        let builder = match limit {
            Some(messages) => builder.max_in_flight(messages),
            None => builder,
        };
        let server = builder.start().unwrap();
        let mut stalled = Client::connect(server.path());
        stalled.read_one();
        let mut readers: Vec<_> = (0..2).map(|_| Client::greeted(server.path(), VECTORS)).collect();
        readers[0].read_until_peers_are([0, 2], VECTORS);
        let unread = server.status().unwrap().peers[0].unread_messages;
        stalled.read_until(|stalled| stalled.own.len() == VECTORS);
        stalled.read_until_peers_are([1, 2], VECTORS);
        unread
    };
    let (limited, not) = (unread(Some(16)), unread(None));
    assert!(limited <= 17, "{limited} messages with a limit of 16");
    assert!(not > 100, "{not} messages of {} without one", 3 * VECTORS);
}

#[test]
fn the_log_tells_who_has_stopped_reading_and_who_has_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let log_file = dir.path().join("log");
    let mut command = program();
    command.args(["-F", "-n", "256"]).arg("-S").arg(&socket).arg("--log").arg(&log_file);
    let _daemon = Daemon::start(command, &socket);
    let log = || fs::read_to_string(&log_file).unwrap();
    let mut stalled = Client::greeted(&socket, 256);
    let _others: Vec<_> = (0..3).map(|_| Client::greeted(&socket, 256)).collect();
    eventually("the stall is logged", || log().contains("has not read for 5 s"));
    stalled.read_until(|stalled| stalled.peers.values().map(Vec::len).sum::<usize>() == 3 * 256);
    eventually("so is its end", || log().contains("caught up"));
}

/// The clients are in this process, and each holds the eventfds of all.
pub(crate) fn raise_own_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// A failed allocation ends a process at once.
#[test]
fn when_address_space_is_used_up_clients_are_refused_with_a_word_and_the_server_ends_cleanly() {
    raise_own_descriptor_limit();
    let dir = tempfile::tempdir().unwrap();
    let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
    let mut command = program();
    command.args(["-F", "-n", "1", "-S"]).arg(&socket).arg("--status").arg(&status);
    let daemon = Daemon::start(command, &socket);
    let first = Client::greeted(&socket, 1);
    let statm = fs::read_to_string(format!("/proc/{}/statm", daemon.pid().as_raw_nonzero())).unwrap();
    let in_use = statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
    let limit = Some(in_use + (5 << 20));
    prlimit(Some(daemon.pid()), Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
    let mut clients = Vec::new();
    let refusal = loop {
        let mut client = Client::connect(&socket);
        match Refusal::from_version(client.raw().unwrap().value) {
            Some(refusal) => break refusal,
            None => clients.push(client),
        }
    };
    println!("{} clients after the first", clients.len());
    assert_eq!(refusal, Refusal::OutOfMemory);
    // Connected clients get all remaining messages.
    clients.iter_mut().for_each(|client| while client.raw().unwrap().value != -1 {});
    let mut text = String::new();
    let stream = std::os::unix::net::UnixStream::connect(&status).unwrap();
    std::io::Read::read_to_string(&mut &stream, &mut text).unwrap();
    assert!(text.contains("\"out-of-memory\":1"), "{text}");
    drop((first, clients));
    eventually("there is room again", || {
        Refusal::from_version(Client::connect(&socket).raw().unwrap().value).is_none()
    });
    let (code, log) = daemon.stop(Signal::TERM);
    assert_eq!((code, socket.exists(), status.exists()), (Some(0), false, false), "{log}");
}

#[test]
fn without_the_memory_for_itself_a_server_does_not_start_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let mut words = Vec::new();
    // From too little for the program itself to enough.
    for kib in (6_000..24_000).step_by(1000) {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", "prlimit", &format!("--as={}", kib << 10)]);
        command.arg(program().get_program()).arg("-F").arg("-S").arg(&socket);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        // A server without enough memory ends itself, one that listens ends by a signal.
        while lines.read_line(&mut said).unwrap() > 0 {
            if said.lines().last().is_some_and(|line| line.contains("listening")) {
                kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            }
        }
        child.wait().unwrap();
        assert!(!socket.exists(), "{kib} KiB: {said}");
        words.push(said);
    }
    assert!(
        words.iter().any(|text| text.contains("needs 4194304 bytes of memory") && text.contains("ulimit -v")),
        "{words:?}"
    );
    assert!(words.last().unwrap().contains("stopped"), "{words:?}");
}
