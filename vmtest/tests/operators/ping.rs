//! `ivshmem ping` between a guest and the host.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use ivshmem_server::Server;
use ivshmem_vmtest::{Ending, Guest, Program, can_run};

use super::ivshmem;

#[test]
fn a_guest_is_rung_by_others_alone_and_answers_the_host() {
    if !can_run("a_guest_is_rung_by_others_alone_and_answers_the_host") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let _server = Server::builder(&socket).vectors(2).start().unwrap();
    let guest = Guest::builder("ping").program(ivshmem()).doorbell(&socket, 2).boot().unwrap();
    let target = format!("doorbell:{}", socket.display());

    // A device that is not bound produces no figures.
    let refused = guest.output(Program::shell("ivshmem ping auto 1")).unwrap();
    assert!(refused.ending == Ending::Status(1) && refused.err.contains("ivshmem bind"), "{refused:?}");
    guest.sh("ivshmem bind auto").unwrap();

    // Opening a device rings no vector, and earlier rings do not count.
    let host = ivshmem::doorbell(&socket).vectors(2).connect().unwrap();
    host.ring(0, 0).unwrap();
    let nobody = guest.output(Program::shell("ivshmem listen auto --count 1 --timeout 1")).unwrap();
    assert_eq!(nobody.ending, Ending::Status(3), "{nobody:?}");
    assert_eq!(nobody.out, "listening as peer 0 on vectors 0, 1\n");
    let mut listening = guest.spawn(Program::shell("exec ivshmem listen auto --count 1")).unwrap();
    listening.expect_line("listening as peer 0 on vectors 0, 1").unwrap();
    host.ring(0, 1).unwrap();
    assert!(listening.succeed().unwrap().ends_with("vectors 0, 1\ninterrupt on vector 1\n"));
    drop(host);

    // A guest gets no announcements of clients, so the command names the peer to answer: the next client, whose id is the
    // next one.
    let mut answering = guest.spawn(Program::shell("exec ivshmem ping auto --answer 2 --vector 1")).unwrap();
    answering.expect_line("answering as peer 0 on vector 1; Ctrl-C ends it").unwrap();
    let asked = Command::new(ivshmem())
        .args(["ping", &target, "0", "--vector", "1", "--count", "100", "--timeout", "60"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success() && said.starts_with("100 of 100 round trips to peer 0"), "{asked:?}");
    println!("the host asks: {said}");
    drop(answering);

    let mut answering = Command::new(ivshmem())
        .args(["ping", &target, "0", "--answer"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(answering.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let id = line.strip_prefix("answering as peer ").unwrap().split(' ').next().unwrap();
    let asked = guest.sh(&format!("ivshmem ping auto {id} --count 100 --timeout 60"));
    answering.kill().unwrap();
    answering.wait().unwrap();
    println!("the guest asks: {}", asked.unwrap());
}
