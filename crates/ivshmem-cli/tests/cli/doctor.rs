//! `doctor`: every finding of a host is provoked for real, named, and gone after its remedy.

mod file;
mod machine;
mod mounts;
mod server;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ivshmem_conformance::{program, skip};
use serde_json::Value;
use tempfile::TempDir;

use crate::run;

/// What the doctor says about a target, and the names of what it found.
struct Visit {
    names: Vec<String>,
    report: Value,
}

fn visit(target: &str, options: &[&str]) -> Visit {
    visit_by(Command::new(env!("CARGO_BIN_EXE_ivshmem")), target, options)
}

/// By a command that runs the program it is given as the first argument.
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
    /// The remedy of the only finding, which has this name.
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

/// A folder that everybody may enter, and the target of `name` in it.
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

/// Does what a remedy says: the shell command behind this word, up to a semicolon or the end.
#[track_caller]
fn follow(remedy: &str, word: &str) {
    let start = remedy.find(word).unwrap_or_else(|| panic!("no {word:?} in {remedy:?}"));
    let command = remedy[start..].split(';').next().unwrap();
    let path = Path::new(env!("CARGO_BIN_EXE_ivshmem")).parent().unwrap().display();
    let script = format!("PATH={path}:$PATH; {command}");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
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
        // The program is where everybody may run it.
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        program::copy(env!("CARGO_BIN_EXE_ivshmem"), dir.path().join("ivshmem"));
        Self(dir)
    }

    fn visit(&self, target: &str) -> Visit {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.0.path().join("ivshmem"));
        visit_by(command, target, &[])
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

#[test]
fn every_finding_is_in_the_documentation_and_in_a_test() {
    let text = |place: &str| {
        let mut text = String::new();
        for entry in walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place)) {
            text += &fs::read_to_string(entry).unwrap();
        }
        text
    };
    let (sources, tests) = (text("src/doctor"), text("tests/cli") + &text("../../vmtest/tests"));
    let documentation = text("../../docs");
    let made = sources.split("Finding::problem(").chain(sources.split("Finding::note(").skip(1)).skip(1);
    let names: Vec<&str> =
        made.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(documentation.contains(&format!("`{name}`")), "docs do not explain {name}");
        assert!(
            tests.contains(&format!("\"{name}\"")) || tests.contains(&format!("\\\"{name}\\\"")),
            "no test provokes {name}"
        );
    }
}

fn walk(place: &Path) -> Vec<std::path::PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    fs::read_dir(place).unwrap().flat_map(|entry| walk(&entry.unwrap().path())).collect()
}
