//! Other users, and what the permissions of files let them do.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use ivshmem::shell_word;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::request::Doctor;
use crate::finding::Finding;

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const SEARCH: u32 = 1;

/// A user and the user's groups.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub name: String,
    pub uid: u32,
    /// The primary group is the first.
    pub groups: Vec<u32>,
}

/// A directory on the path, or the file itself, that denies access to a user.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub path: PathBuf,
    pub facts: Metadata,
}

impl User {
    /// The user of this process.
    pub(super) fn own() -> Self {
        let uid = geteuid().as_raw();
        let groups = [getegid()].into_iter().chain(getgroups().unwrap_or_default());
        Self { name: user_name(uid), uid, groups: groups.map(|group| group.as_raw()).collect() }
    }

    /// Reads /etc/passwd and /etc/group.
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
        Some(Self { name: name.to_owned(), uid, groups: [gid].into_iter().chain(groups).collect() })
    }

    /// The user of machines: the one named on the command line, else libvirt's user if there is one.
    pub(super) fn of_qemu(doctor: &Doctor) -> Result<Option<Self>, Finding> {
        let Some(name) = &doctor.qemu_user else {
            return Ok(["libvirt-qemu", "qemu"].into_iter().find_map(Self::find));
        };
        Self::find(name).map(Some).ok_or_else(|| {
            Finding::note(
                "no-such-user",
                format!("there is no user {name}, as whom QEMU is said to run"),
                format!(
                    "name another, or leave that to the doctor: `ivshmem doctor {}`",
                    shell_word(doctor.target.as_deref().unwrap_or_default())
                ),
            )
        })
    }

    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Calls `deed` in a thread with this user's rights. `None` where that is impossible: only root can take another user's
    /// rights.
    pub(super) fn act<T: Send>(&self, deed: impl FnOnce() -> T + Send) -> Option<T> {
        if self.is_root() || !geteuid().is_root() {
            return None;
        }
        let (user, groups) = (Uid::from_raw(self.uid), self.groups.iter().map(|group| Gid::from_raw(*group)));
        let groups: Vec<Gid> = groups.collect();
        // These calls change the credentials of the calling thread only.
        let acting = || {
            set_thread_groups(&groups).ok()?;
            set_thread_res_gid(groups[0], groups[0], groups[0]).ok()?;
            set_thread_res_uid(user, user, user).ok()?;
            Some(deed())
        };
        thread::scope(|scope| scope.spawn(acting).join().ok().flatten())
    }

    /// Whether this user may create the path, with the missing directories above it.
    pub(super) fn may_make(&self, path: &Path) -> bool {
        let directory = path.ancestors().skip(1).find(|above| above.exists());
        directory.is_none_or(|directory| self.obstacles(directory, WRITE | SEARCH).is_empty())
    }

    /// Whether the permissions grant this user all of `bits`.
    fn may(&self, path: &Path, facts: &Metadata, bits: u32) -> bool {
        if self.is_root() {
            return true;
        }
        if let Some(list) = AccessList::of(path) {
            return list.allows(self, facts, bits);
        }
        let mode = if facts.uid() == self.uid {
            facts.mode() >> 6
        } else if self.groups.contains(&facts.gid()) {
            facts.mode() >> 3
        } else {
            facts.mode()
        };
        mode & bits == bits
    }

    /// Everything that denies this user the access `bits` to a file, as far as this program can see it.
    pub(super) fn obstacles(&self, path: &Path, bits: u32) -> Vec<Obstacle> {
        // With links, access needs the directories of both the link's path and its target's path.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut steps: Vec<PathBuf> = Vec::new();
        for path in [path, &real] {
            let directories: Vec<&Path> =
                path.ancestors().skip(1).filter(|step| !step.as_os_str().is_empty()).collect();
            for directory in directories.into_iter().rev() {
                let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
                if !steps.contains(&directory) {
                    steps.push(directory);
                }
            }
        }
        let steps = steps.into_iter().map(|step| (step, SEARCH)).chain([(path.to_owned(), bits)]);
        let closed = steps.filter_map(|(path, bits)| {
            let facts = fs::metadata(&path).ok()?;
            (!self.may(&path, &facts, bits)).then_some(Obstacle { path, facts })
        });
        closed.collect()
    }
}

/// An access control list as made by `setfacl`, which adds users and groups to those of the mode.
pub(super) struct AccessList(Vec<Entry>);

struct Entry {
    tag: u16,
    bits: u32,
    id: u32,
}

/// Tags of linux/posix_acl.h.
const OWNER: u16 = 0x01;
const NAMED_USER: u16 = 0x02;
const GROUP: u16 = 0x04;
const NAMED_GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

impl AccessList {
    /// `None` where the mode alone decides.
    pub(super) fn of(path: &Path) -> Option<Self> {
        // A version and entries of eight bytes; lists have at most a few hundred entries.
        let mut bytes = [0; 4 + 8 * 1024];
        let length = rustix::fs::getxattr(path, "system.posix_acl_access", &mut bytes).ok()?;
        let entries = bytes.get(4..length)?.chunks_exact(8).map(|entry| Entry {
            tag: u16::from_le_bytes([entry[0], entry[1]]),
            bits: u32::from(u16::from_le_bytes([entry[2], entry[3]])),
            id: u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]),
        });
        Some(Self(entries.collect()))
    }

    /// As in acl(5): the first matching class of owner, user, groups, others decides; the mask limits all but the first and
    /// last.
    fn allows(&self, user: &User, facts: &Metadata, bits: u32) -> bool {
        let first = |tag: u16| self.0.iter().find(|entry| entry.tag == tag).map(|entry| entry.bits);
        let mask = first(MASK).unwrap_or(7);
        if facts.uid() == user.uid {
            return first(OWNER).unwrap_or(0) & bits == bits;
        }
        if let Some(named) = self.0.iter().find(|entry| entry.tag == NAMED_USER && entry.id == user.uid) {
            return named.bits & mask & bits == bits;
        }
        let mut groups = self.0.iter().filter(|entry| match entry.tag {
            GROUP => user.groups.contains(&facts.gid()),
            NAMED_GROUP => user.groups.contains(&entry.id),
            _ => false,
        });
        let mut is_member = false;
        if groups.any(|entry| {
            is_member = true;
            entry.bits & mask & bits == bits
        }) {
            return true;
        }
        !is_member && first(OTHERS).unwrap_or(0) & bits == bits
    }
}

/// A command in a remedy, with the required user and, for a program that not every system has, its package.
pub(super) fn typed(command: &str, by_root: bool) -> String {
    let who = if by_root { "as root: " } else { "" };
    let package = if command.contains("setfacl ") { " (setfacl is in Debian's package acl)" } else { "" };
    format!("{who}`{command}`{package}")
}

/// A command that only root may run.
pub(super) fn as_root(command: &str) -> String {
    typed(command, true)
}

/// The name for a number in /etc/passwd or /etc/group, or else the number.
fn name(file: &str, id: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.split(':').nth(2).is_some_and(|field| field == id.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| id.to_string(), str::to_owned)
}

pub(super) fn user_name(id: u32) -> String {
    name("/etc/passwd", id)
}

pub(super) fn group_name(id: u32) -> String {
    name("/etc/group", id)
}

/// Owner and mode in the words of `ls`: "mode 600, user root, group kvm".
pub(super) fn described(facts: &Metadata) -> String {
    format!(
        "mode {:03o}, user {}, group {}",
        facts.mode() & 0o7777,
        user_name(facts.uid()),
        group_name(facts.gid())
    )
}
