//! Round trips of interrupts between two processes, compared with a bare ping-pong over blocking eventfds.
//!
//! `cargo run --release -p ivshmem-bench --bin doorbell`
//!
//! All variants alternate in the same two processes with the same pinning: one process rings, the other one rings back.
#![expect(clippy::disallowed_methods, reason = "a baseline may wait for the other end of its socket")]
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has failed")]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem_bench::{Limit, Report, pin};
use rustix::event::EventfdFlags;

const TRIPS: u32 = 5_000;
const ROUNDS: usize = 21;

/// The method of waiting and ringing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// write and read on blocking eventfds.
    Bare,
    Wait,
    Callback,
}

const WAYS: [Way; 3] = [Way::Bare, Way::Wait, Way::Callback];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, role, path, cpu] = &arguments[..] {
        assert_eq!(role, "pong");
        pong(Path::new(path), cpu.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let mut report = Report::default();
    for (cpu, place) in [(1, "on two processors"), (0, "on one processor")] {
        let [wait, callback] = ping(cpu, place);
        if cpu == 1 {
            report.goal(&format!("round trip of wait {place}"), wait, Limit::AtMost(1.15));
            report.goal(&format!("round trip of callbacks {place}"), callback, Limit::AtMost(1.6));
        } else {
            println!("for information, {place}: wait {:.3}, callback {:.3}", median(wait), median(callback));
        }
    }
    report.exit_code()
}

fn median(values: Vec<f64>) -> f64 {
    ivshmem_bench::median(values)
}

/// Ratios of `wait` and of callbacks to the bare ping-pong, one of each per round.
fn ping(pong_cpu: usize, place: &str) -> [Vec<f64>; 2] {
    pin(0);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server");
    let _server = ivshmem_server::Server::builder(&path).size(4096).vectors(2).start().unwrap();
    let device = Arc::new(ivshmem::doorbell(&path).vectors(2).connect().unwrap());
    let mut other = Pong::start(directory.path(), pong_cpu);
    let mine = Side::new(&device, other.id, true);
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for (way, times) in WAYS.iter().zip(&mut times) {
            other.begin(*way);
            let time = mine.ping(*way, &other.eventfds);
            other.end();
            // The first round is a warm-up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let [bare, wait, callback] = &times;
    let ratio = |ours: &[f64]| ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect::<Vec<_>>();
    let micros = |times: &[f64]| median(times.to_vec()) / f64::from(TRIPS) * 1e6;
    println!(
        "  {place}: bare {:.2} us, wait {:.2} us, callback {:.2} us a round trip",
        micros(bare),
        micros(wait),
        micros(callback)
    );
    [ratio(wait), ratio(callback)]
}

/// The other process: its standard input and output are the bare eventfds, and it receives orders over a socket.
fn pong(directory: &Path, cpu: usize) {
    pin(cpu);
    let device = Arc::new(ivshmem::doorbell(directory.join("server")).vectors(2).connect().unwrap());
    let mut orders = UnixStream::connect(directory.join("orders")).unwrap();
    orders.write_all(&device.own_id().unwrap().0.to_le_bytes()).unwrap();
    let peer = device.peers().unwrap()[0].id;
    let side = Side::new(&device, peer, false);
    let mut order = [0];
    while orders.read_exact(&mut order).is_ok() {
        side.pong(WAYS[usize::from(order[0])], || orders.write_all(&[0]).unwrap());
        orders.write_all(&[0]).unwrap();
    }
}

struct Pong {
    child: Child,
    orders: UnixStream,
    id: PeerId,
    /// The eventfd that the child waits on, and the one that it rings.
    eventfds: [OwnedFd; 2],
}

impl Pong {
    fn start(directory: &Path, cpu: usize) -> Self {
        let listener = UnixListener::bind(directory.join("orders")).unwrap();
        let eventfds = [(); 2].map(|()| rustix::event::eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["pong".as_ref(), directory.as_os_str(), cpu.to_string().as_ref()])
            .stdin(Stdio::from(eventfds[0].try_clone().unwrap()))
            .stdout(Stdio::from(eventfds[1].try_clone().unwrap()))
            .spawn()
            .unwrap();
        let mut orders = listener.accept().unwrap().0;
        let mut id = [0; 2];
        orders.read_exact(&mut id).unwrap();
        Self { child, orders, id: PeerId(u16::from_le_bytes(id)), eventfds }
    }

    /// Returns when the other process is ready to answer.
    fn begin(&mut self, way: Way) {
        let index = u8::try_from(WAYS.iter().position(|w| *w == way).unwrap()).unwrap();
        self.orders.write_all(&[index]).unwrap();
        self.end();
    }

    /// Returns when the other process has finished.
    fn end(&mut self) {
        self.orders.read_exact(&mut [0]).unwrap();
    }
}

impl Drop for Pong {
    fn drop(&mut self) {
        self.orders.shutdown(Shutdown::Both).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// One process's end of the ping-pong.
struct Side<'a> {
    device: &'a Arc<Device>,
    peer: PeerId,
    begins: bool,
}

impl<'a> Side<'a> {
    fn new(device: &'a Arc<Device>, peer: PeerId, begins: bool) -> Self {
        while device.peer(peer).unwrap().is_none_or(|p| p.vectors < 2) {
            std::thread::yield_now();
        }
        Self { device, peer, begins }
    }

    /// Seconds for all trips.
    fn ping(&self, way: Way, [there, back]: &[OwnedFd; 2]) -> f64 {
        let begin = Instant::now();
        match way {
            Way::Bare => {
                for _ in 0..TRIPS {
                    rustix::io::write(there, &1_u64.to_ne_bytes()).unwrap();
                    rustix::io::read(back, &mut [0; 8]).unwrap();
                }
            }
            Way::Wait => {
                for _ in 0..TRIPS {
                    self.device.ring(self.peer, 0).unwrap();
                    self.device.wait(0, None).unwrap();
                }
            }
            Way::Callback => self.callbacks(|| self.device.ring(self.peer, 0).unwrap()),
        }
        begin.elapsed().as_secs_f64()
    }

    fn pong(&self, way: Way, ready: impl FnOnce()) {
        match way {
            Way::Bare => {
                let (mine, theirs) = (std::io::stdin(), std::io::stdout());
                ready();
                for _ in 0..TRIPS {
                    rustix::io::read(&mine, &mut [0; 8]).unwrap();
                    rustix::io::write(&theirs, &1_u64.to_ne_bytes()).unwrap();
                }
            }
            Way::Wait => {
                ready();
                for _ in 0..TRIPS {
                    self.device.wait(0, None).unwrap();
                    self.device.ring(self.peer, 0).unwrap();
                }
            }
            Way::Callback => self.callbacks(ready),
        }
    }

    /// Rings back from a callback once per trip. `first` starts the ping-pong, or reports that it can start.
    fn callbacks(&self, first: impl FnOnce()) {
        let (sender, receiver) = mpsc::channel();
        let (device, peer, begins) = (Arc::clone(self.device), self.peer, self.begins);
        let mut left = TRIPS;
        let answer = move |_| {
            left -= 1;
            // The side that started the last trip does not start another one.
            if !(begins && left == 0) {
                device.ring(peer, 0).unwrap();
            }
            if left == 0 {
                sender.send(()).unwrap();
            }
        };
        let registration = self.device.on_interrupt(0, answer).unwrap();
        first();
        receiver.recv().unwrap();
        drop(registration);
    }
}
