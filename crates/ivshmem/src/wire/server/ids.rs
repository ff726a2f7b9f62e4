use std::collections::HashMap;

use super::super::{MAX_PEERS, PeerId, Refusal};
use super::id_set::IdSet;

/// Assigns ids, and records which ids cannot be assigned again.
///
/// QEMU aborts if an id whose disconnection it has seen comes back. Therefore an id that was announced to a client stays burnt
/// until that client disconnects. A user gets another id only while the user's ids, in use or burnt, are fewer than the free
/// ones: the first user gets at most half of all ids, the second half of the rest, so some are always left for the next user.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// The ids in use or burnt.
    taken: IdSet,
    taken_count: u32,
    in_use: IdSet,
    /// For each id ever assigned: its last user, and the number of connected clients to which it was announced.
    records: Vec<Record>,
    /// The number of ids in use or burnt, by user. A user without any has no entry.
    held: HashMap<u32, u32>,
    /// No id below this one is free.
    lowest_free: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    uid: u32,
    seen_by: u32,
}

impl Ids {
    /// Assigns the lowest id that is not in use and was announced to no connected client.
    pub(super) fn take(&mut self, uid: u32) -> Result<PeerId, Refusal> {
        let id = self.taken.first_absent(PeerId(self.lowest_free)).ok_or(Refusal::IdsSpent)?;
        let held = self.held.entry(uid).or_default();
        if *held >= MAX_PEERS - self.taken_count {
            return Err(Refusal::IdsOfUserSpent);
        }
        *held += 1;
        let index = usize::from(id.0);
        if index >= self.records.len() {
            self.records.resize(index + 1, Record::default());
        }
        self.records[index] = Record { uid, seen_by: 0 };
        self.taken.insert(id);
        self.taken_count += 1;
        self.in_use.insert(id);
        self.lowest_free = id.0;
        Ok(id)
    }

    /// Records that the client with this id has disconnected.
    pub(super) fn release(&mut self, id: PeerId) {
        self.in_use.remove(id);
        self.free_if_forgotten(id);
    }

    /// Records that this id was announced to another connected client.
    pub(super) fn seen(&mut self, id: PeerId) {
        self.records[usize::from(id.0)].seen_by += 1;
    }

    /// Records that a client to which this id was announced has disconnected.
    pub(super) fn forgotten(&mut self, id: PeerId) {
        self.records[usize::from(id.0)].seen_by -= 1;
        self.free_if_forgotten(id);
    }

    /// The number of ids that are neither in use nor burnt.
    pub(super) fn free(&self) -> u32 {
        MAX_PEERS - self.taken_count
    }

    fn free_if_forgotten(&mut self, id: PeerId) {
        let Record { uid, seen_by } = self.records[usize::from(id.0)];
        if seen_by > 0 || self.in_use.contains(id) {
            return;
        }
        self.taken.remove(id);
        self.taken_count -= 1;
        self.lowest_free = self.lowest_free.min(id.0);
        let held = self.held.get_mut(&uid).expect("who has an id taken has an entry");
        *held -= 1;
        if *held == 0 {
            self.held.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_id_that_no_living_client_knows_is_taken() {
        let mut ids = Ids::default();
        for id in 0..3 {
            assert_eq!(ids.take(7), Ok(PeerId(id)));
        }
        ids.seen(PeerId(0));
        ids.release(PeerId(0));
        ids.release(PeerId(1));
        assert_eq!(ids.take(7), Ok(PeerId(1)), "0 is burnt, 1 was never told");
        ids.forgotten(PeerId(0));
        assert_eq!(ids.take(7), Ok(PeerId(0)));
        assert_eq!(ids.free(), MAX_PEERS - 3);
    }

    #[test]
    fn no_user_can_take_all_ids_from_the_next() {
        let mut ids = Ids::default();
        let mut taken = Vec::new();
        for (uid, share) in [(1, 32_768), (2, 16_384), (3, 8_192)] {
            let mine: Vec<_> = std::iter::from_fn(|| ids.take(uid).ok()).collect();
            assert_eq!(mine.len(), share);
            assert_eq!(ids.take(uid), Err(Refusal::IdsOfUserSpent));
            taken.extend(mine);
        }
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 32_768 + 16_384 + 8_192);
        for id in taken {
            ids.release(id);
        }
        assert_eq!((ids.free(), ids.held.len()), (MAX_PEERS, 0));
    }

    #[test]
    fn burnt_ids_count_for_the_user_who_had_them() {
        let mut ids = Ids::default();
        for _ in 0..32_768 {
            let id = ids.take(1).unwrap();
            ids.seen(id);
            ids.release(id);
        }
        assert_eq!(ids.take(1), Err(Refusal::IdsOfUserSpent));
        assert_eq!(ids.take(2), Ok(PeerId(32_768)));
    }

    #[test]
    fn the_last_id_is_given_out_and_then_none() {
        let mut ids = Ids::default();
        // Each user takes one id, so no user reaches a share before all ids are spent.
        for uid in 0..MAX_PEERS {
            assert_eq!(u32::from(ids.take(uid).unwrap().0), uid);
        }
        assert_eq!(ids.take(MAX_PEERS), Err(Refusal::IdsSpent));
        ids.release(PeerId(u16::MAX));
        assert_eq!(ids.take(MAX_PEERS), Ok(PeerId(u16::MAX)));
    }
}
