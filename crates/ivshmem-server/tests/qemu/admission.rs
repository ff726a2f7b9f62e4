//! Which clients are admitted: by user, by group, and by rate.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ivshmem::wire::Refusal;
use rustix::process::geteuid;

use crate::client::{Client, agree};
use crate::daemon::{Daemon, open_dir};
use crate::limits::assert_refused;
use crate::machine::{QEMU, Qemu};
use crate::process::{Nobody, all_here};

#[test]
fn only_qemus_of_listed_users_and_groups_become_clients_and_the_others_are_told_so() {
    if !all_here(&["root", "setpriv", QEMU]) {
        return;
    }
    let dir = open_dir();
    let (listed, other, member) = (Nobody(64_011), Nobody(64_012), Nobody(64_013));
    // Root is the user of this test, and is admitted only because it is listed too.
    let args = ["--mode", "666", "--allow-uid", "64011,root", "--allow-gid", "64019"];
    let server = Daemon::start(dir.path(), &args);
    let mut checker = [Client::connect(&server.socket, 1).greeted()];
    let launch = |name| Qemu::launch(dir.path(), name, &server.socket, 1);

    let mut first = Qemu::start(launch("listed").run_as(listed), dir.path(), "listed");
    agree(&mut checker, 2);
    let mut refused = launch("other").run_as(other).start();
    assert_refused(refused.end(), &refused.log(), Refusal::NotAdmitted);
    let mut second = Qemu::start(launch("member").run_as_in(member, &[64_018, 64_019]), dir.path(), "member");
    let mut refused = launch("stranger").run_as_in(other, &[64_018]).start();
    assert_refused(refused.end(), &refused.log(), Refusal::NotAdmitted);

    let census = agree(&mut checker, 3);
    assert_eq!(census.len(), 3, "who is refused is nobody's peer");
    first.assert_alive();
    second.assert_alive();
    let log = server.process.log();
    assert!(log.contains("uid=64012") && log.contains(&Refusal::NotAdmitted.to_string()), "{log}");
}

#[test]
fn with_a_list_even_the_servers_own_user_must_be_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["--allow-uid", "64014"]);
    let client = Client::connect(&server.socket, 1).greeted();
    assert_eq!(client.refused(), Some(Refusal::NotAdmitted.version()));
    drop(server);
    let own = geteuid().as_raw().to_string();
    let server = Daemon::start(dir.path(), &["--allow-uid", "64014", "--allow-uid", &own]);
    assert_eq!(Client::connect(&server.socket, 1).greeted().refused(), None);
}

#[test]
fn who_connects_too_often_is_refused_and_no_other_user_is() {
    if !all_here(&["root", "setpriv", QEMU]) {
        return;
    }
    let dir = open_dir();
    let server = Daemon::start(dir.path(), &["--mode", "666", "--connection-rate", "3"]);
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&server.socket, 1).greeted()).collect();
    let mut qemu = Qemu::connect_as(Nobody(64_015), dir.path(), "qemu", &server.socket, 1);
    let refused: Vec<_> = clients.iter().filter_map(Client::refused).collect();
    assert!(!refused.is_empty() && refused.iter().all(|version| *version == Refusal::TooOften.version()));
    clients.retain(|client| client.refused().is_none());
    assert!(clients.len() >= 3);
    let members = clients.len() + 1;
    agree(&mut clients, members);
    qemu.assert_alive();
    // The next second starts a new count.
    let next = loop {
        let client = Client::connect(&server.socket, 1).greeted();
        if client.refused().is_none() {
            break client;
        }
    };
    clients.push(next);
    agree(&mut clients, members + 1);
}

#[test]
fn users_and_groups_that_do_not_exist_and_limits_out_of_range_are_refused_by_name() {
    let refused = [
        ("--allow-uid", "no-such-user-here", "getent"),
        ("--allow-uid", "-1", "number"),
        ("--allow-uid", "0,,1", "number"),
        ("--allow-gid", "no-such-group-here", "getent"),
        ("--allow-gid", "4294967295", "4294967294"),
        ("--owner", "no-such-user-here", "getent"),
        ("--owner", ":", ":kvm"),
        ("--connection-rate", "0", "1000000"),
        ("--connection-rate", "1000001", "1000000"),
        ("--max-in-flight", "0", "1048576"),
        ("--max-in-flight", "1048577", "1048576"),
        ("--max-clients", "0", "65536"),
        ("--log-level", "loud", "debug"),
    ];
    for (option, value, remedy) in refused {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Daemon::launch(dir.path(), &[&format!("{option}={value}")]).start();
        assert_eq!(server.end().code(), Some(2), "{option} {value}: {}", server.log());
        let log = server.log();
        assert!(log.contains(option) && log.contains(remedy), "{log}");
    }
}

#[test]
fn socket_and_memory_belong_to_whom_the_option_names() {
    if !all_here(&["root"]) {
        return;
    }
    for (owner, uid, gid) in
        [("root:64016", 0, 64_016), (":64016", 0, 64_016), ("64017", 64_017, 0), ("root", 0, 0)]
    {
        let dir = tempfile::tempdir().unwrap();
        let objects = tempfile::tempdir_in("/dev/shm").unwrap();
        let args =
            ["-m", objects.path().to_str().unwrap(), "-M", "object", "--owner", owner, "--mode", "660"];
        let server = Daemon::start(dir.path(), &args);
        for path in [&server.socket, &objects.path().join("object")] {
            let metadata = path.metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "--owner {owner}");
            assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
        }
    }
}
