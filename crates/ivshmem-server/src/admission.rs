//! Admission rules: which users and groups may connect, and how often.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::peer::{self, Credentials};
use ivshmem::wire::Refusal;

/// The rules for new connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    pub(crate) uids: BTreeSet<u32>,
    pub(crate) gids: BTreeSet<u32>,
    /// Maximum number of connections per user and second.
    pub(crate) rate: Option<u32>,
}

/// The rules and the number of connections in the current second.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    rules: Admission,
    second: Instant,
    /// Connections in this second, by user. The map has at most as many entries as there are connections, so it needs no
    /// separate limit.
    came: HashMap<u32, u32>,
}

impl Gatekeeper {
    pub(crate) fn new(rules: Admission) -> Self {
        Self { rules, second: Instant::now(), came: HashMap::new() }
    }

    /// Returns the credentials of the other end of this connection, or the refusal if that user may not connect now.
    pub(crate) fn admit(&mut self, socket: impl AsFd, now: Instant) -> Result<Credentials, Refusal> {
        let who = peer::credentials(&socket).map_err(|_| Refusal::NotAdmitted)?;
        // Supplementary groups are read only when the decision depends on them.
        let groups = || peer::groups(&socket).unwrap_or_default();
        if !self.rules.admit(who, groups) {
            return Err(Refusal::NotAdmitted);
        }
        if !self.keeps_the_rate(who.uid, now) {
            return Err(Refusal::TooOften);
        }
        Ok(who)
    }

    fn keeps_the_rate(&mut self, uid: u32, now: Instant) -> bool {
        let Some(rate) = self.rules.rate else { return true };
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.came.clear();
        }
        let came = self.came.entry(uid).or_default();
        *came = came.saturating_add(1);
        *came <= rate
    }
}

impl Admission {
    fn admit(&self, who: Credentials, groups: impl FnOnce() -> Vec<u32>) -> bool {
        if self.uids.is_empty() && self.gids.is_empty() {
            return true;
        }
        self.uids.contains(&who.uid)
            || self.gids.contains(&who.gid)
            || (!self.gids.is_empty() && groups().iter().any(|gid| self.gids.contains(gid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(uids: &[u32], gids: &[u32]) -> Admission {
        Admission { uids: uids.iter().copied().collect(), gids: gids.iter().copied().collect(), rate: None }
    }

    #[test]
    fn a_user_is_admitted_by_id_by_group_or_by_supplementary_group_and_root_by_no_special_right() {
        let who = |uid, gid| Credentials { pid: None, uid, gid };
        let no_groups = Vec::new;
        assert!(rules(&[], &[]).admit(who(5, 5), no_groups), "no list admits all");
        assert!(rules(&[5], &[]).admit(who(5, 9), no_groups));
        assert!(!rules(&[5], &[]).admit(who(6, 5), || vec![5]), "a group is no user");
        assert!(rules(&[], &[5]).admit(who(6, 5), no_groups));
        assert!(rules(&[], &[5]).admit(who(6, 6), || vec![4, 5]));
        assert!(!rules(&[], &[5]).admit(who(5, 6), || vec![4]));
        assert!(rules(&[7], &[5]).admit(who(6, 6), || vec![5]), "one of the lists is enough");
        assert!(!rules(&[7], &[7]).admit(who(0, 0), || vec![0]));
    }

    #[test]
    fn each_user_has_its_own_rate_and_a_new_second_begins_it_anew() {
        let mut gatekeeper = Gatekeeper::new(Admission { rate: Some(3), ..Admission::default() });
        let start = Instant::now();
        let comes = |gatekeeper: &mut Gatekeeper, uid, n| {
            (0..n).filter(|_| gatekeeper.keeps_the_rate(uid, start)).count()
        };
        assert_eq!(comes(&mut gatekeeper, 1, 10), 3);
        assert_eq!(comes(&mut gatekeeper, 2, 2), 2);
        let later = start + Duration::from_millis(1_001);
        assert!(gatekeeper.keeps_the_rate(1, later));
        assert_eq!(gatekeeper.came.len(), 1, "who does not come again is forgotten");
    }
}
