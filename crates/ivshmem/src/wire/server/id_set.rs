use super::super::PeerId;

/// A compact set of ids, which is compared word by word. It grows up to the highest id that it ever contained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IdSet {
    words: Vec<u64>,
}

impl IdSet {
    pub(super) fn contains(&self, id: PeerId) -> bool {
        self.word(usize::from(id.0) / 64) & bit(id) != 0
    }

    /// Adds an id, and returns whether it is new.
    pub(super) fn insert(&mut self, id: PeerId) -> bool {
        let index = usize::from(id.0) / 64;
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        let new = self.words[index] & bit(id) == 0;
        self.words[index] |= bit(id);
        new
    }

    pub(super) fn remove(&mut self, id: PeerId) {
        if let Some(word) = self.words.get_mut(usize::from(id.0) / 64) {
            *word &= !bit(id);
        }
    }

    /// The lowest id from `start` on that is in this set and not in `other`.
    pub(super) fn first_missing_in(&self, other: &IdSet, start: u32) -> Option<PeerId> {
        let first = usize::try_from(start / 64).expect("an id fits in a usize");
        (first..self.words.len()).find_map(|index| {
            let reached = if index == first { u64::MAX << (start % 64) } else { u64::MAX };
            lowest(index, self.words[index] & !other.word(index) & reached)
        })
    }

    /// The lowest id from `start` on that is not in this set; `None` if the set contains all of them.
    pub(super) fn first_absent(&self, start: PeerId) -> Option<PeerId> {
        let first = usize::from(start.0) / 64;
        (first..=usize::from(u16::MAX) / 64).find_map(|index| {
            let reached = if index == first { u64::MAX << (start.0 % 64) } else { u64::MAX };
            lowest(index, !self.word(index) & reached)
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let id = lowest(index, rest)?;
                rest &= rest - 1;
                Some(id)
            })
        })
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }
}

fn bit(id: PeerId) -> u64 {
    1 << (id.0 % 64)
}

/// The id of the lowest set bit in the word at `index`.
fn lowest(index: usize, word: u64) -> Option<PeerId> {
    if word == 0 {
        return None;
    }
    let id = index * 64 + usize::try_from(word.trailing_zeros()).expect("below 64");
    Some(PeerId(u16::try_from(id).expect("a set has at most 65,536 ids")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u16]) -> IdSet {
        let mut set = IdSet::default();
        for id in ids {
            assert!(set.insert(PeerId(*id)));
        }
        set
    }

    #[test]
    fn ids_at_the_edges_of_words_and_of_the_range_are_kept_apart() {
        let ids = [0, 1, 63, 64, 127, 65_535];
        let mut all = set(&ids);
        assert_eq!(all.iter().map(|id| id.0).collect::<Vec<_>>(), ids);
        assert!(!all.insert(PeerId(63)) && !all.contains(PeerId(62)));
        all.remove(PeerId(63));
        all.remove(PeerId(62));
        assert!(!all.contains(PeerId(63)) && all.contains(PeerId(64)));
    }

    #[test]
    fn the_difference_is_found_from_any_start() {
        let (all, some) = (set(&[0, 5, 64, 65_535]), set(&[0, 64]));
        assert_eq!(all.first_missing_in(&some, 0), Some(PeerId(5)));
        assert_eq!(all.first_missing_in(&some, 6), Some(PeerId(65_535)));
        assert_eq!(all.first_missing_in(&some, 65_536), None);
        assert_eq!(some.first_missing_in(&all, 0), None);
    }

    #[test]
    fn the_lowest_absent_id_is_found_until_there_is_none() {
        assert_eq!(set(&[]).first_absent(PeerId(0)), Some(PeerId(0)));
        assert_eq!(set(&[0, 1, 3]).first_absent(PeerId(0)), Some(PeerId(2)));
        assert_eq!(set(&[0, 1, 3]).first_absent(PeerId(3)), Some(PeerId(4)));
        let full = set(&(0..=u16::MAX).collect::<Vec<_>>());
        assert_eq!(full.first_absent(PeerId(0)), None);
    }
}
