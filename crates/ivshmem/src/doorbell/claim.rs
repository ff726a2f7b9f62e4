//! Allows one kind of reader for each vector at a time, without a lock.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{DoorbellError, Reader};

/// The kind of the readers of one vector, and their number.
#[derive(Debug, Default)]
pub(crate) struct Claim(AtomicU32);

/// The two upper bits are the kind; the other bits are the number of readers.
const KIND_SHIFT: u32 = 30;
const COUNT_MASK: u32 = (1 << KIND_SHIFT) - 1;

impl Claim {
    /// Takes a share of the vector. There is at most one raw reader.
    ///
    /// # Errors
    /// [`DoorbellError::Busy`] with the kind of reader that has the vector.
    pub(crate) fn take(&self, vector: u16, reader: Reader) -> Result<(), DoorbellError> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if let Some(holder) = holder(seen)
                && (holder != reader || reader == Reader::Raw)
            {
                return Err(DoorbellError::Busy { vector, reader: holder });
            }
            let next = kind(reader) | ((seen & COUNT_MASK) + 1);
            // Acquire pairs with the Release in `give_back`: the last reader's accesses to the descriptor happen before.
            match self.0.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// Returns one share. The last one frees the vector.
    pub(crate) fn give_back(&self) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = if seen & COUNT_MASK == 1 { 0 } else { seen - 1 };
            match self.0.compare_exchange_weak(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

fn kind(reader: Reader) -> u32 {
    match reader {
        Reader::Waiters => 1 << KIND_SHIFT,
        Reader::Callbacks => 2 << KIND_SHIFT,
        Reader::Raw => 3 << KIND_SHIFT,
    }
}

fn holder(word: u32) -> Option<Reader> {
    [Reader::Waiters, Reader::Callbacks, Reader::Raw].into_iter().find(|r| kind(*r) == word & !COUNT_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_kind_shares_a_vector_and_keeps_others_out_until_the_last_has_gone() {
        let claim = Claim::default();
        claim.take(4, Reader::Waiters).unwrap();
        claim.take(4, Reader::Waiters).unwrap();
        claim.give_back();
        let error = claim.take(4, Reader::Callbacks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(
            error.to_string(),
            "vector 4 is read by threads that wait; let the waits end first, or use another vector"
        );
        claim.give_back();
        claim.take(4, Reader::Raw).unwrap();
        assert!(claim.take(4, Reader::Raw).is_err(), "a raw reader is alone");
        claim.give_back();
        claim.take(4, Reader::Callbacks).unwrap();
    }
}
