//! The program: its options, exit codes and signals, and what it leaves behind.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use ivshmem_conformance::huge_pages::HugePages;
use ivshmem_conformance::program::{Killed, copy};
use ivshmem_conformance::{checkout, skip};
use ivshmem_server::Server;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::client::{Client, HANG, eventually};
use crate::memory::Mounted;

pub(crate) fn program() -> Command {
    let mut command = Command::new(checkout::built("ivshmem-server"));
    command.stdin(Stdio::null());
    command
}

/// A server in the foreground, killed on drop.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it listens.
    pub(crate) fn start(mut command: Command, socket: &Path) -> Self {
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut daemon = Self { child };
        eventually("the daemon listens", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("ended with {status}: {}", daemon.log());
            }
            std::os::unix::net::UnixStream::connect(socket).is_ok()
        });
        daemon
    }

    /// Stops it with a signal. Returns its exit code, unless it was killed, and its log.
    pub(crate) fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        (status.code(), self.log())
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str], socket: &Path) -> Output {
    program().arg("-S").arg(socket).args(arguments).output().unwrap()
}

fn foreground(arguments: &[&str], socket: &Path) -> Daemon {
    let mut command = program();
    command.arg("-F").arg("-S").arg(socket).args(arguments);
    Daemon::start(command, socket)
}

#[test]
fn every_size_gives_the_right_region_or_a_clear_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    for (text, bytes) in [
        ("4G", 4 << 30),
        ("5G", 8 << 30),
        ("3M", 4 << 20),
        ("4K", 4 << 10),
        ("4k", 4 << 10),
        ("1", 4 << 10),
        ("64G", 64 << 30),
        ("1T", 1 << 40),
        ("4294967296", 4 << 30),
    ] {
        let daemon = foreground(&["-l", text], &socket);
        assert_eq!(Client::greeted(&socket, 1).size(), bytes, "-l {text}");
        let (_, log) = daemon.stop(Signal::TERM);
        assert_eq!(log.contains("rounded up"), matches!(text, "5G" | "3M" | "1"), "{log}");
    }
    for text in ["0", "1Z", "-1", "2T", "x", "", "4X", "18446744073709551616"] {
        let output = run(&["-F", "-l", text], &socket);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "-l {text}: {error}");
        assert!(error.contains("size"), "{error}");
        assert!(!socket.exists());
    }
}

#[test]
fn every_number_of_vectors_is_served_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    for vectors in [1, 64, 65, 256] {
        let daemon = foreground(&["-n", &vectors.to_string()], &socket);
        let mut first = Client::greeted(&socket, vectors);
        let second = Client::greeted(&socket, vectors);
        first.read_until_peers_are([second.id], vectors);
        assert!(!first.has_news() && !second.has_news());
        drop(daemon);
    }
    for text in ["257", "x", "-1", "", "4294967297"] {
        let output = run(&["-F", "-n", text], &socket);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "-n {text}: {error}");
        assert!(error.contains("--vectors"), "{error}");
    }
}

#[test]
fn without_f_it_goes_to_the_background_when_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, pid_file, log) = (dir.path().join("s"), dir.path().join("pid"), dir.path().join("log"));
    let pid_argument = pid_file.to_str().unwrap();
    // Reads both outputs to their end, which also proves that the daemon closes them.
    let output = run(&["-p", pid_argument, "--log", log.to_str().unwrap()], &socket);
    let pid = Background::of(&pid_file);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    Client::greeted(&socket, 1);

    let again = run(&["-p", pid_argument], &dir.path().join("other"));
    assert_eq!(again.status.code(), Some(3), "the pid file is held");
    let again = run(&["-p", dir.path().join("pid2").to_str().unwrap()], &socket);
    assert_eq!(again.status.code(), Some(3));
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("another server listens"), "{error}");
    assert!(!dir.path().join("pid2").exists());

    Client::greeted(&socket, 1);
    kill_process(pid.0, Signal::TERM).unwrap();
    eventually("it is gone and has cleaned up", || !socket.exists() && !pid_file.exists());
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("listening") && log.contains("client connected"), "{log}");
}

/// A process in the background, killed on drop if it still runs.
struct Background(Pid);

impl Background {
    fn of(pid_file: &Path) -> Self {
        let pid = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        Self(Pid::from_raw(pid).unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn a_pid_file_never_harms_another_file_and_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, precious) = (dir.path().join("s"), dir.path().join("precious"));
    fs::write(&precious, "precious").unwrap();
    let link = dir.path().join("link");
    symlink(&precious, &link).unwrap();
    for path in [&precious, &link, &dir.path().join("missing/pid")] {
        let output = run(&["-F", "-p", path.to_str().unwrap()], &socket);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!socket.exists());
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    let stale = dir.path().join("pid");
    fs::write(&stale, "4194303999\n").unwrap();
    let daemon = foreground(&["-p", stale.to_str().unwrap()], &socket);
    eventually("the pid file is written", || {
        fs::read_to_string(&stale).unwrap().trim() == daemon.child.id().to_string()
    });
    assert_eq!(daemon.stop(Signal::INT).0, Some(0));
    assert!(!stale.exists());
}

/// All signals whose default action ends a process, except those for faults and those that a process sends to itself.
const ENDS: [Signal; 13] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::XCPU,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::POWER,
    Signal::STKFLT,
    Signal::TRAP,
    Signal::SYS,
];

#[test]
fn signals_by_which_others_reload_do_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let daemon = foreground(&[], &socket);
    for signal in [Signal::USR1, Signal::USR2] {
        kill_process(daemon.pid(), signal).unwrap();
    }
    drop(Client::greeted(&socket, 1));
    let (code, log) = daemon.stop(Signal::TERM);
    assert_eq!((code, socket.exists()), (Some(0), false), "{log}");
}

#[test]
fn signals_that_ask_to_stop_end_it_with_success_and_leave_nothing() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let socket = dir.path().join("s");
    // The first and the last real-time signal in glibc's numbering.
    for number in ENDS.map(Signal::as_raw).into_iter().chain([34, 64]) {
        let directory = dir.path().to_str().unwrap();
        let mut daemon = foreground(&["-m", directory, "-M", "object"], &socket);
        let mut client = Client::greeted(&socket, 1);
        let kill = Command::new("kill").arg(format!("-{number}")).arg(daemon.child.id().to_string()).status();
        assert!(kill.unwrap().success());
        let status = daemon.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{number}, {status}: {}", daemon.log());
        assert!(client.raw().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// A handler that runs would consume the signal before the descriptor that the server waits for reports it.
#[test]
fn no_moment_of_a_start_takes_a_signal_that_asks_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let term = 1 << (Signal::TERM.as_raw() - 1);
    for start in 0..100 {
        let mut command = program();
        command.args(["-F", "-l", "4K", "-S"]).arg(dir.path().join(format!("s{start}")));
        let server = Killed(command.stderr(Stdio::null()).spawn().unwrap());
        // Without a pause: the interval between the two is less than a tenth of a millisecond.
        let begin = Instant::now();
        while {
            let [caught, blocked] = masks(server.0.id(), ["SigCgt:", "SigBlk:"]);
            assert_eq!(caught & !blocked & term, 0);
            caught & term == 0
        } {
            assert!(begin.elapsed() < HANG, "its handlers are not there after {HANG:?}");
        }
    }
}

/// The signal is pending before the program starts: blocked and pending signals survive exec.
#[test]
fn a_signal_ends_a_start_that_takes_space_before_it_listens() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    // `timeout` kills a server that the signal does not end, and that may block it.
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", "/usr/bin/python3", "-c", PENDING]).arg(program().get_program());
    command.args(["-F", "-v", "-l", "4K", "-M", "object", "-m"]).arg(dir.path());
    let output = command.arg("-S").arg(dir.path().join("s")).stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("stopped after 0 of the memory's 4096 bytes"), "{log}");
    assert!(!log.contains("listening"), "{log}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

const PENDING: &str = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])";

/// On hugetlbfs, where every signal interrupts the kernel while it allocates space.
#[test]
fn signals_that_ask_for_nothing_interrupt_no_start() {
    let name = "signals_that_ask_for_nothing_interrupt_no_start";
    let _pages = match HugePages::add(256) {
        Ok(pages) => pages,
        Err(why) => return skip(name, &why),
    };
    let (dir, huge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(_mounted) = Mounted::at(huge.path()) else {
        return skip(name, "hugetlbfs cannot be mounted here");
    };
    let (socket, usr1) = (dir.path().join("s"), 1 << (Signal::USR1.as_raw() - 1));
    let mut command = program();
    command.args(["-F", "-l", "512M", "-m"]).arg(huge.path()).arg("-S").arg(&socket);
    let mut daemon = Daemon { child: command.stderr(Stdio::piped()).spawn().unwrap() };
    eventually("its handlers are there", || masks(daemon.child.id(), ["SigCgt:"])[0] & usr1 != 0);
    let mut sent = 0;
    eventually("it listens", || {
        kill_process(daemon.pid(), Signal::USR1).unwrap();
        sent += 1;
        if let Some(status) = daemon.child.try_wait().unwrap() {
            panic!("ended with {status}: {}", daemon.log());
        }
        socket.exists()
    });
    println!("{sent} signals");
    assert_eq!(Client::greeted(&socket, 1).size(), 512 << 20);
}

/// Sets of signals in a process's status, one bit per signal, from 1 on.
fn masks<const N: usize>(pid: u32, names: [&str; N]) -> [u64; N] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    names.map(|name| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name)).expect("a running process has it");
        u64::from_str_radix(mask.trim(), 16).unwrap()
    })
}

#[test]
fn no_umask_takes_permissions_from_what_it_makes_for_root_or_for_another_user() {
    let users: &[Option<u32>] = if geteuid().is_root() { &[None, Some(65_529)] } else { &[None] };
    for (user, umask) in
        users.iter().flat_map(|user| [("0", user), ("0777", user)].map(|(umask, user)| (user, umask)))
    {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (socket, program_copy) = (dir.path().join("s"), dir.path().join("ivshmem-server"));
        copy(program().get_program(), &program_copy);
        let mut command = Command::new("sh");
        if let Some(uid) = user {
            command = Command::new("setpriv");
            command.args([
                &format!("--reuid={uid}"),
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=-all",
                "sh",
            ]);
        }
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(&program_copy);
        command.args(["-F", "--mode", "640", "-M", "object", "-m"]).arg(dir.path()).arg("-S").arg(&socket);
        command.arg("-p").arg(dir.path().join("pid")).stdin(Stdio::null());
        let daemon = Daemon::start(command, &socket);
        for (name, mode) in [("s", 0o640), ("object", 0o640), ("pid", 0o644)] {
            let found = fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!(found.mode() & 0o777, mode, "{name} of {user:?} with umask {umask}");
            assert_eq!(found.uid(), user.unwrap_or(geteuid().as_raw()));
        }
        assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the copy of the program");
    }
}

#[test]
fn v_tells_more() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    for (arguments, detail) in [(&[][..], false), (&["-v"], true), (&["--verbose"], true)] {
        let daemon = foreground(arguments, &socket);
        Client::greeted(&socket, 1);
        let (_, log) = daemon.stop(Signal::TERM);
        assert!(log.contains("listening") && log.contains("client connected"), "{log}");
        assert_eq!(log.contains("client greeted"), detail, "{log}");
    }
}

#[test]
fn it_raises_its_limit_of_open_files_to_the_hard_one() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let mut command = Command::new("prlimit");
    command.arg("--nofile=100:200").arg(checkout::built("ivshmem-server")).args(["-F", "-S"]).arg(&socket);
    let daemon = Daemon::start(command, &socket);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["200", "200"]);
}

#[test]
fn after_kill_9_it_starts_again_on_the_same_names() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let socket = dir.path().join("s");
    let arguments = ["-m", dir.path().to_str().unwrap(), "-M", "/object"];
    let daemon = foreground(&arguments, &socket);
    let survivor = Client::greeted(&socket, 1);
    rustix::io::pwrite(survivor.memory.as_ref().unwrap(), b"kept", 0).unwrap();
    daemon.stop(Signal::KILL);
    assert!(socket.exists() && dir.path().join("object").exists());
    let _again = foreground(&arguments, &socket);
    let client = Client::greeted(&socket, 1);
    let mut content = [0; 4];
    rustix::io::pread(client.memory.as_ref().unwrap(), &mut content, 0).unwrap();
    assert_eq!(&content, b"kept");
}

#[test]
fn a_name_without_a_directory_is_one_of_dev_shm() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let name = format!("ivshmem-test-{}", std::process::id());
    let object = Path::new("/dev/shm").join(&name);
    let daemon = foreground(&["-M", &name, "-l", "64K"], &socket);
    assert_eq!(fs::metadata(&object).unwrap().len(), 64 << 10);
    let second = run(&["-F", "-M", &name, "-l", "64K"], &dir.path().join("other"));
    assert_eq!(second.status.code(), Some(3));
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
    assert!(!object.exists());
    for bad in ["", "/", "a/b", "..", "."] {
        assert_eq!(run(&["-F", "-M", bad], &socket).status.code(), Some(2), "-M {bad:?}");
    }
}

#[test]
fn the_help_names_every_option_of_qemus_server_and_the_exit_codes() {
    let output = program().arg("-h").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for option in ["-h,", "-v,", "-F,", "-p,", "-S,", "-m,", "-M,", "-l,", "-n,", "Exit status"] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

#[test]
fn what_its_help_says_can_be_typed() {
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    let section = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let examples: Vec<_> = section.filter_map(|line| line.strip_prefix("  ivshmem-server ")).collect();
    assert_eq!(examples.len(), 3, "{help}");
    for example in examples {
        let dir = tempfile::tempdir().unwrap();
        let group = format!(":{}", rustix::process::getegid().as_raw());
        let words = example.replace("/run/", &format!("{}/", dir.path().display())).replace(":kvm", &group);
        let mut command = program();
        command.args(words.split(' '));
        let socket = dir.path().join("ivshmem.sock");
        if example.contains("-F") {
            let daemon = Daemon::start(command, &socket);
            let (code, log) = daemon.stop(Signal::TERM);
            assert_eq!(code, Some(0), "{example}: {log}");
        } else {
            assert!(command.status().unwrap().success(), "{example}");
            let pid = fs::read_to_string(dir.path().join("ivshmem.pid")).unwrap();
            drop(Client::greeted(&socket, 1));
            kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::TERM).unwrap();
            eventually("it has ended", || !dir.path().join("ivshmem.pid").exists());
        }
        assert!(!socket.exists(), "{example}");
    }
}

#[test]
fn an_embedded_server_and_the_program_keep_off_each_others_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let server = Server::builder(&socket).start().unwrap();
    assert_eq!(run(&["-F"], &socket).status.code(), Some(3));
    Client::greeted(server.path(), 1);
}

#[test]
fn a_file_at_the_limit_of_the_process_is_an_error_and_not_the_end() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (socket, object, log) = (dir.path().join("s"), dir.path().join("object"), dir.path().join("log"));
    let limited = || {
        let mut shell = Command::new("bash");
        shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]).arg(checkout::built("ivshmem-server"));
        shell.arg("-F").arg("-S").arg(&socket).stdin(Stdio::null());
        shell
    };
    let here = dir.path().to_str().unwrap();
    for place in [&[][..], &["-m", here, "-M", "object"], &["-m", here]] {
        let refused = limited().args(["-l", "1M"]).args(place).output().unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{place:?}: {:?} {text}", refused.status);
        let words =
            "1048576 bytes asked for, 8192 are the most that this process may give a file; raise its limit";
        assert!(text.contains(words), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{place:?}: something is left");
    }
    // An object of that size exists already, and the log has its maximum size.
    fs::write(&object, vec![0; 1 << 20]).unwrap();
    fs::write(&log, vec![b'x'; 8192]).unwrap();
    let mut command = limited();
    command.args(["-l", "1M", "-m", here, "-M", "object", "--mode", "666", "--log"]).arg(&log);
    let daemon = Daemon::start(command, &socket);
    assert_eq!(Client::greeted(&socket, 1).size(), 1 << 20);
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
    assert_eq!(fs::metadata(&log).unwrap().len(), 8192);
}
