//! A server that sends descriptors without end leaves the process a quarter of its limit. This test needs its own process,
//! because it lowers the limit.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::print_stdout, reason = "figures")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ivshmem::device::Device;
use ivshmem::doorbell::{ConnectionError, PeerEvent};
use ivshmem::sys::linux::eventfd;
use ivshmem::{ErrorKind, PeerId};
use ivshmem_conformance::bare_server::send;
use ivshmem_conformance::linger::{Lingering, send_all};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const HANG: Duration = Duration::from_secs(20);
const LIMIT: u64 = 400;

/// Sends a handshake: the client has id 0 and one vector.
fn greet(stream: UnixStream) -> (UnixStream, OwnedFd) {
    let memory = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, 4096).unwrap();
    let vector = eventfd::create().unwrap();
    for (value, fd) in [(0, None), (0, None), (-1, Some(&memory)), (0, Some(&vector))] {
        send(&stream, value, fd).unwrap();
    }
    (stream, vector)
}

/// Receives the reason for which the connection ended, once.
fn reason_of_the_end(device: &Device) -> mpsc::Receiver<ConnectionError> {
    let (sender, reason) = mpsc::channel();
    let listener = move |event: &PeerEvent| {
        if let PeerEvent::ServerGone { reason } = event {
            let _ = sender.send(reason.clone());
        }
    };
    device.on_peer(listener).unwrap().forget();
    reason
}

/// Announces peers without end, after a message on `begin`.
fn flood(listener: UnixListener, begin: mpsc::Receiver<()>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (stream, vector) = greet(listener.accept().unwrap().0);
        begin.recv().unwrap();
        let sent = (1..=65_535).take_while(|peer| send(&stream, *peer, Some(&vector)).is_ok()).count();
        assert!(sent < 65_535, "the client has ended the connection");
    })
}

fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count().try_into().unwrap()
}

/// Waits for the threads that close the server's descriptors.
fn wait_until_descriptors_are_closed() {
    let begin = Instant::now();
    while descriptors() > 20 {
        assert!(begin.elapsed() < HANG, "closing gives them back: {}", descriptors());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Checks that the rest of the process can open files and start a program.
fn assert_the_rest_works() {
    let files: Vec<_> = (0..LIMIT / 4 - 10).map(|_| File::open("/dev/null")).collect();
    assert!(files.iter().all(Result::is_ok), "the reserve is there: {:?}", files.iter().find(|f| f.is_err()));
    drop(files);
    assert!(Command::new("/bin/true").status().unwrap().success());
}

/// The process itself uses most of the reserve, and a message has more descriptors than there is room for, whose closing
/// waits.
fn a_message_with_more_than_there_is_room_for(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    let server = std::thread::spawn(move || greet(listener.accept().unwrap().0).0);
    let device = ivshmem::doorbell(path).vectors(1).connect().unwrap();
    let stream = server.join().unwrap();
    let gone = reason_of_the_end(&device);
    let (sockets, readers): (Vec<_>, Vec<_>) =
        (0..25).map(|_| Lingering::new(3 * HANG).unwrap()).map(|bait| (bait.socket, bait.reader)).unzip();
    let mut files = Vec::new();
    while descriptors() < LIMIT - 10 {
        files.push(File::open("/dev/null").unwrap());
    }
    let begin = Instant::now();
    assert!(send_all(&stream, 1, sockets).unwrap());
    let reason = gone.recv_timeout(HANG).unwrap();
    device.close();
    println!("{reason}: closed after {:?}", begin.elapsed());
    assert!(begin.elapsed() < HANG, "{:?}", begin.elapsed());
    drop(readers);
}

/// The process itself uses all of the reserve.
fn a_message_with_a_descriptor_where_none_is_left(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    let server = std::thread::spawn(move || greet(listener.accept().unwrap().0));
    let device = ivshmem::doorbell(path).vectors(1).connect().unwrap();
    let (stream, vector) = server.join().unwrap();
    let gone = reason_of_the_end(&device);
    let mut files = Vec::new();
    let begin = Instant::now();
    // The device's thread may still be closing a descriptor, and then another peer can join with that number.
    let reason = (1..).find_map(|peer| {
        files.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        assert!(begin.elapsed() < HANG, "{peer} peers joined where no descriptor is left");
        // This fails once the device has ended the connection and reports the reason.
        let _ = send(&stream, peer, Some(&vector));
        gone.recv_timeout(Duration::from_millis(100)).ok()
    });
    drop(files);
    let reason = reason.unwrap();
    assert!(matches!(reason, ConnectionError::OutOfDescriptors { limit: LIMIT }), "{reason}");
}

#[test]
fn a_server_that_sends_descriptors_without_end_leaves_a_quarter_of_them() {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum: before.maximum }).unwrap();
    let place = tempfile::tempdir().unwrap();

    // After the handshake: the session ends, and the announced peers can still be rung.
    let path = place.path().join("after");
    let (begin, may_begin) = mpsc::channel();
    let server = flood(UnixListener::bind(&path).unwrap(), may_begin);
    let device = ivshmem::doorbell(&path).vectors(1).connect().unwrap();
    let gone = reason_of_the_end(&device);
    begin.send(()).unwrap();
    let reason = gone.recv_timeout(HANG).unwrap();
    assert_eq!(reason.kind(), ErrorKind::NoSpace);
    let text = reason.to_string();
    assert!(text.contains("the 400 that") && text.contains("ulimit -n"), "{text}");
    server.join().unwrap();
    let kept = descriptors();
    println!("{kept} of {LIMIT} descriptors kept");
    assert!((LIMIT / 2..=LIMIT - LIMIT / 4 + 2).contains(&kept), "{kept}");
    assert_the_rest_works();
    device.ring(PeerId(1), 0).unwrap();
    device.close();
    drop(device);
    wait_until_descriptors_are_closed();

    a_message_with_more_than_there_is_room_for(&place.path().join("many"));
    wait_until_descriptors_are_closed();

    a_message_with_a_descriptor_where_none_is_left(&place.path().join("none"));

    // During the handshake: connecting fails.
    let path = place.path().join("within");
    let (begin, may_begin) = mpsc::channel();
    let server = flood(UnixListener::bind(&path).unwrap(), may_begin);
    begin.send(()).unwrap();
    let error = ivshmem::doorbell(&path).vectors(2).connect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    server.join().unwrap();
    assert_the_rest_works();

    // The remedy works.
    setrlimit(Resource::Nofile, before).unwrap();
    let path = place.path().join("raised");
    let (begin, may_begin) = mpsc::channel();
    let server = flood(UnixListener::bind(&path).unwrap(), may_begin);
    let device = ivshmem::doorbell(&path).vectors(1).connect().unwrap();
    begin.send(()).unwrap();
    let enough = Instant::now();
    // Without a pause: a program that lists the peers all the time does not delay the thread that receives from the server.
    while device.peers().unwrap().len() < usize::try_from(LIMIT).unwrap() {
        assert!(enough.elapsed() < HANG, "{} peers", device.peers().unwrap().len());
    }
    drop(device);
    server.join().unwrap();
}
