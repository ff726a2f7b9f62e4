//! `doctor`: every finding of a host is provoked for real, named, and gone after its remedy.

mod machine;
mod server;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ivshmem_conformance::skip;
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
        assert_eq!(said, format!("ivshmem: {problems} problems found\n"));
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
        fs::copy(env!("CARGO_BIN_EXE_ivshmem"), dir.path().join("ivshmem")).unwrap();
        Self(dir)
    }

    fn visit(&self, target: &str) -> Visit {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.0.path().join("ivshmem"));
        visit_by(command, target, &[])
    }
}

#[test]
fn a_file_in_order_gets_arguments_that_fit_it() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 8 << 20, 0o666);
    let visit = visit(&target, &["--size", "8M"]);
    visit.is_well();
    let text = String::from_utf8(run(&["doctor", &target]).stdout).unwrap();
    assert!(
        text.contains("nothing is wrong") && text.contains("size=8M") && text.contains("<qemu:arg"),
        "{text}"
    );
    assert_eq!(visit.report["size"], 8 << 20);
}

#[test]
fn a_missing_file_is_created_by_the_remedy() {
    let (_dir, target) = folder("x");
    let remedy = visit(&target, &["--size", "4M"]).remedy("file-missing");
    follow(&remedy, "ivshmem info");
    visit(&target, &["--size", "4M"]).is_well();
    // Looking has created nothing.
    let (dir, target) = folder("y");
    visit(&format!("{target}?size=4M"), &[]).remedy("file-missing");
    assert!(!dir.path().join("y").exists());
}

#[test]
fn a_missing_directory_is_made_by_the_remedy() {
    let (_dir, target) = folder("a/b/x");
    let remedy = visit(&target, &["--size", "4M"]).remedy("directory-missing");
    follow(remedy.split(',').next().unwrap(), "mkdir");
    visit(&target, &["--size", "4M"]).remedy("file-missing");
}

#[test]
fn what_is_no_file_is_told_apart() {
    for (path, word) in [("/dev/null", "a device"), ("/tmp", "a directory")] {
        let visit = visit(&format!("plain:{path}"), &[]);
        visit.remedy("not-a-file");
        visit.cause_has(word);
    }
}

#[test]
fn an_empty_file_gets_its_size_by_the_remedy() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 0, 0o666);
    let remedy = visit(&target, &["--size", "4M"]).remedy("file-empty");
    follow(&remedy, "truncate");
    visit(&target, &["--size", "4M"]).is_well();
}

#[test]
fn a_size_that_is_no_power_of_two_is_rounded_up_by_the_remedy() {
    for size in [3_000_000, 2048] {
        let (dir, target) = folder("x");
        make(&dir.path().join("x"), size, 0o666);
        let visited = visit(&target, &[]);
        visited.cause_has(&size.to_string());
        follow(&visited.remedy("size-not-a-power-of-two"), "truncate");
        visit(&target, &[]).is_well();
    }
}

#[test]
fn a_stale_file_of_another_size_is_removed_by_the_remedy() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o666);
    let remedy = visit(&target, &["--size", "2M"]).remedy("size-differs");
    follow(&remedy, "rm ");
    follow(&visit(&target, &["--size", "2M"]).remedy("file-missing"), "ivshmem info");
    visit(&target, &["--size", "2M"]).is_well();
}

#[test]
fn a_user_without_permission_gets_it_by_the_remedy() {
    if !is_root("a_user_without_permission_gets_it_by_the_remedy") {
        return;
    }
    let (dir, target) = folder("x");
    let nobody = Nobody::new();
    make(&dir.path().join("x"), 1 << 20, 0o600);
    let visited = nobody.visit(&target);
    visited.cause_has("mode 600, user root");
    let remedy = visited.remedy("not-permitted").replace("GROUP", "nogroup");
    follow(&remedy, "chgrp");
    nobody.visit(&target).is_well();

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    nobody.visit(&target).remedy("not-permitted");
}

#[test]
fn a_file_that_the_machine_may_not_use_is_opened_to_it_by_the_remedy() {
    if !is_root("a_file_that_the_machine_may_not_use_is_opened_to_it_by_the_remedy") {
        return;
    }
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o600);
    visit(&target, &[]).is_well();
    let options = ["--qemu-user", "nobody"];
    let remedy = visit(&target, &options).remedy("qemu-not-permitted").replace("GROUP", "nogroup");
    follow(remedy.split(',').nth(1).unwrap(), "chgrp");
    visit(&target, &options).is_well();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let visited = visit(&target, &options);
    visited.remedy("qemu-not-permitted");
    visited.cause_has("may not pass");
    assert_eq!(visit(&target, &["--qemu-user", "no-such-person"]).names, ["no-such-user"]);
}

#[test]
fn a_file_that_nobody_may_change_is_told_apart() {
    let test = "a_file_that_nobody_may_change_is_told_apart";
    if !is_root(test) {
        return;
    }
    let (dir, target) = folder("x");
    let path = dir.path().join("x");
    make(&path, 1 << 20, 0o666);
    if !Command::new("chattr").arg("+i").arg(&path).status().is_ok_and(|status| status.success()) {
        return skip(test, "/dev/shm has no attributes here");
    }
    let remedy = visit(&target, &[]).remedy("immutable");
    follow(&remedy, "chattr");
    visit(&target, &[]).is_well();
}

#[test]
fn a_sandbox_is_told_apart_from_permissions() {
    use landlock::{
        ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    };
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o666);
    // The thread that starts the doctor has no way back out of it.
    let confined = std::thread::spawn({
        let target = target.clone();
        move || {
            let reading = AccessFs::from_read(ABI::V1);
            let root = PathBeneath::new(PathFd::new("/").unwrap(), reading);
            let rules =
                Ruleset::default().handle_access(AccessFs::from_all(ABI::V1)).unwrap().create().unwrap();
            let status = rules.add_rule(root).unwrap().restrict_self().unwrap();
            (status.ruleset != RulesetStatus::NotEnforced).then(|| visit(&target, &[]))
        }
    });
    match confined.join().unwrap() {
        Some(visited) => drop(visited.remedy("security-module")),
        None => skip("a_sandbox_is_told_apart_from_permissions", "this kernel has no Landlock"),
    }
    // The remedy: outside of the sandbox.
    visit(&target, &[]).is_well();
}

#[test]
fn a_file_system_that_can_only_be_read_is_told_apart() {
    let name = "a_file_system_that_can_only_be_read_is_told_apart";
    in_mounts(name, "tmpfs", "size=4M", |mounted| {
        mounted.run("truncate -s 1M $M/x && mount -o remount,ro $M");
        mounted.visit(&[]).remedy("read-only");
        mounted.run("mount -o remount,rw $M");
        mounted.visit(&[]).is_well();
    });
}

#[test]
fn a_file_system_without_room_is_made_larger_by_the_remedy() {
    in_mounts("a_file_system_without_room_is_made_larger_by_the_remedy", "tmpfs", "size=1M", |mounted| {
        mounted.run("truncate -s 4M $M/x");
        let remedy = mounted.visit(&[]).remedy("no-space");
        assert!(remedy.contains("mount -o remount,size=SIZE MOUNTPOINT"), "{remedy}");
        mounted.run("mount -o remount,size=8M $M");
        mounted.visit(&[]).is_well();
    });
}

#[test]
fn too_few_huge_pages_are_made_more_by_the_remedy() {
    let name = "too_few_huge_pages_are_made_more_by_the_remedy";
    let pages = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    // Other tests change the number, too.
    let Ok(alone) = File::open(pages) else { return skip(name, "this kernel has no huge pages of 2 MiB") };
    rustix::fs::flock(&alone, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let before = fs::read_to_string(pages).unwrap();
    in_mounts(name, "hugetlbfs", "pagesize=2M", |mounted| {
        mounted.run("truncate -s 64M $M/x");
        let visited = mounted.visit(&[]);
        visited.cause_has("32 more huge pages of 2M");
        let remedy = visited.remedy("hugepages-short");
        follow(remedy.split(" (at boot").next().unwrap(), "echo");
        let after = mounted.visit(&[]);
        fs::write(pages, before.trim()).unwrap();
        after.is_well();
    });
}

#[test]
fn a_region_that_no_machine_can_address_is_told() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 40, 0o666);
    // A file of that size without its space is another finding.
    let named = |visit: Visit, name: &str| visit.names.iter().any(|known| known == name);
    assert!(named(visit(&target, &[]), "address-width"));
    assert!(!named(visit(&target, &["--phys-bits", "46"]), "address-width"));
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

/// A process with mounts of its own, in which a file system is mounted. Nothing of it is seen outside.
struct Mounted {
    pid: u32,
    point: String,
}

fn in_mounts(test: &str, kind: &str, options: &str, body: impl FnOnce(&Mounted)) {
    if !is_root(test) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let point = dir.path().display().to_string();
    let script =
        format!("mount -t {kind} -o {options},mode=755 none {point} && echo ready && exec sleep 600");
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    if line == "ready\n" {
        let mounted = Mounted { pid: child.id(), point };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&mounted)));
        child.kill().unwrap();
        child.wait().unwrap();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    } else {
        child.wait().unwrap();
        skip(test, &format!("{kind} cannot be mounted here"));
    }
}

impl Mounted {
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.pid.to_string(), "--"]);
        command
    }

    #[track_caller]
    fn run(&self, script: &str) {
        let output = self.enter().args(["sh", "-c", script]).env("M", &self.point).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn visit(&self, options: &[&str]) -> Visit {
        let mut command = self.enter();
        command.arg(env!("CARGO_BIN_EXE_ivshmem"));
        visit_by(command, &format!("plain:{}/x", self.point), options)
    }
}
