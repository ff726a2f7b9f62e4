//! Child processes that never outlive their test, as any user and with any limit of descriptors.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer than this for anything: a guard against hanging, not a claim about speed.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(120);

/// A user with no rights. Descriptors in flight are counted for each user, so tests that use them up take one each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody(pub(crate) u32);

/// How to start a program.
#[derive(Debug)]
pub(crate) struct Launch {
    command: Command,
    log: PathBuf,
}

impl Launch {
    /// `program` with `args`; what it prints goes to the file `log`.
    pub(crate) fn new(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: PathBuf,
    ) -> Self {
        let mut command = Command::new("setpriv");
        // The kernel kills the child when the test's thread ends, however it ends.
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
        Self { command, log }
    }

    /// As another user without any capability.
    pub(crate) fn run_as(mut self, user: Nobody) -> Self {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", user.0)).arg(format!("--regid={}", user.0));
        command.args(["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
        command.args(self.command.get_args());
        self.command = command;
        self
    }

    /// As another user without any capability, in these groups besides its own.
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

    /// With at most this many descriptors, which the program cannot raise unless it is privileged.
    pub(crate) fn descriptors(mut self, limit: u32) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg("setpriv").args(self.command.get_args());
        self.command = command;
        self
    }

    /// Prints to another file.
    pub(crate) fn log_to(mut self, log: PathBuf) -> Self {
        self.log = log;
        self
    }

    /// With an environment variable.
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

/// A running program. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and returns when all of its threads stand still, until it gets SIGCONT.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        eventually("it has stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
            let mut stats = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
            stats.all(|stat| stat.is_ok_and(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T')))
        });
    }

    /// Processor time that it has used so far, to a hundredth of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // Behind the name, which may contain anything, utime and stime are the fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// How it ended, when it has.
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

    /// Fails the test with what it printed when it has ended.
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
        // A stopped process is killed as well; one that has ended gives an error, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until `done`; for what announces itself by no descriptor.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < HANG_LIMIT, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lets this process and its children have as many descriptors as the system allows it.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Whether everything a test needs is here: programs, or "root" to become another user. When something is missing the
/// test has to return; `make test` counts the line that says so, and fails on it with CI=true.
pub(crate) fn all_here(needs: &[&str]) -> bool {
    let missing = needs.iter().find(|need| !is_here(need));
    if let Some(need) = missing {
        let thread = std::thread::current();
        let test = thread.name().and_then(|path| path.rsplit("::").next()).unwrap_or("a_test");
        // Past the test harness, which swallows what a test that passes has printed.
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
