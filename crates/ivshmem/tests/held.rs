//! A server whose eventfds cannot be closed, because its process holds the mutex of an epoll that watches them: no caller waits
//! for them to be closed. This test needs its own process, because it counts descriptors.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ivshmem::doorbell::PeerEvent;
use ivshmem::sys::linux::foreign;
use ivshmem::{ErrorKind, PeerId};
use ivshmem_conformance::bare_server::{BareServer, Manner};
use ivshmem_conformance::census::{descriptors, eventually};
use ivshmem_conformance::fuse::Fuse;
use ivshmem_conformance::program::Killed;
use ivshmem_conformance::skip;

/// A limit that only a hang exceeds.
const HANG: Duration = Duration::from_secs(20);
/// The server. Its arguments are a file of which reads never return, and the path of its socket.
const SERVER: &str = include_str!("held/server.py");

fn within_the_limit<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    is_done.recv_timeout(HANG).expect("it waits for an eventfd to be closed")
}

fn start_a_program() {
    within_the_limit(|| assert!(Command::new("/bin/true").status().unwrap().success()));
}

/// The receiving thread continues after a peer has disconnected, and so does the thread that closes the device.
fn a_peer_that_leaves_holds_up_nobody(path: &Path, server: &mut ChildStdin) {
    let device = ivshmem::doorbell(path).connect().unwrap();
    let (sender, news) = mpsc::channel();
    device.on_peer(move |event| drop(sender.send(event.clone()))).unwrap().forget();
    server.write_all(b"\n").unwrap();
    loop {
        match news.recv_timeout(HANG).expect("the thread that receives waits for an eventfd to be closed") {
            PeerEvent::Connected(peer) if peer.id == PeerId(3) => break,
            _ => {}
        }
    }
    within_the_limit(move || device.close());
}

fn has_one_mutex_for_all_epolls() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (6_u32, 4_u32)
}

#[test]
fn eventfds_that_another_process_holds_hold_up_no_caller_and_take_no_descriptors() {
    let test = "eventfds_that_another_process_holds_hold_up_no_caller_and_take_no_descriptors";
    if has_one_mutex_for_all_epolls() {
        return skip(test, "before Linux 6.4 this would stop every epoll of the system");
    }
    let place = tempfile::tempdir().unwrap();
    let Some(mut fuse) = Fuse::for_the_only_test(test, place.path()) else { return };
    let path = place.path().join("hostile");
    let mut hostile = Command::new("/usr/bin/python3");
    hostile.args(["-c", SERVER]).arg(fuse.file()).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut hostile = Killed(hostile.spawn().unwrap());
    let ready = BufReader::new(hostile.0.stdout.take().unwrap()).lines().next();
    assert_eq!(ready.unwrap().unwrap(), "listening");
    let before = descriptors();

    a_peer_that_leaves_holds_up_nobody(&path, &mut hostile.0.stdin.take().unwrap());
    // Each handshake sends two vectors that cannot be closed, and then fails.
    let mut refused = 0;
    for _ in 0..40 {
        let connect = ivshmem::doorbell(&path).vectors(2).timeout(Duration::from_millis(500));
        let error = within_the_limit(move || connect.connect().unwrap_err());
        if error.kind() == ErrorKind::NoSpace {
            assert!(error.to_string().contains("a process holds the eventfds in an epoll"), "{error}");
            refused += 1;
        }
    }
    start_a_program();
    // The number before included the pipe to the server, which has been closed since.
    let kept = descriptors().saturating_sub(before);
    println!("{refused} of 40 refused, {kept} descriptors kept");
    // Each connection that was not refused has two vectors. The closing threads have removed nearly all of them from the table.
    assert!((1..40).contains(&refused) && kept < 40, "{refused} refused, {kept} kept");

    // The remedy.
    drop(hostile);
    fuse.answer();
    eventually("the eventfds are closed", || foreign::wait_for_room(Duration::ZERO).is_ok());
    eventually("their descriptors are free", || descriptors() <= before);
    let path = place.path().join("honest");
    let _honest = BareServer::start(&path, Manner::default()).unwrap();
    ivshmem::doorbell(&path).connect().unwrap();
}
