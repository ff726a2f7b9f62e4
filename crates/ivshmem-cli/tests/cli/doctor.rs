//! `doctor`: every finding of a host is provoked, reported, and gone after its remedy.

mod file;
mod machine;
pub(crate) mod mounts;
mod server;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ivshmem_conformance::checkout;
use ivshmem_conformance::{program, skip};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::run;

/// The doctor's report about a target, and the names of its findings.
struct Visit {
    names: Vec<String>,
    report: Value,
}

fn visit(target: &str, options: &[&str]) -> Visit {
    visit_by(Command::new(checkout::built("ivshmem")), target, options)
}

/// Uses a command that runs the program in its first argument.
fn visit_by(mut command: Command, target: &str, options: &[&str]) -> Visit {
    let output = command.args(["doctor", target, "--json"]).args(options).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let findings = report["findings"].as_array().unwrap();
    let problems = findings.iter().filter(|finding| finding["severity"] == "problem").count();
    assert_eq!(output.status.code(), Some(if problems > 0 { 4 } else { 0 }), "{report}");
    if problems > 0 {
        let ending = if problems == 1 { "" } else { "s" };
        assert_eq!(said, format!("ivshmem: {problems} problem{ending} found\n"));
    }
    let names = findings.iter().map(|finding| finding["name"].as_str().unwrap().to_owned()).collect();
    Visit { names, report }
}

impl Visit {
    /// The remedy of the only finding, which must have this name.
    #[track_caller]
    fn remedy(&self, name: &str) -> String {
        assert_eq!(self.names, [name], "{}", self.report);
        self.report["findings"][0]["remedy"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn is_well(&self) {
        assert!(self.names.is_empty(), "{}", self.report);
    }

    #[track_caller]
    fn cause_has(&self, word: &str) {
        let cause = self.report["findings"][0]["cause"].as_str().unwrap();
        assert!(cause.contains(word), "{cause}");
    }
}

/// A directory that all users may enter, and the target of `name` in it.
fn folder(name: &str) -> (TempDir, String) {
    let dir = TempDir::with_prefix_in("ivshmem-doctor.", "/dev/shm").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let target = format!("plain:{}/{name}", dir.path().display());
    (dir, target)
}

fn make(path: &Path, size: u64, mode: u32) {
    File::create(path).unwrap().set_len(size).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Where commands run: here, or in the mount namespace of a process.
#[derive(Clone, Copy)]
struct Place {
    mounts_of: Option<u32>,
}

const HERE: Place = Place { mounts_of: None };

impl Place {
    fn command(self, program: &str) -> Command {
        let Some(pid) = self.mounts_of else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &pid.to_string(), "--", program]);
        command
    }

    fn visit(self, target: &str, options: &[&str]) -> Visit {
        visit_by(self.command(checkout::built("ivshmem")), target, options)
    }

    /// Runs the commands in the first part of a remedy that has any. Alternatives follow after a semicolon. A command that
    /// starts a server keeps running until the result is dropped.
    #[track_caller]
    fn type_in(self, remedy: &str) -> Typed {
        let mut typed = Typed { servers: Vec::new(), is_well: false };
        for command in commands(remedy) {
            let path = Path::new(checkout::built("ivshmem")).parent().unwrap();
            let mut shell = self.command("sh");
            shell.args(["-c", &command]).env("PATH", format!("{}:/usr/sbin:/usr/bin", path.display()));
            if let Some((_, words)) = command.split_once("ivshmem-server -F -S ") {
                assert!(path.join("ivshmem-server").exists(), "run cargo build --package ivshmem-server");
                let child = shell.stderr(Stdio::piped()).process_group(0).spawn().unwrap();
                typed.servers.push(Server(child));
                typed.await_server(words);
                continue;
            }
            let output = shell.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command}: {said}");
            typed.is_well = command.starts_with("ivshmem doctor") && said.starts_with("nothing is wrong");
        }
        typed
    }
}

/// The commands in the first part of a remedy that has any. They are in backquotes.
#[track_caller]
fn commands(remedy: &str) -> Vec<String> {
    let mut first: Vec<String> = Vec::new();
    for (place, part) in remedy.split('`').enumerate() {
        match place % 2 {
            1 => first.push(part.to_owned()),
            _ if part.contains(';') && !first.is_empty() => break,
            _ => {}
        }
    }
    assert!(!first.is_empty(), "nothing to type in {remedy:?}");
    first
}

/// The result of commands.
struct Typed {
    servers: Vec<Server>,
    /// Whether the last command was a doctor without findings.
    is_well: bool,
}

struct Server(Child);

impl Typed {
    /// The process group of the only server.
    fn group(&self) -> Pid {
        Pid::from_child(&self.servers[0].0)
    }

    /// Waits until the server reports that it listens.
    #[track_caller]
    fn await_server(&mut self, words: &str) {
        let server = self.servers.last_mut().unwrap();
        let mut lines = BufReader::new(server.0.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{words}: {said}");
        }
        // The server continues to log.
        server.0.stderr = Some(lines.into_inner());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.0);
        // The shell around a server may have been stopped together with it.
        for signal in [Signal::TERM, Signal::CONT] {
            let _ = rustix::process::kill_process_group(group, signal);
        }
        let _ = self.0.wait();
        // The server may run slightly longer than its shell. It holds the pipe until it ends.
        if let Some(mut rest) = self.0.stderr.take() {
            let _ = rest.read_to_end(&mut Vec::new());
        }
    }
}

/// Checks that the finding is reported, follows its remedy, and checks that no finding is left.
#[track_caller]
fn cured(name: &str, place: Place, visit: impl Fn() -> Visit) -> String {
    cured_after(name, place, visit, || ())
}

/// The same, with something that is ended before the remedy, as the remedy requires.
#[track_caller]
fn cured_after(name: &str, place: Place, visit: impl Fn() -> Visit, end: impl FnOnce()) -> String {
    let remedy = visit().remedy(name);
    end();
    let typed = place.type_in(&remedy);
    if !typed.is_well {
        visit().is_well();
    }
    remedy
}

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip(test, "it needs root, to be two users");
    }
    is_root
}

/// Runs the command as nobody.
struct Nobody(TempDir);

impl Nobody {
    fn new() -> Self {
        // A copy in a directory from which every user may run it.
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        program::copy(checkout::built("ivshmem"), dir.path().join("ivshmem"));
        Self(dir)
    }

    fn visit(&self, target: &str, options: &[&str]) -> Visit {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.0.path().join("ivshmem"));
        visit_by(command, target, options)
    }
}

#[test]
fn without_a_device_there_is_a_note_and_whoever_wants_one_a_problem() {
    if Path::new("/sys/bus/pci/drivers/virtio-pci").exists() && run(&["list"]).stdout.starts_with(b"0000") {
        return skip(
            "without_a_device_there_is_a_note_and_whoever_wants_one_a_problem",
            "it has an ivshmem device",
        );
    }
    visit("auto", &[]).remedy("no-device");
    visit("pci:0", &[]).remedy("no-device");
    let output = run(&["doctor"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("note: no-device"));
}

/// Findings whose remedy is not a command that a test can type and then check.
const CURED_OTHERWISE: [(&str, &str); 6] = [
    ("security-module", "the rules of a sandbox, AppArmor or SELinux, which are the administrator's"),
    ("server-refuses", "what the reason asks for"),
    ("descriptors-short", "a limit of the shell that runs the doctor: that test types it there"),
    ("no-such-user", "another name; that test types the command"),
    ("no-device", "a device, which the operator adds when starting the machine"),
    ("cgroup-denied", "the list of a control group, whose words differ: that test changes the list"),
];

#[test]
fn every_finding_is_in_the_documentation_and_in_a_test_that_applies_its_remedy() {
    let text = |place: &str| {
        let mut text = String::new();
        for entry in walk(&checkout::package().join(place)) {
            text += &fs::read_to_string(entry).unwrap();
        }
        text
    };
    let tests = text("tests/cli") + &text("../../vmtest/tests");
    let documentation = text("../../docs/cli.md") + &text("../../docs/linux-guest.md");
    let troubleshooting = text("../../docs/troubleshooting.md");
    let mut count = 0;
    // Findings of servers are tested in the file for servers, although some have the same names as those of files.
    let (file, mounts) = ("tests/cli/doctor/file.rs", "tests/cli/doctor/mounts.rs");
    for (source, tested) in [
        ("server.rs", &["tests/cli/doctor/server.rs"][..]),
        ("file.rs", &[file, mounts]),
        ("space.rs", &[mounts]),
        ("confinement.rs", &[mounts]),
        ("address_width.rs", &[file]),
        ("users.rs", &[file]),
        ("guest.rs", &["../../vmtest/tests/operators/doctor.rs"]),
    ] {
        let cures: String = tested.iter().map(|test| text(test)).collect();
        // Regardless of line breaks.
        let cures: String = cures.split_whitespace().collect();
        for name in names(&text(&format!("src/doctor/{source}"))) {
            count += 1;
            assert!(documentation.contains(&format!("`{name}`")), "docs do not explain {name}");
            assert!(has_row(&troubleshooting, &name), "docs/troubleshooting.md has no row for {name}");
            assert!(
                tests.contains(&format!("\"{name}\"")) || tests.contains(&format!("\\\"{name}\\\"")),
                "no test provokes {name}"
            );
            let is_cured =
                ["cured", "cured_after"].iter().any(|f| cures.contains(&format!("{f}(\"{name}\"")));
            let otherwise = CURED_OTHERWISE.iter().any(|(other, _)| *other == name);
            assert!(is_cured || otherwise, "no test in {tested:?} applies the remedy of {name}");
        }
    }
    assert_eq!(count, names(&text("src/doctor")).len(), "a source of findings is not looked at");
    assert!(count > 30, "{count}");
}

/// Findings on Windows can only be provoked in a guest. This test compares their names.
#[test]
fn every_finding_of_windows_is_in_the_documentation() {
    let read = |place: &str| fs::read_to_string(checkout::package().join(place)).unwrap();
    let names = names(&read("src/windows/doctor.rs"));
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        for page in ["windows", "troubleshooting"] {
            let text = read(&format!("../../docs/{page}.md"));
            assert!(has_row(&text, &name), "docs/{page}.md has no row for {name}");
        }
    }
}

/// Whether a row of a table contains the name.
fn has_row(page: &str, name: &str) -> bool {
    page.lines().any(|line| line.starts_with("| ") && line.contains(&format!("`{name}`")))
}

/// The names of the findings that a source file creates.
fn names(source: &str) -> Vec<String> {
    let made = source.split("Finding::problem(").skip(1).chain(source.split("Finding::note(").skip(1));
    let quoted = made.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    quoted.map(str::to_owned).collect()
}

fn walk(place: &Path) -> Vec<std::path::PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    fs::read_dir(place).unwrap().flat_map(|entry| walk(&entry.unwrap().path())).collect()
}
