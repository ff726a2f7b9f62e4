//! A server that sends files whose closing waits for a process that does not answer: no caller waits for the closing, and the
//! process keeps its descriptors for other uses. This test needs its own process, because it counts descriptors.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::print_stdout, reason = "figures")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ivshmem::doorbell::PeerEvent;
use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::foreign::{self, ForeignFd, ForeignSocket};
use ivshmem::sys::linux::socket;
use ivshmem::{ErrorKind, PeerId};
use ivshmem_conformance::bare_server::{BareServer, Manner, send};
use ivshmem_conformance::census::{descriptors, eventually, threads};
use ivshmem_conformance::fuse::Fuse;
use ivshmem_conformance::program::Killed;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::pipe;

/// A limit that only a hang exceeds.
const HANG: Duration = Duration::from_secs(20);
/// The variables that make this program a server that sends a file: the path of the file and of the socket.
const SENDS: &str = "IVSHMEM_TEST_SENDS";
const LISTENS: &str = "IVSHMEM_TEST_LISTENS";

/// Runs a hostile server. To most clients it sends the file as the memory, or with a message that must have no descriptor.
fn send_to_all(file: &Path, path: &Path) {
    let file: OwnedFd = OpenOptions::new().read(true).write(true).open(file).unwrap().into();
    let gift = Some(&file);
    for (number, stream) in UnixListener::bind(path).unwrap().incoming().enumerate() {
        let stream = stream.unwrap();
        match number {
            0 => greet_and_send(&stream, &file),
            1 => send_five(&stream, &file),
            2 => {
                greet(&stream);
                // Let the handshake end, then disconnect.
                std::thread::sleep(Duration::from_millis(300));
            }
            _ => {}
        }
        if number == 2 {
            continue;
        }
        if number < 2 {
            let _ = rustix::io::read(&stream, &mut [0; 1]);
            continue;
        }
        let messages = if number < 5 || number % 8 == 3 {
            &[(0, None), (1, None), (-1, gift)][..]
        } else {
            &[(0, gift)]
        };
        // A client that has disconnected needs no further messages.
        if messages.iter().all(|(value, fd)| send(&stream, *value, *fd).is_ok()) {
            let _ = rustix::io::read(&stream, &mut [0; 1]);
        }
    }
}

fn greet(stream: &UnixStream) {
    let (memory, vector) = (memfd_create("memory", MemfdFlags::CLOEXEC).unwrap(), eventfd::create().unwrap());
    ftruncate(&memory, 4096).unwrap();
    for (value, fd) in [(0, None), (1, None), (-1, Some(&memory)), (1, Some(&vector))] {
        send(stream, value, fd).unwrap();
    }
}

/// Greets a client, announces other peers to it, and sends the file with a part of a message.
fn greet_and_send(stream: &UnixStream, file: &OwnedFd) {
    greet(stream);
    let vector = eventfd::create().unwrap();
    // Let the handshake end; later, let a callback occupy the receiving thread.
    std::thread::sleep(Duration::from_millis(100));
    send(stream, EARLY.into(), Some(&vector)).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    send(stream, LATE.into(), Some(&vector)).unwrap();
    socket::send(stream.as_fd(), &[0], Some(file.as_fd())).unwrap();
}

fn send_five(stream: &UnixStream, file: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd(); 5];
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    sendmsg(stream, &[IoSlice::new(&[0; 8])], &mut control, SendFlags::empty()).unwrap();
}

const EARLY: u16 = 2;
const LATE: u16 = 3;

/// Drops a socket that contains a descriptor of a pipe, and returns the pipe's other end, which reports when it is closed.
fn drop_socket() -> OwnedFd {
    let ((ours, theirs), (read, write)) = (UnixStream::pair().unwrap(), pipe().unwrap());
    send(&theirs, 7, Some(&write)).unwrap();
    drop(ForeignSocket::from(OwnedFd::from(ours)));
    read
}

fn wait_for_end(pipe: &OwnedFd) {
    rustix::io::ioctl_fionbio(pipe, true).unwrap();
    eventually("the socket is closed", || rustix::io::read(pipe, &mut [0; 1]) == Ok(0));
}

/// The number of threads that close descriptors, or that end with copies of some.
fn closers() -> usize {
    threads("ivshmem-close")
}

/// A thread that copies the descriptor table to close sockets has no copy of a server's file.
fn sockets_are_closed_while_a_file_cannot_be(file: &ForeignFd) {
    wait_for_end(&drop_socket());
    eventually("the threads that closed the socket have ended", || closers() == 0);
    assert!(!file.is_ram());
}

/// Only a few threads have a copy of this program's own file, which cannot be closed. Returns pipes that report end of file
/// once it can.
fn few_threads_wait_for_a_file_of_this_program() -> Vec<OwnedFd> {
    let before = descriptors();
    let pipes: Vec<_> = (0..20)
        .map(|_| {
            let pipe = drop_socket();
            // Drop the sockets one by one.
            std::thread::sleep(Duration::from_millis(5));
            pipe
        })
        .collect();
    eventually("this process has closed the sockets", || descriptors() == before + pipes.len());
    eventually("the threads without copies have ended", || closers() <= 8);
    println!("{} threads wait for a file of this program", closers());
    assert!(closers() > 0, "this file can be closed");
    pipes
}

/// A file that arrives with a part of a message ends the session, and is closed before a callback may start a program.
fn a_session_keeps_no_file(path: &Path) {
    let device = ivshmem::doorbell(path).connect().unwrap();
    let ((sender, news), (started, has_started)) = (mpsc::channel(), mpsc::channel());
    let listens = device.on_peer(move |event| {
        match event {
            PeerEvent::Connected(peer) if peer.id == PeerId(EARLY) => {
                std::thread::sleep(Duration::from_millis(300));
            }
            PeerEvent::Connected(_) => {
                start_a_program();
                let _ = started.send(());
            }
            _ => {}
        }
        let _ = sender.send(event.clone());
    });
    listens.unwrap().forget();
    has_started.recv_timeout(HANG).expect("a callback may start a program");
    let reason = loop {
        if let PeerEvent::ServerGone { reason } = news.recv_timeout(HANG).expect("the session ends") {
            break reason;
        }
    };
    assert!(reason.to_string().contains("eventfd"), "{reason}");
    device.close();
}

fn a_device_that_comes_back_takes_no_file_for_its_memory(path: &Path) {
    let device = ivshmem::doorbell(path).reconnect(true).connect().unwrap();
    let (sender, news) = mpsc::channel();
    device.on_peer(move |event| drop(sender.send(event.clone()))).unwrap().forget();
    while !matches!(news.recv_timeout(HANG).expect("an event"), PeerEvent::MemoryReplaced) {}
    device.close();
}

/// A handshake makes one copy of a file, however often the receiving thread peeks at the message.
fn a_greeting_makes_no_copies(path: &Path) {
    // Let idle threads end.
    std::thread::sleep(Duration::from_millis(300));
    let before = closers();
    let error = ivshmem::doorbell(path).connect().unwrap_err();
    assert!(error.to_string().contains("a file system in user space (fuse)"), "{error}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(closers(), before + 1);
}

fn several_with_one_message_hold_up_no_caller(path: &Path) {
    let connect = ivshmem::doorbell(path).timeout(Duration::from_millis(200));
    let error = within_the_limit(move || connect.connect().unwrap_err());
    assert!(error.to_string().contains("several descriptors"), "{error}");
}

/// A file that is being closed does not delay a program that this one starts.
fn start_a_program() {
    within_the_limit(|| assert!(Command::new("/bin/true").status().unwrap().success()));
}

fn within_the_limit<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    is_done.recv_timeout(HANG).expect("it waits for a file to be closed")
}

#[test]
fn files_whose_closing_is_never_answered_hold_up_no_caller_and_take_no_descriptors() {
    if let (Some(file), Some(path)) = (std::env::var_os(SENDS), std::env::var_os(LISTENS)) {
        send_to_all(Path::new(&file), Path::new(&path));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let test = "files_whose_closing_is_never_answered_hold_up_no_caller_and_take_no_descriptors";
    let Some(fuse) = Fuse::for_the_only_test(test, place.path()) else { return };
    let path = place.path().join("hostile");
    let _hostile = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--quiet"])
            .env(SENDS, fuse.file())
            .env(LISTENS, &path)
            .spawn()
            .unwrap(),
    );
    // Dropped before the other process, which cannot end while closing its file is not answered.
    let mut fuse = fuse;
    eventually("the server listens", || path.exists());
    let before_all = descriptors();
    let foreign = ForeignFd::from(OwnedFd::from(File::open(fuse.file()).unwrap()));
    sockets_are_closed_while_a_file_cannot_be(&foreign);
    let own = foreign.into_owned();
    let pipes = few_threads_wait_for_a_file_of_this_program();
    // Remove the file from the table, because a program that this one starts would wait for it as well.
    drop(ForeignFd::from(own));
    eventually("it is closed in another thread", || descriptors() == before_all + pipes.len());
    let before = descriptors();
    a_session_keeps_no_file(&path);
    start_a_program();
    several_with_one_message_hold_up_no_caller(&path);
    start_a_program();
    a_device_that_comes_back_takes_no_file_for_its_memory(&path);
    start_a_program();
    a_greeting_makes_no_copies(&path);
    let mut refused = 0;
    for _ in 0..60 {
        let begin = Instant::now();
        let error = ivshmem::doorbell(&path).timeout(Duration::from_millis(200)).connect().unwrap_err();
        assert!(begin.elapsed() < HANG, "{error} after {:?}", begin.elapsed());
        if error.kind() == ErrorKind::NoSpace {
            let text = error.to_string();
            assert!(
                text.contains("files or eventfds and 0 sockets that a server sent") && text.contains("FUSE"),
                "{text}"
            );
            refused += 1;
        }
    }
    println!("{refused} of 60 refused, {} descriptors", descriptors());
    // Each earlier connection leaves one or a few files.
    assert!((30..60).contains(&refused), "{refused}");
    // The descriptors of the connections themselves are closed soon.
    eventually("they are closed", || descriptors() < before + 10);
    start_a_program();

    // The remedy.
    fuse.answer();
    pipes.iter().for_each(wait_for_end);
    eventually("the files are closed", || foreign::wait_for_room(Duration::ZERO).is_ok());
    let path = place.path().join("honest");
    let _honest = BareServer::start(&path, Manner::default()).unwrap();
    ivshmem::doorbell(&path).connect().unwrap();
}
