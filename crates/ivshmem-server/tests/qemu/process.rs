//! Child processes that never outlive their test, as any user and with any limit of descriptors.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer than this for anything: a limit against hanging, not a requirement on speed.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(120);

/// A user without rights. The kernel counts descriptors in flight per user, so each test that uses them up has its own
/// user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody(pub(crate) u32);

/// The description of a program to start.
#[derive(Debug)]
pub(crate) struct Launch {
    command: Command,
    log: PathBuf,
}

impl Launch {
    /// `program` with `args`; its output is written to the file `log`.
    pub(crate) fn new(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: PathBuf,
    ) -> Self {
        let mut command = Command::new("setpriv");
        // The kernel kills the child when the test's thread ends, for any reason.
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
        Self { command, log }
    }

    /// Runs it as another user without capabilities.
    pub(crate) fn run_as(mut self, user: Nobody) -> Self {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", user.0)).arg(format!("--regid={}", user.0));
        command.args(["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
        command.args(self.command.get_args());
        self.command = command;
        self
    }

    /// Runs it as another user without capabilities, in these groups in addition to the user's own.
    pub(crate) fn run_as_in(mut self, user: Nobody, groups: &[u32]) -> Self {
        self = self.run_as(user);
        let groups = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut command = Command::new("setpriv");
        let args = self.command.get_args().map(|arg| match arg.to_str() {
            Some("--clear-groups") => format!("--groups={groups}").into(),
            _ => arg.to_owned(),
        });
        command.args(args);
        self.command = command;
        self
    }

    /// Limits its descriptors; the program cannot raise the limit unless it is privileged.
    pub(crate) fn descriptors(mut self, limit: u32) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg("setpriv").args(self.command.get_args());
        self.command = command;
        self
    }

    /// Writes its output to another file.
    pub(crate) fn log_to(mut self, log: PathBuf) -> Self {
        self.log = log;
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn start(mut self) -> Process {
        let log = File::create(&self.log).unwrap();
        self.command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.command));
        Process { child, log: self.log }
    }
}

/// A running program. Dropping it kills the program and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All of its output so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it until it gets SIGCONT, and returns when all of its threads are stopped.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        eventually("it has stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
            let mut stats = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
            stats.all(|stat| stat.is_ok_and(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T')))
        });
    }

    /// Processor time used so far, with a resolution of a hundredth of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // After the name, which may contain any character; utime and stime are fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < HANG_LIMIT, "does not end; it printed:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Fails the test with its output if it has ended.
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.ended() {
            panic!("ended with {status}; it printed:\n{}", self.log());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} had printed:\n{}", self.log.display(), self.log());
        }
        // This kills stopped processes too; it is an error for one that has ended, which needs nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until `done`, for conditions that no descriptor reports.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < HANG_LIMIT, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Raises the descriptor limit of this process and its children to the maximum that the system allows.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Whether this machine has everything that a test needs: programs, or "root" to run processes as another user. If not, the
/// test must return; `make test` counts the printed line, and fails with CI=true.
pub(crate) fn all_here(needs: &[&str]) -> bool {
    let missing = needs.iter().find(|need| !is_here(need));
    if let Some(need) = missing {
        let thread = std::thread::current();
        let test = thread.name().and_then(|path| path.rsplit("::").next()).unwrap_or("a_test");
        // Directly to standard error, because the test harness discards the output of a passing test.
        let line = format!("SKIP {test}: no {need} here\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    missing.is_none()
}

fn is_here(need: &str) -> bool {
    if need == "root" {
        return rustix::process::geteuid().is_root();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(need).is_file())
}
