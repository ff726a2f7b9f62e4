//! A file that is shared memory.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::users::{User, described};
use super::{Doctor, Finding, Report, confinement, space};
use crate::advice::{Region, Way};
use crate::values::units;

pub(super) fn examine(path: &Path, wanted: Option<u64>, doctor: &Doctor, report: &mut Report) {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = match fs::metadata(path) {
        Ok(facts) if facts.is_file() => Some(facts),
        Ok(facts) => return report.add([not_a_file(path, &facts)]),
        Err(error) => {
            report.add([not_seen(path, &error, wanted)]);
            None
        }
    };
    let size = known.as_ref().map_or(wanted, |facts| Some(facts.len()));
    if let Some(facts) = &known {
        report.add(access(path, facts));
        report.add(check_size(path, facts.len(), wanted));
        report.add(qemu_access(path, facts, doctor.qemu_user.as_deref()));
    }
    if let Some(size) = size {
        // st_blocks counts 512 bytes each, on every file system.
        let taken = known.as_ref().map_or(0, |facts| facts.blocks() * 512);
        let place = if known.is_some() { path } else { path.parent().unwrap_or(Path::new("/")) };
        report.add(space::examine(path, place, size.saturating_sub(taken)));
    }
    report.add(confinement::of_machines(path, Path::new("/")));
    // An empty file has no size to tell anybody; the one that it should have does.
    let size = size.filter(|size| *size > 0).or(wanted);
    report.region = size.map(|size| Region { size, way: Way::File { path: path.clone() } });
}

fn not_seen(path: &Path, error: &io::Error, wanted: Option<u64>) -> Finding {
    let parent = path.parent().unwrap_or(Path::new("/"));
    match error.kind() {
        ErrorKind::NotFound if !parent.is_dir() => Finding::problem(
            "directory-missing",
            format!("{} cannot be there: there is no directory {}", path.display(), parent.display()),
            format!("mkdir -p {}, or mount what belongs there, or use /dev/shm", parent.display()),
        ),
        ErrorKind::NotFound => Finding::problem(
            "file-missing",
            format!("nobody has created {}", path.display()),
            format!(
                "let QEMU create it by starting the machine first, or create it before: ivshmem info \
                 'plain:{}?size={}'; whoever creates it owns it, so see docs/linux-guest.md for one that both may use",
                path.display(),
                wanted.map_or("SIZE".to_owned(), units)
            ),
        ),
        _ => Finding::problem(
            "not-permitted",
            format!("{} cannot be looked at: {error}", path.display()),
            "let this user pass the directories on the way to it: chmod o+x, or a group that all share",
        ),
    }
}

fn not_a_file(path: &Path, facts: &Metadata) -> Finding {
    let kind = facts.file_type();
    let (what, remedy) = if kind.is_socket() {
        ("a socket", format!("for a server's socket, write doorbell:{}", path.display()))
    } else if kind.is_dir() {
        ("a directory", "name a file in it".to_owned())
    } else {
        ("a device or a pipe", "memory is a regular file, in /dev/shm or on hugetlbfs".to_owned())
    };
    Finding::problem("not-a-file", format!("{} is {what}", path.display()), remedy)
}

/// "Operation not permitted": what a file's mode denies is EACCES.
const EPERM: i32 = 1;

/// Whether this program may read and write it.
fn access(path: &Path, facts: &Metadata) -> Option<Finding> {
    let error = File::options().read(true).write(true).open(path).err()?;
    let user = User::own();
    match error.kind() {
        _ if error.raw_os_error() == Some(EPERM) => Some(Finding::problem(
            "immutable",
            format!("{} has an attribute by which nobody may change it (lsattr)", path.display()),
            format!("as root: chattr -i -a {}", path.display()),
        )),
        ErrorKind::ReadOnlyFilesystem => Some(Finding::problem(
            "read-only",
            format!("the file system of {} can only be read", path.display()),
            "mount it with -o remount,rw, or open it for reading: plain:PATH?readonly",
        )),
        // The mode lets this user in, and yet.
        ErrorKind::PermissionDenied if user.stopped_at(path).is_none() => Some(confinement::refused(path)),
        _ => Some(Finding::problem(
            "not-permitted",
            format!("user {} may not read and write {} ({})", user.name, path.display(), described(facts)),
            format!(
                "give it a group that this user and QEMU's share: chgrp GROUP {0} && chmod 660 {0}; in /dev/shm, where \
                 it is gone after a reboot, by /etc/tmpfiles.d/ivshmem.conf: f {0} 0660 root GROUP -",
                path.display()
            ),
        )),
    }
}

/// Whether QEMU may, which seldom runs as the user who asks.
fn qemu_access(path: &Path, facts: &Metadata, asked: Option<&str>) -> Option<Finding> {
    let candidates = asked.map_or_else(|| vec!["libvirt-qemu", "qemu"], |name| vec![name]);
    let Some(user) = candidates.iter().find_map(|name| User::find(name)) else {
        return asked.map(|name| {
            let cause = format!("there is no user {name}, as whom QEMU is said to run");
            Finding::note("no-such-user", cause, "name another: --qemu-user NAME")
        });
    };
    let stopped = user.stopped_at(path)?;
    let cause = if stopped == path {
        format!(
            "{} was created for others ({}): a machine that runs as {} cannot use it",
            path.display(),
            described(facts),
            user.name
        )
    } else {
        format!("a machine that runs as {} may not pass {}", user.name, stopped.display())
    };
    Some(Finding::problem(
        "qemu-not-permitted",
        cause,
        format!(
            "start the machine first and let it create the file, or give both a group: chgrp GROUP {0} && chmod 660 {0}, \
             GROUP being one that {1} is in (id {1})",
            path.display(),
            user.name
        ),
    ))
}

fn check_size(path: &Path, size: u64, wanted: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let right = wanted.unwrap_or(size).max(4096).checked_next_power_of_two();
    let right = right.map_or("SIZE".to_owned(), units);
    if size == 0 {
        findings.push(Finding::problem(
            "file-empty",
            format!("{} has no bytes", path.display()),
            format!(
                "give it its size: truncate -s {} {}",
                wanted.map_or("SIZE".to_owned(), |_| right),
                path.display()
            ),
        ));
        return findings;
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != size) {
        findings.push(stale(path, size, wanted));
    }
    if !size.is_power_of_two() || size < 4096 {
        findings.push(Finding::problem(
            "size-not-a-power-of-two",
            format!(
                "{} has {size} bytes; QEMU ends at once unless that is a power of two from 4096 on",
                path.display()
            ),
            format!("with nobody using it: truncate -s {right} {}", path.display()),
        ));
    }
    findings
}

fn stale(path: &Path, size: u64, wanted: u64) -> Finding {
    Finding::problem(
        "size-differs",
        format!(
            "{} has {size} bytes ({}), and {wanted} ({}) are wanted: it is from another time, or another program \
             made it",
            path.display(),
            units(size),
            units(wanted)
        ),
        format!(
            "when nobody uses it any more (fuser {0}): rm {0}; else use its size everywhere",
            path.display()
        ),
    )
}
