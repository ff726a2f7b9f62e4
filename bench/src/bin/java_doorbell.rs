//! Round trips of interrupts between two Java virtual machines, compared with a bare ping-pong of two processes over
//! blocking eventfds.
//!
//! `scripts/bench java_doorbell` builds what it needs and runs it for each JVM: `java_doorbell JAVA CLASSPATH OPTION...`.
//!
//! Both pairs have the same pinning: the side that rings first runs on processor 0, the side that answers on processor 1,
//! with all of its threads. The bare pair runs before and after each method of the JVMs, which is compared with the mean of
//! both runs. Blocking reads are the fastest bare form that sleeps: poll() would add a system call.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is for people to look at")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has failed")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ivshmem_bench::{Limit, Report, median, pin};
use rustix::event::EventfdFlags;

const TRIPS: u32 = 4_000;
/// Trips until the JIT compilers of both machines have finished.
const WARM_UP: u32 = 30_000;
const ROUNDS: usize = 21;
const WAYS: [&str; 2] = ["wait", "callback"];
const PINGING: usize = 0;
const PONGING: usize = 1;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [role] = &arguments[..] {
        assert_eq!(role, "pong");
        pong();
    }
    let [java, class_path, options @ ..] = &arguments[..] else {
        eprintln!("usage: java_doorbell JAVA CLASSPATH OPTION...; scripts/bench java_doorbell calls it");
        return ExitCode::from(2);
    };
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("server");
    let _server = ivshmem_server::Server::builder(&socket).size(4096).vectors(1).start().unwrap();

    let mut pair = Pair::start(&|cpu| Jvm::start(java, class_path, options, &socket, cpu));
    let bare = Bare::start();
    pin(PINGING);
    println!("  {}", pair.version);
    for way in WAYS {
        pair.trips(way, WARM_UP);
    }
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut ratios: [Vec<f64>; 2] = Default::default();
    let mut bares = Vec::new();
    let mut before = bare.trips(TRIPS);
    for _ in 0..ROUNDS {
        for (i, way) in WAYS.iter().enumerate() {
            let time = pair.trips(way, TRIPS);
            let after = bare.trips(TRIPS);
            times[i].push(time);
            ratios[i].push(time / ((before + after) / 2.0));
            bares.push(after);
            before = after;
        }
    }
    let [wait, callback] = times.map(median);
    println!(
        "  bare {:.2} us, wait {wait:.2} us, callback {callback:.2} us a round trip; Ivshmem4j 1.2 not measured",
        median(bares)
    );
    let [wait, callback] = ratios;
    let mut report = Report::default();
    report.goal("round trip of waitInterrupt between two JVMs", wait, Limit::AtMost(1.3));
    report.goal("round trip of routines between two JVMs", callback, Limit::AtMost(1.3));
    report.exit_code()
}

/// The other bare process. Its standard input and output are the eventfds; it runs until it is killed.
fn pong() -> ! {
    let (mine, theirs) = (std::io::stdin(), std::io::stdout());
    loop {
        rustix::io::read(&mine, &mut [0; 8]).unwrap();
        rustix::io::write(&theirs, &1_u64.to_ne_bytes()).unwrap();
    }
}

struct Bare {
    child: Child,
    there: OwnedFd,
    back: OwnedFd,
}

impl Bare {
    fn start() -> Self {
        pin(PONGING);
        let [there, back] = [(); 2].map(|()| rustix::event::eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .arg("pong")
            .stdin(Stdio::from(there.try_clone().unwrap()))
            .stdout(Stdio::from(back.try_clone().unwrap()))
            .spawn()
            .unwrap();
        Self { child, there, back }
    }

    /// Microseconds per trip.
    fn trips(&self, trips: u32) -> f64 {
        let begin = Instant::now();
        for _ in 0..trips {
            rustix::io::write(&self.there, &1_u64.to_ne_bytes()).unwrap();
            rustix::io::read(&self.back, &mut [0; 8]).unwrap();
        }
        micros(begin.elapsed(), trips)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn micros(time: Duration, trips: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(trips)
}

/// One JVM with the class `Doorbell` of java/jmh. It reads orders as lines and answers each with a line.
struct Jvm {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Jvm {
    fn start(
        java: &OsString,
        class_path: &OsString,
        options: &[OsString],
        socket: &Path,
        cpu: usize,
    ) -> Self {
        pin(cpu);
        let mut child = Command::new(java)
            .args(options)
            .arg("-cp")
            .arg(class_path)
            .arg("io.github.alexanderschuetz97.ivshmem4j.jmh.Doorbell")
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, answers }
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "a JVM has ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

struct Pair {
    ping: Jvm,
    pong: Jvm,
    version: String,
}

impl Pair {
    fn start(jvm: &dyn Fn(usize) -> Jvm) -> Self {
        let (mut ping, mut pong) = (jvm(PINGING), jvm(PONGING));
        let version = ping.answer();
        pong.answer();
        let ids = [ping.answer(), pong.answer()];
        ping.order(&ids[1]);
        pong.order(&ids[0]);
        Self { ping, pong, version }
    }

    /// Microseconds per trip.
    fn trips(&mut self, way: &str, trips: u32) -> f64 {
        self.pong.order(&format!("pong {way} {trips}"));
        assert_eq!(self.pong.answer(), "ready");
        self.ping.order(&format!("ping {way} {trips}"));
        let time = Duration::from_nanos(self.ping.answer().parse().unwrap());
        assert_eq!(self.pong.answer(), "done");
        micros(time, trips)
    }
}
