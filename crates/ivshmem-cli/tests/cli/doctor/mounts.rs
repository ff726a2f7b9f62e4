//! Findings about file systems, each mounted where nobody else sees it.

use std::fs::{self, File};
use std::process::Command;

use ivshmem_conformance::skip;
use tempfile::TempDir;

use super::{Visit, follow, is_root, visit_by};

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
