//! Connecting to a server with many peers, compared with a minimal loop that receives the same messages.
//!
//! `cargo run --release -p ivshmem-bench --bin connect`
#![expect(clippy::disallowed_methods, reason = "a baseline may wait for the other end of its socket")]
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has failed")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::mapping::Mapping;
use ivshmem_bench::{Limit, Report, pin};
use ivshmem_conformance::bare_server::{BareServer, Manner};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const SIZE: u64 = 1 << 20;
const VECTORS: u16 = 64;
const ROUNDS: usize = 31;

fn main() -> ExitCode {
    // Each vector of each peer takes one descriptor in the server and one in the client.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut report = Report::default();

    let path = place.path().join("own");
    let server = ivshmem_server::Server::builder(&path).size(SIZE).vectors(VECTORS.into()).start().unwrap();
    measure(&mut report, "connect to our server, 16 peers x 64 vectors", &path, 16);
    server.stop().unwrap();

    let path = place.path().join("bare");
    let manner = Manner { size: SIZE, vectors: VECTORS, in_pieces: true, ..Manner::default() };
    let server = BareServer::start(&path, manner).unwrap();
    measure(&mut report, "connect to a server like QEMU's, 4 peers x 64 vectors, in pieces", &path, 4);
    drop(server);
    report.exit_code()
}

fn measure(report: &mut Report, name: &str, path: &Path, peers: u16) {
    pin(0);
    let crowd: Vec<_> = (0..peers).map(|_| Drain::start(path)).collect();
    // Waits for a handshake that announces all peers: all later ones are the same.
    while ivshmem::doorbell(path).vectors(VECTORS).connect().unwrap().peers().unwrap().len()
        < usize::from(peers)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let messages = 3 + usize::from(VECTORS) * usize::from(peers + 1);
    let mut ratios = Vec::new();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        settle();
        let begin = Instant::now();
        let received = bare_loop(path, messages);
        let bare = begin.elapsed();
        drop(received);

        settle();
        let begin = Instant::now();
        // A long time limit, so that a pause of a busy machine is not taken for the end; the real end is detected at once.
        let device = ivshmem::doorbell(path).quiet(Duration::from_secs(1)).connect().unwrap();
        let ours = begin.elapsed();
        assert_eq!((device.peers().unwrap().len(), device.vectors()), (usize::from(peers), VECTORS));
        drop(device);
        ratios.push(ours.as_secs_f64() / bare.as_secs_f64());
        times[0].push(bare.as_secs_f64() * 1e6);
        times[1].push(ours.as_secs_f64() * 1e6);
    }
    let [bare, ours] = times.map(ivshmem_bench::median);
    println!("  bare loop {bare:.0} us, connect {ours:.0} us");
    report.goal(name, ratios, Limit::AtMost(2.0));
    drop(crowd);
}

/// Waits until the server has announced the last client's end to all others.
fn settle() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Receives this many messages as fast as a program can that trusts the server and knows their number.
fn bare_loop(path: &Path, messages: usize) -> (UnixStream, Vec<OwnedFd>, Mapping) {
    let stream = UnixStream::connect(path).unwrap();
    let mut fds = Vec::with_capacity(messages);
    let mut mapping = None;
    let mut whole = 0;
    let mut filled = 0;
    while whole < messages {
        let mut bytes = [0; 8];
        filled += receive(&stream, &mut bytes[filled..], &mut fds);
        if filled == 8 {
            filled = 0;
            whole += 1;
            if whole == 3 {
                mapping = Some(Mapping::new(&fds[0], 0, SIZE.try_into().unwrap(), false).unwrap());
            }
        }
    }
    (stream, fds, mapping.unwrap())
}

fn receive(stream: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> usize {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut room = [std::io::IoSliceMut::new(bytes)];
    let received = recvmsg(stream, &mut room, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    received.bytes
}

/// A peer that reads its messages and discards them.
struct Drain {
    stream: UnixStream,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    fn start(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (reader, stopped) = (stream.try_clone().unwrap(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut fds = Vec::new();
            while !stopped.load(Ordering::Relaxed) && receive(&reader, &mut [0; 8], &mut fds) > 0 {
                fds.clear();
            }
        });
        Self { stream, stop, thread: Some(thread) }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}
