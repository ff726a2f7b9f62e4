//! Commands after which both this program's user and QEMU's user can use a file, directory or socket.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ivshmem::shell_word;

use super::places;
use super::users::{AccessList, Obstacle, User, group_name};

/// The users who need access to the memory or the socket.
pub(super) struct Sharers {
    pub own: User,
    pub qemu: Option<User>,
}

impl Sharers {
    /// The commands that give all sharers access to the directories and to the file or socket itself; `bits` is what its
    /// mode gets, such as "rw". `None` where that would give access to too much: then another place is the remedy.
    pub(super) fn open_up(&self, obstacles: &[Obstacle], bits: &str) -> Option<String> {
        let steps = obstacles.iter().map(|obstacle| {
            let is_directory = obstacle.facts.is_dir();
            let may_change = if is_directory {
                places::may_be_opened(&obstacle.path)
            } else {
                !obstacle.facts.is_file() || places::is_memory(&obstacle.path, &obstacle.facts)
            };
            may_change.then(|| self.step(obstacle, if is_directory { "x" } else { bits }))
        });
        let steps: Option<Vec<String>> = steps.collect();
        steps.map(|steps| steps.join(" && "))
    }

    fn step(&self, obstacle: &Obstacle, bits: &str) -> String {
        let path = shell_word(obstacle.path.display());
        let owner = self.owner(obstacle);
        // Users who have access keep it.
        let facts = &obstacle.facts;
        let takes_group = facts.gid() != 0 && facts.mode() & 0o070 != 0;
        let takes = owner.as_ref().is_some_and(|owner| {
            takes_group || (!owner.starts_with(':') && facts.uid() != 0 && facts.uid() != self.own.uid)
        });
        if takes || AccessList::of(&obstacle.path).is_some() {
            let users = self.users().iter().map(|user| format!("u:{}:{bits}", user.name)).collect::<Vec<_>>();
            return format!("setfacl -m {} {path}", users.join(","));
        }
        // By owner and group, which chown sets, and without permissions for users who are not sharers.
        let owning = if owner.as_ref().is_some_and(|owner| !owner.starts_with(':')) {
            self.own.uid
        } else {
            facts.uid()
        };
        let is_owner = |user: &&User| user.uid == owning;
        let who = match (self.users().iter().any(is_owner), self.users().iter().all(is_owner)) {
            (_, true) => "u",
            (true, false) => "ug",
            (false, false) => "g",
        };
        let owner = owner.map_or(String::new(), |owner| format!("chown {owner} {path} && "));
        format!("{owner}chmod {who}+{bits} {path}")
    }

    /// The sharers that are subject to permissions.
    fn users(&self) -> Vec<&User> {
        [Some(&self.own), self.qemu.as_ref()].into_iter().flatten().filter(|user| !user.is_root()).collect()
    }

    /// The argument of `chown`, if it is needed.
    fn owner(&self, obstacle: &Obstacle) -> Option<String> {
        let users = self.users();
        let others: Vec<&&User> = users.iter().filter(|user| user.uid != obstacle.facts.uid()).collect();
        let suits = |group: &u32| others.iter().all(|user| user.groups.contains(group));
        if suits(&obstacle.facts.gid()) {
            return None;
        }
        match others[..] {
            [] => None,
            [first, ..] => Some(match first.groups.iter().find(|group| suits(group)) {
                Some(group) => format!(":{}", group_name(*group)),
                None => self.owner_of_new(),
            }),
        }
    }

    /// Owner and group of a new file that all sharers may use: "USER:GROUP".
    pub(super) fn owner_of_new(&self) -> String {
        let (user, group) = self.user_and_group_of_new();
        format!("{user}:{group}")
    }

    pub(super) fn user_and_group_of_new(&self) -> (&str, String) {
        (&self.own.name, group_name(self.group_of_new()))
    }

    fn group_of_new(&self) -> u32 {
        self.qemu.as_ref().unwrap_or(&self.own).groups[0]
    }

    /// Whether only root can create a file at a path for all sharers.
    pub(super) fn need_root(&self, path: &Path) -> bool {
        let may_give = !self.are_several() || self.own.groups.contains(&self.group_of_new());
        !(self.own.is_root() || may_give && self.own.may_make(path))
    }

    /// The owner and the mode that a new file at a path must get, if its default ones are wrong.
    pub(super) fn owner_and_mode(&self, path: &Path) -> Option<(String, &'static str)> {
        if self.are_several() {
            Some((self.owner_of_new(), "660"))
        } else {
            self.need_root(path).then(|| (self.owner_of_new(), "600"))
        }
    }

    /// Whether a file that this user creates needs another owner or mode than its default ones.
    fn are_several(&self) -> bool {
        self.qemu.as_ref().is_some_and(|qemu| !qemu.is_root() && qemu.uid != self.own.uid)
    }
}
