//! `vmtest-linger`: attacks a server on this system, as another user, with descriptors whose last close waits, and reports
//! the effect on honest clients and on SIGTERM. Needs root.
#![expect(clippy::print_stdout, reason = "figures")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use ivshmem_conformance::linger::attack;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

#[derive(Debug, Parser)]
struct Arguments {
    /// The program ivshmem-server.
    server: PathBuf,
    /// How long to attack.
    seconds: u64,
    /// Let the server refuse the attacker's user.
    #[arg(long)]
    refused: bool,
    /// Fail when a goal is not met, and not only when something hangs.
    #[arg(long)]
    goals: bool,
    /// Only attack, at these sockets.
    #[arg(long, hide = true)]
    attack: Vec<PathBuf>,
}

/// User id of the attacker.
const NOBODY: u32 = 65_534;
/// Maximum time for a new client's handshake.
const GREETING: Duration = Duration::from_millis(100);
/// Maximum time for the server to end.
const END: Duration = Duration::from_secs(2);
/// A limit against hanging, far below the duration of one closing.
const HANG: Duration = Duration::from_secs(10);
/// A client that waits this long waits for a closing, however busy the system is.
const HELD_UP: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limit = Rlimit { current: Some(4096), maximum: Some(4096) };
    setrlimit(Resource::Nofile, limit).expect("a lower limit");
    let time = Duration::from_secs(arguments.seconds);
    if !arguments.attack.is_empty() {
        let sockets: Vec<_> = arguments.attack.iter().map(PathBuf::as_path).collect();
        println!("{:?}", attack(&sockets, time).expect("room for the attack"));
        return ExitCode::SUCCESS;
    }
    let place = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).expect("the mode of a folder");
    let (socket, status) = (place.path().join("socket"), place.path().join("status"));
    let mut server = start_server(&arguments, &socket, &status);

    let (_, without_attack) = welcome(&socket, time / 4);
    let own = std::env::current_exe().expect("/proc");
    let mut attacker = Command::new(own);
    attacker.arg(&arguments.server).arg(arguments.seconds.to_string());
    for path in [&socket, &status] {
        attacker.arg("--attack").arg(path);
    }
    let attacker = attacker.uid(NOBODY).gid(NOBODY).stdout(Stdio::piped()).spawn().expect("the attacker");

    let (greeted, slowest) = welcome(&socket, time);
    // The attack continues while the server ends.
    let asked = Instant::now();
    kill_process(Pid::from_child(&server), Signal::TERM).expect("a child");
    wait(&mut server);
    let end = asked.elapsed();
    let attack = attacker.wait_with_output().expect("a child");
    println!("{}", String::from_utf8_lossy(&attack.stdout).trim());
    let limit = if arguments.goals { GREETING } else { HELD_UP };
    let good = end <= END && attack.status.success() && greeted > 0 && slowest <= limit;
    println!(
        "{greeted} newcomers, the slowest greeted after {slowest:.1?} ({GREETING:.0?} {}), {without_attack:.1?} without the \
         attack; ended {end:.1?} after SIGTERM ({END:.0?} {})",
        verdict(slowest <= GREETING),
        verdict(end <= END),
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Connects repeatedly. Returns the number of handshakes and the duration of the longest one.
fn welcome(socket: &Path, time: Duration) -> (u64, Duration) {
    let (mut greeted, mut slowest, begin) = (0, Duration::ZERO, Instant::now());
    while begin.elapsed() < time {
        let came = Instant::now();
        let device = ivshmem::doorbell(socket).vectors(2).timeout(HANG).connect();
        slowest = slowest.max(came.elapsed());
        if let Err(error) = device {
            println!("no greeting: {error}");
            break;
        }
        greeted += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    (greeted, slowest)
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

fn start_server(arguments: &Arguments, socket: &Path, status: &Path) -> Child {
    let mut server = Command::new(&arguments.server);
    server.args(["-F", "-n", "2", "--mode", "666", "--status-mode", "666", "-S"]).arg(socket);
    server.arg("--status").arg(status).stderr(Stdio::null());
    if arguments.refused {
        server.args(["--allow-uid", "0"]);
    }
    let server = server.spawn().expect("the server");
    let begin = Instant::now();
    while !socket.exists() {
        assert!(begin.elapsed() < HANG, "the server does not listen");
        std::thread::sleep(Duration::from_millis(1));
    }
    server
}

/// Waits for the server's end, and kills it when it hangs.
fn wait(server: &mut Child) {
    let begin = Instant::now();
    while begin.elapsed() < HANG {
        if server.try_wait().expect("a child").is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = server.kill();
    let _ = server.wait();
}
