//! Descriptors whose closing waits: no thread of the caller waits for the closing, and no resource is left. This test needs its
//! own process, so that the counts include nothing else.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::print_stdout, reason = "figures")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::doorbell::PeerEvent;
use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::foreign::{ForeignFd, ForeignSocket};
use ivshmem::sys::linux::peer::refuse_descriptors;
use ivshmem_conformance::bare_server::{BareServer, Manner, send};
use ivshmem_conformance::census::{descriptors, eventually, threads};
use ivshmem_conformance::linger::{Lingering, knows_urgent, send_all, send_all_urgently};
use ivshmem_conformance::skip;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// The time that a closing waits, unless the other end reads.
const LINGER: Duration = Duration::from_secs(30);
/// A limit that only a hang exceeds. All tests are much faster, and LINGER is longer.
const HANG: Duration = Duration::from_secs(10);

/// Runs one test at a time, because each counts threads and descriptors of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    eventually("the threads of the test before have ended", || closers() == 0);
    alone
}

fn closers() -> usize {
    threads("ivshmem-close")
}

/// Fails if `act` takes so long that it waited for a closing.
fn at_once<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = act();
    println!("{what}: {:?}", begin.elapsed());
    assert!(begin.elapsed() < HANG, "{what} took {:?}", begin.elapsed());
    result
}

#[test]
fn dropping_what_lingers_waits_neither_here_nor_in_the_thread_that_closes_it() {
    let _alone = alone();
    let before = descriptors();
    let lingering: Vec<_> = (0..20).map(|_| Lingering::new(LINGER).unwrap()).collect();
    let (sockets, readers): (Vec<_>, Vec<_>) = lingering.into_iter().map(|l| (l.socket, l.reader)).unzip();
    at_once("20 drops", || drop(sockets.into_iter().map(ForeignFd::from).collect::<Vec<_>>()));
    // Queued after those, and not delayed by them.
    let (read, write) = UnixStream::pair().unwrap();
    drop(ForeignFd::from(OwnedFd::from(write)));
    eventually("the last one is closed", || matches!(rustix::io::read(&read, &mut [0; 1]), Ok(0)));
    eventually("the threads have ended", || closers() == 0);
    drop((readers, read));
    eventually("nothing is left", || descriptors() == before);
}

#[test]
fn a_socket_with_lingering_descriptors_in_it_is_closed_without_waiting_and_its_end_is_seen_at_once() {
    let _alone = alone();
    let before = descriptors();
    let lingering = Lingering::new(LINGER).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    send(&theirs, 7, Some(&lingering.socket)).unwrap();
    drop(lingering.socket);
    at_once("the drop", || drop(ForeignSocket::from(OwnedFd::from(ours))));
    assert!(send(&theirs, 7, None).is_err(), "the connection has ended");
    eventually("the threads have ended", || closers() == 0);
    drop((theirs, lingering.reader));
    eventually("nothing is left", || descriptors() == before);
}

#[test]
fn connections_of_honest_processes_are_closed_without_a_thread() {
    let _alone = alone();
    let before = descriptors();
    let (ours, theirs) = UnixStream::pair().unwrap();
    // Before Linux 6.16, closing any socket may also close sockets of other processes.
    let is_new = refuse_descriptors(&ours).unwrap();
    drop(ForeignSocket::from(OwnedFd::from(ours)));
    assert_eq!(rustix::io::read(&theirs, &mut [0; 1]), Ok(0));
    if is_new {
        assert_eq!((closers(), descriptors()), (0, before + 1));
    }
    drop(theirs);
    eventually("that one is closed as well", || descriptors() == before);
}

/// A server that runs `script` for one client.
struct Hostile {
    place: tempfile::TempDir,
    thread: JoinHandle<Vec<TcpStream>>,
}

impl Hostile {
    fn new(script: impl FnOnce(&UnixStream) -> Vec<TcpStream> + Send + 'static) -> Self {
        let place = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(place.path().join("socket")).unwrap();
        let thread = std::thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            let baits = script(&stream);
            // Wait until the client disconnects.
            let _ = rustix::io::read(&stream, &mut [0; 1]);
            baits
        });
        Self { place, thread }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }
}

fn memory() -> OwnedFd {
    let fd = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4096).unwrap();
    fd
}

/// An honest handshake: the client has id 1 and one vector.
fn greet(stream: &UnixStream) {
    send(stream, 0, None).unwrap();
    send(stream, 1, None).unwrap();
    send(stream, -1, Some(&memory())).unwrap();
    send(stream, 1, Some(&eventfd::create().unwrap())).unwrap();
}

/// Sends a lingering socket with an out-of-band byte.
fn send_urgent(stream: &UnixStream) -> Vec<TcpStream> {
    let bait = Lingering::new(LINGER).unwrap();
    if send_all_urgently(stream, vec![bait.socket]).unwrap() { vec![bait.reader] } else { Vec::new() }
}

/// Sends `count` lingering sockets with one message, and returns their other ends, which would have to read.
fn send_lingering(stream: &UnixStream, value: i64, count: usize) -> Vec<TcpStream> {
    let (sockets, readers): (Vec<_>, Vec<_>) =
        (0..count).map(|_| Lingering::new(LINGER).unwrap()).map(|bait| (bait.socket, bait.reader)).unzip();
    // A client that has disconnected needs none.
    if send_all(stream, value, sockets).unwrap() { readers } else { Vec::new() }
}

#[test]
fn a_limit_of_time_holds_whatever_a_server_sends_in_its_greeting() {
    let _alone = alone();
    the_limit_holds([
        ("with the version", Box::new(|s| send_lingering(s, 0, 1)), ErrorKind::Protocol),
        ("many with one message", Box::new(|s| send_lingering(s, 0, 5)), ErrorKind::Protocol),
        ("as many as one message has", Box::new(|s| send_lingering(s, 0, 253)), ErrorKind::Protocol),
        (
            "as the memory",
            Box::new(|s| {
                send(s, 0, None).unwrap();
                send(s, 1, None).unwrap();
                send_lingering(s, -1, 1)
            }),
            ErrorKind::Protocol,
        ),
        (
            "as a vector",
            Box::new(|s| {
                send(s, 0, None).unwrap();
                send(s, 1, None).unwrap();
                send(s, -1, Some(&memory())).unwrap();
                send_lingering(s, 1, 1)
            }),
            ErrorKind::Protocol,
        ),
        (
            "behind a message that is never complete",
            Box::new(|s| {
                rustix::io::write(s, &[0; 7]).unwrap();
                std::thread::sleep(Duration::from_millis(400));
                send_lingering(s, 0, 1)
            }),
            ErrorKind::TimedOut,
        ),
    ]);
}

#[test]
fn a_limit_of_time_holds_whatever_a_server_sends_out_of_band_in_its_greeting() {
    let _alone = alone();
    if !knows_urgent().unwrap() {
        return skip("a_limit_of_time_holds_whatever_a_server_sends_out_of_band_in_its_greeting", NOT_URGENT);
    }
    the_limit_holds([
        (
            "out of band, before all else",
            Box::new(|s| {
                let baits = send_urgent(s);
                let _ = send(s, 0, None);
                baits
            }),
            ErrorKind::Protocol,
        ),
        (
            "out of band, in a message",
            Box::new(|s| {
                rustix::io::write(s, &[0; 3]).unwrap();
                let baits = send_urgent(s);
                let _ = send(s, 0, None);
                baits
            }),
            ErrorKind::Protocol,
        ),
    ]);
}

/// The reason for skipping a test.
const NOT_URGENT: &str = "this kernel sends nothing out of band over Unix sockets";

/// What a server sends in its handshake. Returns the other ends of the sent sockets.
type Script = Box<dyn FnOnce(&UnixStream) -> Vec<TcpStream> + Send>;

fn the_limit_holds<const N: usize>(scripts: [(&str, Script, ErrorKind); N]) {
    for (what, script, kind) in scripts {
        let before = descriptors();
        let server = Hostile::new(script);
        let limit = Duration::from_millis(200);
        let connect = || ivshmem::doorbell(server.socket()).timeout(limit).connect().unwrap_err();
        let error = at_once(what, connect);
        assert_eq!(error.kind(), kind, "{what}: {error}");
        drop((server.thread.join().unwrap(), server.place));
        eventually("nothing is left", || closers() == 0 && descriptors() == before);
    }
}

/// While a descriptor is open that may be a file from another process, no thread may copy the descriptor table. Then the threads
/// that close lingering sockets wait for them.
#[test]
fn no_server_is_heard_while_many_sockets_cannot_be_closed() {
    let _alone = alone();
    let before = descriptors();
    let (other_end, pipe) = rustix::pipe::pipe().unwrap();
    let open = ForeignFd::from(pipe);
    let (sockets, readers): (Vec<_>, Vec<_>) =
        (0..70).map(|_| Lingering::new(LINGER).unwrap()).map(|bait| (bait.socket, bait.reader)).unzip();
    at_once("70 drops", || drop(sockets.into_iter().map(ForeignFd::from).collect::<Vec<_>>()));
    // Let the threads detect that they may not copy the table.
    std::thread::sleep(Duration::from_millis(300));
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("honest");
    let honest = BareServer::start(&path, Manner::default()).unwrap();
    let error = at_once("connecting", || ivshmem::doorbell(&path).connect().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("70 sockets that a server sent"), "{error}");
    // The remedy.
    drop((open, readers));
    eventually("they are closed", || ivshmem::doorbell(&path).connect().is_ok());
    drop((honest, other_end));
    eventually("nothing is left", || closers() == 0 && descriptors() == before);
}

#[test]
fn neither_the_end_of_a_session_nor_closing_waits_for_what_the_server_sent() {
    let _alone = alone();
    for rings_before_closing in [true, false] {
        let before = descriptors();
        let server = Hostile::new(move |s| {
            greet(s);
            std::thread::sleep(Duration::from_millis(300));
            // All but the first stay in the socket: the client has ended the session by then, or is closing.
            (2..8).flat_map(|peer| send_lingering(s, peer, 1)).collect()
        });
        let device = ivshmem::doorbell(server.socket()).vectors(1).connect().unwrap();
        let (sender, news) = mpsc::channel();
        device.on_peer(move |event| drop(sender.send(event.clone()))).unwrap().forget();
        if rings_before_closing {
            let gone = at_once("the end of the session", || news.recv_timeout(HANG)).unwrap();
            assert!(
                matches!(&gone, PeerEvent::ServerGone { reason } if reason.kind() == ErrorKind::Protocol),
                "{gone:?}"
            );
            device.ring(1, 0).unwrap();
            assert!(device.wait(0, Some(Instant::now() + HANG)).unwrap());
        }
        at_once("closing", || device.close());
        drop(device);
        drop((server.thread.join().unwrap(), server.place));
        eventually("nothing is left", || closers() == 0 && descriptors() == before);
    }
}

/// An out-of-band byte is part of the stream: it makes later messages invalid, and the receiving thread does not spin.
#[test]
fn a_byte_out_of_band_is_received_in_its_place() {
    let _alone = alone();
    if !knows_urgent().unwrap() {
        return skip("a_byte_out_of_band_is_received_in_its_place", NOT_URGENT);
    }
    let before = descriptors();
    let server = Hostile::new(move |s| {
        greet(s);
        std::thread::sleep(Duration::from_millis(100));
        assert!(send_all_urgently(s, Vec::new()).unwrap());
        rustix::io::write(s, &[0; 7]).unwrap();
        Vec::new()
    });
    let device = ivshmem::doorbell(server.socket()).vectors(1).connect().unwrap();
    let (sender, news) = mpsc::channel();
    device.on_peer(move |event| drop(sender.send(event.clone()))).unwrap().forget();
    let gone = at_once("the end of the session", || news.recv_timeout(HANG)).unwrap();
    let PeerEvent::ServerGone { reason } = &gone else { panic!("{gone:?}") };
    assert_eq!(reason.kind(), ErrorKind::Protocol, "{reason}");
    device.close();
    drop((device, server.thread.join().unwrap(), server.place));
    eventually("nothing is left", || closers() == 0 && descriptors() == before);
}
