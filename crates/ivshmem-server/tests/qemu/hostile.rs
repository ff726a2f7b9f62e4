//! A process of another user that does everything a client can do to the server, while clients and a QEMU must lose
//! nothing.
//!
//! A few seconds in every run; `IVSHMEM_SOAK_SECONDS` sets the number of seconds in `make soak`.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::socket::{Received, Receiver, send};
use ivshmem_conformance::program;
use serde_json::Value;

use crate::client::{Client, agree, read_until};
use crate::daemon::{Daemon, open_dir};
use crate::descriptors::count;
use crate::machine::{QEMU, Qemu};
use crate::process::{Launch, Nobody, Process, all_here, eventually, raise_descriptor_limit};

const TARGET: &str = "IVSHMEM_TEST_HOSTILE_TO";
const SECONDS: &str = "IVSHMEM_SOAK_SECONDS";
const VECTORS: usize = 4;

/// Memory limit of the server with some hundred clients and every id used up: far above what it needs.
const MEMORY: u64 = 128 << 20;

#[test]
fn hostile_clients_of_every_kind_cost_the_others_nothing_and_the_server_little() {
    if !all_here(&["root", "setpriv", QEMU]) {
        return;
    }
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    raise_descriptor_limit();
    let dir = open_dir();
    let status = dir.path().join("status");
    let args = ["-n", "4", "--mode", "666", "--status", status.to_str().unwrap()];
    let mut server = Daemon::start(dir.path(), &args);
    let join = || Client::connect(&server.socket, VECTORS).greeted();
    let mut clients: Vec<_> = (0..3).map(|_| join()).collect();
    let mut qemu = Qemu::connect(dir.path(), "qemu", &server.socket, 4);
    let census = agree(&mut clients, 4);
    qemu.note_internal(&census);
    let descriptors = count(server.process.id());
    let memory_before = most_memory(&server.process);

    let (hostile, cpu_before, begin) =
        (hostile_process(dir.path(), &server.socket), server.process.processor_time(), Instant::now());
    let (mut greeted, mut slowest) = (0, Duration::ZERO);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let round = Instant::now();
        let newcomer = join();
        let id = newcomer.id();
        assert_eq!(newcomer.refused(), None, "the hostile user has its own ration of ids");
        read_until("the others hear of an honest newcomer", &mut clients, |c| {
            c.iter().all(|c| c.peers().get(&id).is_some_and(|vectors| vectors.len() == VECTORS))
        });
        drop(newcomer);
        read_until("the others hear of its end", &mut clients, |c| {
            c.iter().all(|c| !c.peers().contains_key(&id))
        });
        slowest = slowest.max(round.elapsed());
        greeted += 1;
        server.process.assert_alive();
        qemu.assert_alive();
    }
    let memory = most_memory(&server.process);
    let (cpu, elapsed) = (server.process.processor_time() - cpu_before, begin.elapsed());
    println!(
        "hostile: {}",
        hostile.log().lines().rfind(|line| line.starts_with("of each")).unwrap_or_default()
    );
    drop(hostile);

    // Afterwards the state is as before.
    let mut after = agree(&mut clients, 4);
    assert_eq!(after, census);
    qemu.await_exactly(&census);
    clients.push(join());
    after = agree(&mut clients, 5);
    qemu.await_exactly(&after);
    clients.pop();
    agree(&mut clients, 4);
    eventually("the descriptors are as many as before", || count(server.process.id()) == descriptors);
    let status: Value = serde_json::from_slice(&read_all(&status)).unwrap();
    let lines = server.process.log().lines().filter(|line| !line.contains("DEBUG")).count();
    println!(
        "{elapsed:.0?} with hostile clients: {} connections accepted, refused {}, {} messages; {greeted} honest \
         newcomers, the slowest known to all after {slowest:.1?}; the server took {:.2} of a processor, {} KiB of \
         memory at most and {} KiB before, and logged {lines} lines",
        status["counters"]["accepted"],
        status["counters"]["refused"],
        status["counters"]["messages"],
        cpu.as_secs_f64() / elapsed.as_secs_f64(),
        memory >> 10,
        memory_before >> 10,
    );
    assert!(greeted > 0 && memory < MEMORY, "{memory} bytes");
    assert!(status["counters"]["accepted"].as_u64().unwrap() > 100, "the hostile ones were there: {status}");
}

/// Peak memory of a process in bytes.
fn most_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn read_all(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut UnixStream::connect(path).unwrap(), &mut bytes).unwrap();
    bytes
}

/// Runs this test program again, as another user who has no access to the build directory.
fn hostile_process(dir: &Path, server: &Path) -> Process {
    let program = dir.join("hostile");
    program::copy(std::env::current_exe().unwrap(), &program);
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let args = ["--exact", "hostile::hostile_client_process", "--nocapture"];
    let launch = Launch::new(&program, args, dir.join("hostile.log")).run_as(Nobody(64_020));
    launch.env(TARGET, server).start()
}

#[test]
fn hostile_client_process() {
    let Some(server) = std::env::var_os(TARGET).map(PathBuf::from) else { return };
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            let server = &server;
            scope.spawn(move || Hostile::new(server, seed).rage());
        }
    });
}

/// One thread of the hostile process.
struct Hostile<'a> {
    server: &'a Path,
    random: u64,
    held: Vec<UnixStream>,
    done: [u64; 9],
}

/// Maximum number of connections that one thread holds.
const HELD: usize = 150;

impl<'a> Hostile<'a> {
    fn new(server: &'a Path, seed: u64) -> Self {
        Self { server, random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), held: Vec::new(), done: [0; 9] }
    }

    fn rage(&mut self) {
        for n in 0_u64.. {
            let what = self.below(9);
            self.done[what] += 1;
            // Ignores that the server closes the connection, refuses it or is full.
            let _ = self.harm(what);
            while self.held.len() > HELD {
                let which = self.below(self.held.len());
                drop(self.held.swap_remove(which));
            }
            if n.is_multiple_of(100) {
                println!("of each kind {:?}", self.done);
            }
        }
    }

    fn harm(&mut self, what: usize) -> std::io::Result<()> {
        let mut stream = UnixStream::connect(self.server)?;
        match what {
            // Disconnects at once, many times.
            0 => {}
            1 => {
                for _ in 0..self.below(200) {
                    drop(UnixStream::connect(self.server)?);
                }
            }
            // Sends garbage until the socket is full.
            2 | 3 => {
                let byte = u8::try_from(self.below(256)).unwrap();
                stream.set_nonblocking(true)?;
                let garbage = vec![byte; 1 + self.below(1 << 16)];
                let written = stream.write(&garbage);
                if what == 3 {
                    self.held.push(stream);
                }
                written?;
            }
            // Half-open: never reads.
            4 => self.held.push(stream),
            // Reads some messages, cut at any position, and stops.
            5 => {
                let bytes = self.below(200);
                self.read(&stream, bytes);
                self.held.push(stream);
            }
            // Shuts down one direction.
            6 => {
                let halves = [Shutdown::Write, Shutdown::Read];
                stream.shutdown(halves[self.below(2)])?;
                self.held.push(stream);
            }
            // Sends descriptors, which the protocol does not have.
            7 => {
                for _ in 0..self.below(20) {
                    send(stream.as_fd(), b"take this", Some(stream.as_fd()))?;
                }
                self.held.push(stream);
            }
            // Reads on in an old connection.
            _ => {
                if !self.held.is_empty() {
                    let which = self.below(self.held.len());
                    let (old, bytes) = (self.held[which].try_clone()?, self.below(4_000));
                    self.read(&old, bytes);
                }
            }
        }
        Ok(())
    }

    /// Reads at most `bytes` bytes, whatever they are.
    fn read(&mut self, stream: &UnixStream, mut bytes: usize) {
        let (mut receiver, mut buffer) = (Receiver::from(stream), [0; 8]);
        let patience = Instant::now() + Duration::from_millis(5);
        while bytes > 0 && Instant::now() < patience {
            let at_most = bytes.min(1 + self.below(buffer.len()));
            match receiver.receive(&mut buffer[..at_most]) {
                Ok(Received::Bytes(read, _)) => bytes -= read,
                Ok(Received::WouldBlock) => std::thread::yield_now(),
                _ => return,
            }
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % u64::try_from(limit).unwrap()).unwrap()
    }
}
