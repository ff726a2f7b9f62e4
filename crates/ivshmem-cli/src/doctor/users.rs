//! Other users: what the permissions of a file allow them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{getegid, geteuid, getgroups};

/// A user with all groups.
pub(super) struct User {
    pub name: String,
    uid: u32,
    groups: Vec<u32>,
}

impl User {
    /// As whom this program runs.
    pub(super) fn own() -> Self {
        let uid = geteuid().as_raw();
        let groups = getgroups().unwrap_or_default().into_iter().chain([getegid()]);
        Self { name: name("/etc/passwd", uid), uid, groups: groups.map(|group| group.as_raw()).collect() }
    }

    /// As /etc/passwd and /etc/group have it.
    pub(super) fn find(name: &str) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let group = fs::read_to_string("/etc/group").ok()?;
        let fields: Vec<&str> = passwd.lines().find_map(|line| {
            line.strip_prefix(name)?.strip_prefix(':').map(|rest| rest.split(':').collect())
        })?;
        let (uid, gid) = (fields.get(1)?.parse().ok()?, fields.get(2)?.parse().ok()?);
        let groups = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_member = fields.get(3)?.split(',').any(|member| member == name);
            is_member.then(|| fields[2].parse().ok())?
        });
        Some(Self { name: name.to_owned(), uid, groups: groups.chain([gid]).collect() })
    }

    /// Whether the mode lets this user do all of `bits`: 4 read, 2 write, 1 search. Access lists are not looked at.
    fn may(&self, facts: &Metadata, bits: u32) -> bool {
        let mode = if facts.uid() == self.uid {
            facts.mode() >> 6
        } else if self.groups.contains(&facts.gid()) {
            facts.mode() >> 3
        } else {
            facts.mode()
        };
        self.uid == 0 || mode & bits == bits
    }

    /// What on the way to a file this user may not pass, or the file itself when that may not be read and written.
    pub(super) fn stopped_at<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let directories = path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty());
        let mut directories: Vec<&Path> = directories.collect();
        directories.reverse();
        let closed = directories
            .into_iter()
            .find(|directory| fs::metadata(directory).is_ok_and(|facts| !self.may(&facts, 1)));
        closed.or_else(|| fs::metadata(path).is_ok_and(|facts| !self.may(&facts, 6)).then_some(path))
    }
}

/// The name that a number has in /etc/passwd or /etc/group, or the number.
fn name(file: &str, id: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.split(':').nth(2).is_some_and(|field| field == id.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| id.to_string(), str::to_owned)
}

/// Owner and mode as `ls` has them: "mode 600 of user root, group kvm".
pub(super) fn described(facts: &Metadata) -> String {
    format!(
        "mode {:03o}, user {}, group {}",
        facts.mode() & 0o7777,
        name("/etc/passwd", facts.uid()),
        name("/etc/group", facts.gid())
    )
}
