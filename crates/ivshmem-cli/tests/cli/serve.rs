//! `serve`: a server in the foreground.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ivshmem_conformance::checkout;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{bad, good, ivshmem, run, run_with_input};

/// `ivshmem serve` in a separate directory. Killed on drop.
pub(crate) struct Served {
    dir: TempDir,
    child: Child,
    /// Its output before it was ready.
    greeting: String,
}

impl Served {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_by(ivshmem(), options)
    }

    fn start_by(command: Command, options: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), command, options)
    }

    /// Kills this server, and starts another one at the same path.
    pub(crate) fn restart(mut self, options: &[&str]) -> Self {
        let dir = std::mem::replace(&mut self.dir, TempDir::new().unwrap());
        drop(self);
        Self::start_in(dir, ivshmem(), options)
    }

    fn start_in(dir: TempDir, mut command: Command, options: &[&str]) -> Self {
        let mut child = command
            .arg("serve")
            .arg(dir.path().join("s.sock"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("programs:") {
            assert_ne!(lines.read_line(&mut greeting).unwrap(), 0, "ended early: {greeting}");
        }
        child.stdout = Some(lines.into_inner());
        Self { dir, child, greeting }
    }

    pub(crate) fn target(&self) -> String {
        format!("doorbell:{}", self.socket().display())
    }

    fn socket(&self) -> Box<Path> {
        self.dir.path().join("s.sock").into()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn memory_of_a_server_is_shared_by_all_who_connect() {
    let server = Served::start(&["--size", "64K", "--vectors", "2"]);
    let target = server.target();
    good(&run_with_input(&["write", &target, "0x10"], b"Hello World!"));
    let read = run(&["read", &target, "16", "12"]);
    good(&read);
    assert_eq!(read.stdout, b"Hello World!");
    let info = run(&["info", &target, "--json"]);
    good(&info);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((info["kind"].as_str(), info["size"].as_u64()), (Some("doorbell"), Some(64 << 10)));
    assert_eq!((info["vectors"].as_u64(), info["peers"].as_array().unwrap().len()), (Some(2), 0));
    assert!(info["id"].is_u64());
}

#[test]
fn it_says_what_to_type_next_and_ends_cleanly_with_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut server = Served::start(&["--vectors", "3"]);
        kill_process(Pid::from_child(&server.child), Signal::USR1).unwrap();
        kill_process(Pid::from_child(&server.child), Signal::USR2).unwrap();
        let socket = server.socket();
        // doctor/machine.rs types all of it.
        let qemu = format!("-chardev socket,path={},id=", socket.display());
        assert!(server.greeting.contains(&qemu), "{}", server.greeting);
        assert!(server.greeting.contains(&server.target()), "{}", server.greeting);
        kill_process(Pid::from_child(&server.child), signal).unwrap();
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert!(!socket.exists(), "the socket was left behind");
        let mut rest = String::new();
        server.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn it_takes_the_options_of_the_server() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let gid = rustix::process::getegid().as_raw().to_string();
    let (status, object) = (path("status"), path("object"));
    let options = [
        "-l",
        "1M",
        "-n",
        "3",
        "--mode",
        "640",
        "--owner",
        &format!(":{gid}"),
        "--status",
        &status,
        "--status-mode",
        "644",
        "-m",
        dir.path().to_str().unwrap(),
        "-M",
        "object",
        "--max-clients",
        "2",
        "--connection-rate",
        "1000",
    ];
    let server = Served::start(&options);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&server.socket()), mode(status.as_ref())), (0o640, 0o644));
    assert_eq!(fs::metadata(&object).unwrap().len(), 1 << 20);
    let output = run(&["status", &status, "--json"]);
    good(&output);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["limits"]["clients"], &json["limits"]["connection_rate"]), (&2.into(), &1000.into()));
    assert_eq!(json["server"]["vectors"], 3);
}

#[test]
fn a_socket_in_this_directory_is_told_with_its_whole_path() {
    let dir = TempDir::new().unwrap();
    let mut command = ivshmem();
    command.args(["serve", "s.sock", "--json"]).current_dir(dir.path());
    let mut child = KilledOnDrop(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let socket = dir.path().canonicalize().unwrap().join("s.sock");
    assert_eq!(event["socket"], socket.to_str().unwrap());
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

/// A server that should not start is killed after a time limit.
fn in_time(words: &[&str], directory: &Path) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "20", checkout::built("ivshmem")]).args(words).current_dir(directory);
    command.output().unwrap()
}

#[test]
fn what_looks_like_a_target_is_no_socket_and_the_right_form_is_told() {
    let dir = TempDir::new().unwrap();
    for (target, right) in
        [("doorbell:z", "write z,"), ("bogus:x", "write x, or ./bogus:x"), ("auto", "write ./auto")]
    {
        for verb in ["serve", "status"] {
            let text = bad(&in_time(&[verb, target], dir.path()), 2);
            assert!(text.contains("a socket is a path") && text.contains(right), "{text}");
        }
        assert!(bad(&in_time(&["serve", "s.sock", "--status", target], dir.path()), 2).contains(right));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_socket_in_use_is_refused_and_the_first_server_lives_on() {
    let server = Served::start(&[]);
    let socket = server.socket();
    let text = bad(&run(&["serve", socket.to_str().unwrap()]), 1);
    assert!(text.contains("another server"), "{text}");
    good(&run(&["info", &server.target()]));
}

#[test]
fn a_size_that_is_rounded_up_is_said_and_who_comes_is_logged() {
    let mut server = Served::start(&["--size", "3M"]);
    assert!(server.greeting.contains("4194304 bytes"), "{}", server.greeting);
    good(&run(&["info", &server.target()]));
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("3145728 bytes rounded up to 4194304") && log.contains("connected"), "{log}");
}

#[test]
fn output_that_nobody_reads_or_that_cannot_be_written_keeps_it_from_nothing() {
    let full = || {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        while rustix::io::write(&writer, &[b'.'; 4096]).is_ok() {}
        fcntl_setfl(&writer, OFlags::empty()).unwrap();
        (Some(reader), writer)
    };
    let broken = || (None, pipe_with(PipeFlags::CLOEXEC).unwrap().1);
    let device = || (None, OwnedFd::from(File::options().write(true).open("/dev/full").unwrap()));
    for (what, out, err) in
        [("not read", full(), full()), ("broken", broken(), broken()), ("full", device(), device())]
    {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("s.sock");
        let mut command = ivshmem();
        command.args(["serve", socket.to_str().unwrap()]).stdin(Stdio::null()).stdout(out.1).stderr(err.1);
        let mut child = KilledOnDrop(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while !socket.exists() {
            assert_eq!(child.0.try_wait().unwrap(), None, "{what}");
            assert!(Instant::now() < deadline, "{what}");
        }
        for _ in 0..3 {
            good(&run(&["info", &format!("doorbell:{}", socket.display())]));
        }
        kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(0), "{what}");
        assert!(!socket.exists(), "{what}");
    }
}

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_limit_of_open_files_is_raised_to_the_hard_one() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=100:200", checkout::built("ivshmem")]);
    let server = Served::start_by(command, &[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["200", "200"]);
}

#[test]
fn what_cannot_be_served_is_refused_with_the_limit() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("s.sock");
    let socket = socket.to_str().unwrap();
    assert!(bad(&run(&["serve", socket, "--size", "0"]), 2).contains("4K to 1T"));
    bad(&run(&["serve", socket, "--size", "1Z"]), 2);
    bad(&run(&["serve", socket, "--vectors", "257"]), 2);
    bad(&run(&["serve", "/nonexistent/s.sock"]), 1);
    let long = format!("/tmp/{}", "x".repeat(120));
    assert!(bad(&run(&["serve", &long]), 1).contains("107"));
}

#[test]
fn what_is_no_server_is_told_with_a_remedy() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("packets.sock");
    let packets = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::bind(&packets, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&packets, 1).unwrap();
    let socket = path.to_str().unwrap();
    for words in [["info", &format!("doorbell:{socket}")], ["status", socket]] {
        let text = bad(&run(&words), 1);
        assert!(text.contains("of another type than a server's, so name the one of"), "{text}");
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, dir.path()] {
        let text = bad(&run(&["status", path.to_str().unwrap()]), 1);
        assert!(text.contains("is no socket") && text.contains("--status SOCKET"), "{text}");
        assert!(!text.contains("start the server"), "{text}");
    }
}

#[test]
fn memory_that_does_not_fit_into_the_limits_of_a_client_is_told_with_a_remedy() {
    let server = Served::start(&["--size", "1G"]);
    let mut limited = Command::new("prlimit");
    limited.args(["--as=300000000", checkout::built("ivshmem"), "info", &server.target()]);
    let text = bad(&limited.output().unwrap(), 1);
    assert!(text.contains("has 1073741824 bytes and cannot be mapped"), "{text}");
    assert!(text.ends_with("raise the limit (ulimit -v)\n"), "{text}");
}
