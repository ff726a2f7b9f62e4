//! Processes that are stopped for a minute while other clients connect and disconnect.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, agree, eventfds_in, read_until};
use crate::daemon::Daemon;
use crate::descriptors::eventfds;
use crate::machine::{QEMU, Qemu};
use crate::member::Member;
use crate::process::{all_here, eventually};

#[test]
fn a_client_and_a_qemu_stopped_for_a_minute_catch_up_and_delay_nobody() {
    const STOPPED: Duration = Duration::from_secs(60);
    const VECTORS: u16 = 4;
    if !all_here(&[QEMU]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Daemon::start(dir.path(), &["-n", "4"]);
    let join = || Client::connect(&server.socket, VECTORS.into()).greeted();
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, VECTORS);
    let mut member = Member::connect(dir.path(), &server.socket, VECTORS.into());
    let mut clients = vec![join(), join()];
    // These leave while the two are stopped.
    let mut leaving = vec![join(), join(), join()];
    let census = agree(&mut clients, 7);
    eventually("the QEMU and the member know everyone", || {
        let all = eventfds_in(&census);
        all.is_subset(&eventfds(qemu.process.id())) && member.holds_exactly(&census)
    });
    qemu.note_internal(&census);

    qemu.stop();
    member.process.stop();
    let start = Instant::now();
    leaving.pop();
    let mut came_and_went = Vec::new();
    let mut slowest = Duration::ZERO;
    while start.elapsed() < STOPPED {
        let round = Instant::now();
        let peer = join();
        let id = peer.id();
        read_until("others hear of a newcomer meanwhile", &mut clients, |c| {
            c.iter().all(|c| c.peers().get(&id).is_some_and(|v| v.len() == usize::from(VECTORS)))
        });
        drop(peer);
        read_until("others hear of its end meanwhile", &mut clients, |c| {
            c.iter().all(|c| !c.peers().contains_key(&id))
        });
        slowest = slowest.max(round.elapsed());
        came_and_went.push(id);
        // Some changes that last happen when the sockets of the two have long been full.
        match came_and_went.len() {
            200 => drop(leaving.pop()),
            300 => clients.push(join()),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(leaving);
    clients.push(join());

    qemu.resume();
    member.process.signal(Signal::CONT);
    let census = agree(&mut clients, 6);
    qemu.await_exactly(&census);
    eventually("the member knows exactly the living", || {
        member.process.assert_alive();
        member.holds_exactly(&census)
    });
    qemu.assert_alive();

    // Messages that were sent before the socket was full cannot be withdrawn; all other short-lived peers are never
    // announced to it.
    let announced = member.announced();
    let heard = came_and_went.iter().filter(|id| announced.contains(id)).count();
    println!(
        "{} peers came and went in {STOPPED:?}, {heard} of them were announced to the stopped client; \
         the slowest round of the others took {slowest:?}",
        came_and_went.len()
    );
    assert!(came_and_went.len() > 500, "only {} peers: too few to fill a socket", came_and_went.len());
    // A socket takes about 278 messages; each peer causes one message per vector and one more.
    assert!(heard < 100, "{heard} dead peers were announced");
}

#[test]
fn a_server_that_is_itself_stopped_and_continued_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Daemon::start(dir.path(), &["-n", "16"]);
    let mut clients = Vec::new();
    // Each stop interrupts the system call in which it waits.
    for n in 1..=15 {
        clients.push(Client::connect(&server.socket, 16));
        for _ in 0..20 {
            server.process.stop();
            server.process.signal(Signal::CONT);
        }
        agree(&mut clients, n);
    }
    server.process.assert_alive();
}
