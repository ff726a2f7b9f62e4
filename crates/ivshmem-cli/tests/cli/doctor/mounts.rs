//! Findings about file systems, each mounted in a separate mount namespace.

use std::path::PathBuf;
use std::process::Command;

use ivshmem_conformance::huge_pages::HugePages;
use ivshmem_conformance::skip;
use tempfile::TempDir;

use super::{Place, Visit, cured, is_root};

#[test]
fn a_file_system_that_can_only_be_read_is_told_apart() {
    let name = "a_file_system_that_can_only_be_read_is_told_apart";
    in_mounts(name, "tmpfs", "size=4M", |mounted| {
        mounted.run("truncate -s 1M $M/x && mount -o remount,ro $M");
        mounted.visit_reading().is_well();
        cured("read-only", mounted.place(), || mounted.visit(&[]));
    });
}

#[test]
fn a_file_system_without_room_is_made_larger_by_the_remedy() {
    in_mounts("a_file_system_without_room_is_made_larger_by_the_remedy", "tmpfs", "size=1M", |mounted| {
        mounted.run("truncate -s 4M $M/x");
        cured("no-space", mounted.place(), || mounted.visit(&[]));
    });
}

/// Following remedies in order solves all problems, and causes no earlier problem again.
#[track_caller]
fn cured_together(names: &[&str], place: Place, visit: impl Fn() -> Visit) {
    let visited = visit();
    assert_eq!(visited.names, names, "{}", visited.report);
    for finding in visited.report["findings"].as_array().unwrap() {
        let _typed = place.type_in(finding["remedy"].as_str().unwrap());
    }
    visit().is_well();
}

#[test]
fn room_is_needed_for_the_size_that_the_other_remedies_give() {
    let name = "room_is_needed_for_the_size_that_the_other_remedies_give";
    in_mounts(name, "tmpfs", "size=4M", |mounted| {
        let place = mounted.place();
        mounted.run("fallocate -l 2560K $M/other");
        for (file, finding, options) in [
            ("truncate -s 1200000 $M/x", "size-not-a-power-of-two", &[][..]),
            ("truncate -s 1M $M/x", "size-differs", &["--size", "4M"]),
            ("truncate -s 0 $M/x", "file-empty", &[]),
            ("rm -f $M/x", "file-missing", &[]),
            ("rm -f $M/x", "file-missing", &["--size", "3M"]),
        ] {
            mounted.run("mount -o remount,size=4M $M");
            mounted.run(file);
            cured_together(&["no-space", finding], place, || mounted.visit(options));
            mounted.run("rm $M/x");
        }
        mounted.run("mount -o remount,size=4M $M");
        let target = format!("plain:{}/new/x", mounted.point);
        cured_together(&["no-space", "directory-missing"], place, || place.visit(&target, &[]));
        // A size that fits needs nothing more.
        mounted.run("rm -r $M/new && truncate -s 1000000 $M/x");
        cured("size-not-a-power-of-two", place, || mounted.visit(&[]));
    });
}

#[test]
fn huge_pages_are_needed_for_the_size_that_the_other_remedies_give() {
    let name = "huge_pages_are_needed_for_the_size_that_the_other_remedies_give";
    let _pages = match HugePages::add(0) {
        Ok(pages) => pages,
        Err(why) => return skip(name, &why),
    };
    in_mounts(name, "hugetlbfs", "pagesize=2M", |mounted| {
        for (file, finding) in [("touch $M/x", "file-empty"), ("rm -f $M/x", "file-missing")] {
            mounted.run("echo 0 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
            mounted.run(file);
            cured_together(&["hugepages-short", finding], mounted.place(), || {
                mounted.visit(&["--size", "4M"])
            });
            mounted.run("rm $M/x");
        }
    });
}

#[test]
fn too_few_huge_pages_are_made_more_by_the_remedy() {
    let name = "too_few_huge_pages_are_made_more_by_the_remedy";
    // Adds no pages; dropping it removes those that the remedy adds.
    let _pages = match HugePages::add(0) {
        Ok(pages) => pages,
        Err(why) => return skip(name, &why),
    };
    in_mounts(name, "hugetlbfs", "pagesize=2M", |mounted| {
        mounted.run("truncate -s 64M $M/x");
        mounted.visit(&[]).cause_has("32 more huge pages of 2M");
        cured("hugepages-short", mounted.place(), || mounted.visit(&[]));
        // A file that is created there has whole pages.
        mounted.run("rm $M/x");
        cured("file-missing", mounted.place(), || mounted.visit(&["--size", "64K"]));
    });
}

#[test]
fn notes_about_libvirts_confinement_go_by_the_remedy() {
    // Files of a kernel with AppArmor or SELinux. Their effect is not tested here.
    in_mounts("notes_about_libvirts_confinement_go_by_the_remedy", "tmpfs", "size=4M", |mounted| {
        mounted.run("mkdir $M/apparmor $M/fs $M/rules && mount --bind $M/apparmor /sys/module");
        mounted.run(
            "mkdir -p /sys/module/apparmor/parameters && echo Y >/sys/module/apparmor/parameters/enabled",
        );
        mounted.run("mount --bind $M/rules /etc/apparmor.d");
        mounted.run("mkdir -p /etc/apparmor.d/abstractions /etc/apparmor.d/local/abstractions");
        mounted.run("touch /etc/apparmor.d/abstractions/libvirt-qemu");
        for name in ["x", "a b", "a,b", "it's [1]"] {
            let target = format!("plain:{}/{name}", mounted.point);
            let file = target.strip_prefix("plain:").unwrap().to_owned();
            mounted.command("truncate").args(["-s", "4K", &file]).status().unwrap();
            let visits = || mounted.place().visit(&target, &[]);
            visits().cause_has("only if libvirt gives it by itself, as 9.0 does for a <shmem>");
            cured("apparmor", mounted.place(), visits);
        }
        mounted.run("umount /etc/apparmor.d /sys/module && mount --bind $M/fs /sys/fs");
        mounted.run("mkdir /sys/fs/selinux && echo 1 >/sys/fs/selinux/enforce");
        let file = mounted.seen_from_outside().join("x");
        let label = b"system_u:object_r:tmpfs_t:s0\0";
        rustix::fs::setxattr(file, "security.selinux", label, rustix::fs::XattrFlags::empty()).unwrap();
        cured("selinux", mounted.place(), || mounted.visit(&[]));
    });
}

/// A process with its own mount namespace, in which a file system is mounted. Nothing of it is visible outside.
pub(crate) struct Mounted {
    pid: u32,
    point: String,
}

pub(crate) fn in_mounts(test: &str, kind: &str, options: &str, body: impl FnOnce(&Mounted)) {
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
    /// A command that runs a program in this mount namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.place().command(program)
    }

    #[track_caller]
    pub(super) fn run(&self, script: &str) {
        let output = self.command("sh").args(["-c", script]).env("M", &self.point).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn point(&self) -> &str {
        &self.point
    }

    /// The path of the mounted directory for this process.
    pub(crate) fn seen_from_outside(&self) -> PathBuf {
        format!("/proc/{}/root{}", self.pid, self.point).into()
    }

    pub(super) fn place(&self) -> Place {
        Place { mounts_of: Some(self.pid) }
    }

    fn visit(&self, options: &[&str]) -> Visit {
        self.place().visit(&format!("plain:{}/x", self.point), options)
    }

    fn visit_reading(&self) -> Visit {
        self.place().visit(&format!("plain:{}/x?readonly", self.point), &[])
    }
}
