//! A thousand clients of one server: whether every client knows all others, how long the next connection takes, and what
//! each client costs.
//!
//! `cargo build --release -p ivshmem-server && cargo run --release -p ivshmem-bench --bin crowd`
//!
//! The server announces n clients with v vectors each to a new client, and the new client to each of them: 2 n v messages
//! with a descriptor each, and n n v for n connections. The protocol requires that, so the baseline is a minimal loop that
//! sends and receives the same number of messages.
#![expect(clippy::disallowed_methods, reason = "a baseline may wait for the other end of its socket")]
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has failed")]

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::socket::{Sent, send};
use ivshmem_bench::{Limit, Report};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

const CLIENTS: usize = 1_000;
const VECTORS: u16 = 4;
const ROUNDS: usize = 11;
/// Numbers of clients at which the next connection is measured.
const STEPS: [usize; 4] = [125, 250, 500, CLIENTS];

fn main() -> ExitCode {
    ivshmem_server::raise_descriptor_limit().unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("server.sock");
    let server = Server::start(&path);
    let mut crowd = Crowd::new(&path);
    let mut report = Report::default();
    let idle = server.memory();

    for step in STEPS {
        let (begin, cpu, before) = (Instant::now(), server.cpu(), crowd.clients.len());
        while crowd.clients.len() < step {
            crowd.join();
        }
        crowd.settle();
        let (wall, cpu, joined) = (begin.elapsed(), server.cpu() - cpu, step - before);
        println!(
            "  {step} clients x {VECTORS} vectors: the last {joined} joined in {:.2} s; the server took {:.2} ms of \
             processor for each of them and has {:.1} KiB of memory for each client",
            wall.as_secs_f64(),
            cpu.as_secs_f64() * 1e3 / joined as f64,
            (server.memory() - idle) as f64 / 1024.0 / step as f64,
        );
        next_one(&mut report, &mut crowd, step);
    }
    let complete = crowd.clients.iter().filter(|client| client.knows_all(CLIENTS)).count();
    report.goal(
        "clients of 1,000 that know every vector of every other",
        vec![complete as f64 / CLIENTS as f64],
        Limit::AtLeast(1.0),
    );
    report.exit_code()
}

/// Measures one new client with this many others: the time until its handshake is complete, and until all others know it.
fn next_one(report: &mut Report, crowd: &mut Crowd, clients: usize) {
    let (mut ratios, mut own, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare = bare_loop(clients);
        let begin = Instant::now();
        crowd.join();
        crowd.drive(|crowd| crowd.clients[clients].is_greeted());
        own.push(begin.elapsed().as_secs_f64() * 1e3);
        crowd.settle();
        let elapsed = begin.elapsed();
        all.push(elapsed.as_secs_f64() * 1e3);
        ratios.push(elapsed.as_secs_f64() / bare.as_secs_f64());
        crowd.leave();
    }
    println!(
        "  the next one is greeted after {:.2} ms and known to all after {:.2} ms",
        ivshmem_bench::median(own),
        ivshmem_bench::median(all)
    );
    let name = format!("time to admit one more with {clients}, to that of the bare messages");
    report.goal(&name, ratios, Limit::AtMost(2.0));
}

/// Sends and receives as many messages with a descriptor as one new client costs, one after the other.
fn bare_loop(clients: usize) -> Duration {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let gift = eventfd::create().unwrap();
    let messages = 3 + usize::from(VECTORS) * (2 * clients + 1);
    let mut buffer = [0; 8];
    let begin = Instant::now();
    for _ in 0..messages {
        assert_eq!(send(ours.as_fd(), &buffer, Some(gift.as_fd())).unwrap(), Sent::Bytes(8));
        assert!(receive(&theirs, &mut buffer).unwrap().is_some());
    }
    begin.elapsed()
}

/// Receives one message and its descriptor, from a trusted server.
fn receive(socket: &UnixStream, bytes: &mut [u8; 8]) -> rustix::io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    assert_eq!(received.bytes, 8, "whole messages only");
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}

/// The product in a separate process, so that its memory and its processor time can be measured.
struct Server(Child);

impl Server {
    fn start(path: &Path) -> Self {
        let program = std::env::current_exe().unwrap().with_file_name("ivshmem-server");
        let mut command = Command::new(&program);
        command.args(["-F", "--log-level", "error", "-l", "1M", "-n", &VECTORS.to_string(), "-S"]).arg(path);
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}; build it first", program.display()));
        while UnixStream::connect(path).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self(child)
    }

    /// Resident memory in bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Processor time used so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // After the name, which may contain any character; utime and stime are fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// All clients; one thread drives them.
struct Crowd<'a> {
    path: &'a Path,
    epoll: OwnedFd,
    clients: Vec<Client>,
}

/// One client, which counts its messages and keeps no descriptor.
struct Client {
    socket: UnixStream,
    messages: usize,
    id: usize,
    /// Announced vectors of each client, itself included, indexed by id.
    told: Vec<u16>,
    /// Number of clients of which all vectors are announced.
    whole: usize,
}

impl<'a> Crowd<'a> {
    fn new(path: &'a Path) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        Self { path, epoll, clients: Vec::new() }
    }

    fn join(&mut self) {
        let socket = UnixStream::connect(self.path).unwrap();
        let token = EventData::new_u64(self.clients.len().try_into().unwrap());
        epoll::add(&self.epoll, &socket, token, EventFlags::IN).unwrap();
        self.clients.push(Client { socket, messages: 0, id: usize::MAX, told: Vec::new(), whole: 0 });
    }

    /// Disconnects the last client, and waits until all others have received that.
    fn leave(&mut self) {
        drop(self.clients.pop());
        self.settle();
    }

    /// Drives the clients until each of them knows exactly the connected ones.
    fn settle(&mut self) {
        self.drive(|crowd| crowd.clients.iter().all(|client| client.whole == crowd.clients.len()));
    }

    fn drive(&mut self, done: impl Fn(&Self) -> bool) {
        let mut events = Vec::with_capacity(256);
        while !done(self) {
            epoll::wait(&self.epoll, spare_capacity(&mut events), None).unwrap();
            for event in events.drain(..) {
                self.clients[usize::try_from(event.data.u64()).unwrap()].read();
            }
        }
    }
}

impl Client {
    fn read(&mut self) {
        let mut bytes = [0; 8];
        loop {
            match receive(&self.socket, &mut bytes) {
                Ok(fd) => self.take(i64::from_le_bytes(bytes), fd),
                Err(Errno::AGAIN) => return,
                Err(e) => panic!("{e}"),
            }
        }
    }

    fn take(&mut self, value: i64, fd: Option<OwnedFd>) {
        self.messages += 1;
        match (self.messages, usize::try_from(value), fd) {
            (1, Ok(0), None) | (3, Err(_), Some(_)) => {}
            (2, Ok(id), None) => self.id = id,
            (4.., Ok(id), Some(_)) => {
                if id >= self.told.len() {
                    self.told.resize(id + 1, 0);
                }
                self.told[id] += 1;
                self.whole += usize::from(self.told[id] == VECTORS);
                assert!(self.told[id] <= VECTORS, "{id} has too many vectors");
            }
            (4.., Ok(id), None) => {
                self.whole -= usize::from(self.told[id] == VECTORS);
                self.told[id] = 0;
            }
            (nth, value, fd) => panic!("message {nth} is {value:?} with {fd:?}"),
        }
    }

    fn is_greeted(&self) -> bool {
        self.told.get(self.id) == Some(&VECTORS)
    }

    fn knows_all(&self, clients: usize) -> bool {
        self.whole == clients && self.told.iter().filter(|told| **told > 0).count() == clients
    }
}
