//! Output that cannot be written, or that nothing reads, costs lines and nothing else.

use std::fs::{self, File};
use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ivshmem_conformance::skip;
use ivshmem_server::Server;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use crate::client::{Client, eventually};
use crate::daemon::program;

/// A full pipe without an active reader.
fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    while rustix::io::write(&writer, &[b'.'; 512]).is_ok() {}
    // Blocking, like any pipe that a program gets.
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::empty()).unwrap();
    (reader.into(), writer)
}

/// A pipe whose reader is gone.
fn broken_pipe() -> OwnedFd {
    pipe_with(PipeFlags::CLOEXEC).unwrap().1
}

fn full_device() -> OwnedFd {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A server in the foreground with this standard error, killed on drop.
struct Running(Child);

impl Running {
    fn start(socket: &Path, arguments: &[&str], stderr: OwnedFd) -> Self {
        let mut command = program();
        command.args(["-F", "-S"]).arg(socket).arg("--status").arg(socket.with_extension("status"));
        let mut running = Self(command.args(arguments).stderr(Stdio::from(stderr)).spawn().unwrap());
        eventually("it listens", || {
            assert_eq!(running.0.try_wait().unwrap(), None, "it has ended");
            UnixStream::connect(socket).is_ok()
        });
        running
    }

    fn ends_cleanly(mut self, socket: &Path) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let begin = Instant::now();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert!(!socket.exists() && !socket.with_extension("status").exists());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lost_lines(socket: &Path) -> u64 {
    let mut text = String::new();
    UnixStream::connect(socket.with_extension("status")).unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["counters"]["lost_log_lines"].as_u64().unwrap()
}

#[test]
fn a_log_that_cannot_be_written_is_counted_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let cases: [(&str, &[&str], OwnedFd); 4] = [
        ("a reader that is gone", &[], broken_pipe()),
        ("a full device", &[], full_device()),
        ("a full device and a reader that is gone", &["--log", "/dev/full"], broken_pipe()),
        ("a full device twice", &["--log", "/dev/full"], full_device()),
    ];
    for (what, arguments, stderr) in cases {
        let running = Running::start(&socket, arguments, stderr);
        (0..3).for_each(|_| drop(Client::greeted(&socket, 1)));
        eventually("what is lost is counted", || lost_lines(&socket) > 3);
        println!("{what}: {} lines lost", lost_lines(&socket));
        running.ends_cleanly(&socket);
    }
}

#[test]
fn a_log_that_nobody_reads_delays_no_client_and_no_end_and_says_afterwards_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let (mut reader, writer) = full_pipe();
    let running = Running::start(&socket, &["-v"], writer.try_clone().unwrap());
    let begin = Instant::now();
    (0..20).for_each(|_| drop(Client::greeted(&socket, 1)));
    println!("20 clients greeted in {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    drop(writer);
    // Waiting lines are kept for a late reader.
    let (mut log, mut part) = (String::new(), [0; 4096]);
    while !log.contains("client connected") {
        let count = reader.read(&mut part).unwrap();
        log += std::str::from_utf8(&part[..count]).unwrap();
    }
    assert!(log.contains("listening"), "{log}");
    running.ends_cleanly(&socket);

    let (_reader, writer) = full_pipe();
    Running::start(&socket, &[], writer).ends_cleanly(&socket);
}

#[test]
fn after_lines_were_lost_the_next_that_can_be_written_says_how_many() {
    if !geteuid().is_root() {
        return skip("after_lines_were_lost_the_next_that_can_be_written_says_how_many", "not root");
    }
    let dir = tempfile::tempdir().unwrap();
    let (socket, disk) = (dir.path().join("s"), dir.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    let _mounted = Mounted::at(&disk);
    let (log, filler) = (disk.join("log"), disk.join("filler"));
    let fill = File::create(&filler).unwrap();
    while std::io::Write::write(&mut &fill, &[0; 512]).is_ok() {}
    let arguments = ["--log", log.to_str().unwrap()];
    let running = Running::start(&socket, &arguments, File::create("/dev/null").unwrap().into());
    let clients = || drop(Client::greeted(&socket, 1));
    clients();
    eventually("lines are lost", || lost_lines(&socket) > 3);
    fs::remove_file(&filler).unwrap();
    drop(fill);
    eventually("the log says so", || {
        clients();
        fs::read_to_string(&log).unwrap_or_default().contains("lines of the log were lost")
    });
    let text = fs::read_to_string(&log).unwrap();
    let line = text.lines().find(|line| line.contains("were lost")).unwrap();
    let told: u64 = line.rsplit_once("lines=").unwrap().1.parse().unwrap();
    assert!(told > 0 && told <= lost_lines(&socket), "{line}");
    running.ends_cleanly(&socket);
}

/// A small tmpfs, unmounted on drop.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn at(path: &'a Path) -> Self {
        let mut mount = Command::new("mount");
        assert!(mount.args(["-t", "tmpfs", "-o", "size=64K", "none"]).arg(path).status().unwrap().success());
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn exit_statuses_are_the_documented_ones_though_nobody_can_be_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let _server = Server::builder(&socket).start().unwrap();
    let socket = socket.to_str().unwrap();
    let in_use: &[&str] = &["-F", "-S", socket];
    let cases: [(&[&str], i32); 6] = [
        (&["-h"], 0),
        (&["-V"], 0),
        (&["-n", "257"], 2),
        (&["--no-such-option"], 2),
        (&["-F", "-S", "/nonexistent/s"], 1),
        (in_use, 3),
    ];
    for (arguments, code) in cases {
        let (_reader, full) = full_pipe();
        for stderr in [broken_pipe(), full_device(), full] {
            let run = |stdout: OwnedFd| {
                let stderr = Stdio::from(stderr.try_clone().unwrap());
                program().args(arguments).stdout(stdout).stderr(stderr).status().unwrap().code()
            };
            if code == 2 && is_full(&stderr) {
                continue; // clap writes its own text, as in every program, and waits for its reader.
            }
            assert_eq!(run(File::create("/dev/null").unwrap().into()), Some(code), "{arguments:?}");
            // Help that is not read to its end is not a failure; help that cannot be written is one.
            assert_eq!(run(broken_pipe()), Some(code), "{arguments:?} into a broken pipe");
            let full = if code == 0 { 1 } else { code };
            assert_eq!(run(full_device()), Some(full), "{arguments:?} into a full device");
        }
    }
}

fn is_full(fd: &OwnedFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::OUT)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).unwrap() == 0
}

#[test]
fn a_log_is_a_file_of_this_user_that_others_cannot_read_or_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
    let server = |log: &Path| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "umask 0; exec timeout --signal=KILL 20 \"$0\" \"$@\""])
            .arg(program().get_program());
        shell.args(["-F", "-S"]).arg(&socket).arg("--log").arg(log);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // Created, and appended to.
    for starts in 1..=2 {
        let mut child = server(&log);
        eventually("it listens", || UnixStream::connect(&socket).is_ok());
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait().unwrap();
        eventually("it has stopped", || !socket.exists());
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("listening")).count(), starts, "{text}");
        assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o640);
    }
    let mut child = server(Path::new("/dev/null"));
    eventually("it listens", || UnixStream::connect(&socket).is_ok());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    eventually("it has stopped", || !socket.exists());

    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let [link, pipe, other, second] = ["link", "pipe", "other", "second"].map(|name| dir.path().join(name));
    symlink(&precious, &link).unwrap();
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::hard_link(&precious, &second).unwrap();
    fs::write(&other, "").unwrap();
    let mut refused = vec![&link, &pipe, &second];
    let directory = dir.path().to_owned();
    refused.push(&directory);
    if geteuid().is_root() {
        chown(&other, Some(65_534), None).unwrap();
        refused.push(&other);
    }
    for path in refused {
        let output = server(path).wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(path.to_str().unwrap()) && error.contains("log"), "{error}");
        assert!(!socket.exists());
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

#[test]
fn a_pid_file_is_not_shared_with_another_user_and_a_readers_lock_stops_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, pid_file) = (dir.path().join("s"), dir.path().join("pid"));
    fs::write(&pid_file, "4194303999\n").unwrap();
    let reader = File::open(&pid_file).unwrap();
    flock(&reader, FlockOperation::LockExclusive).unwrap();
    let arguments = ["-p", pid_file.to_str().unwrap()];
    let running = Running::start(&socket, &arguments, File::create("/dev/null").unwrap().into());
    let now = fs::metadata(&pid_file).unwrap();
    assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), running.0.id().to_string());
    assert_eq!((now.mode() & 0o777, now.uid()), (0o644, geteuid().as_raw()));
    running.ends_cleanly(&socket);
    assert!(!pid_file.exists());

    if geteuid().is_root() {
        fs::write(&pid_file, "1\n").unwrap();
        fs::set_permissions(&pid_file, fs::Permissions::from_mode(0o666)).unwrap();
        chown(&pid_file, Some(65_534), None).unwrap();
        let output = program().args(["-F", "-S"]).arg(&socket).args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("user 65534") && !socket.exists(), "{error}");
        assert_eq!(fs::read(&pid_file).unwrap(), b"1\n");
    }
}
