//! Handles: numbers that Java holds instead of pointers and that are looked up in every call.
//!
//! No number is used twice, so one that was freed, forged or kept too long finds no object. An object that is in use when
//! its handle is freed lives until that use ends.

use std::sync::{Arc, PoisonError, RwLock};

use crate::error::BridgeError;

/// The objects of one kind that Java holds.
pub(crate) struct Handles<T> {
    what: &'static str,
    slots: RwLock<Vec<Slot<T>>>,
}

/// One slot of the table. A handle consists of the slot's index and the number of objects that the slot has had.
struct Slot<T> {
    generation: u32,
    object: Option<Arc<T>>,
}

impl<T> Handles<T> {
    /// `what` names the kind in errors.
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, slots: RwLock::new(Vec::new()) }
    }

    /// Keeps an object until its handle is freed. Handles are positive.
    pub(crate) fn give(&self, object: T) -> i64 {
        let object = Some(Arc::new(object));
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        // A slot whose generations are used up is never used again.
        let place = slots.iter().position(|slot| slot.object.is_none() && slot.generation < LAST_GENERATION);
        let place = place.unwrap_or_else(|| {
            slots.push(Slot { generation: 0, object: None });
            slots.len() - 1
        });
        let slot = &mut slots[place];
        slot.generation += 1;
        slot.object = object;
        i64::from(slot.generation) << 32 | i64::try_from(place).expect("the handles fit into memory")
    }

    /// Returns the object of a handle, which lives as long as the caller keeps it.
    pub(crate) fn find(&self, handle: i64) -> Result<Arc<T>, BridgeError> {
        self.with(handle, |object| Ok(Arc::clone(object)))
    }

    /// Runs a short operation on the object. No handle can be created or freed meanwhile.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        handle: i64,
        short: impl FnOnce(&Arc<T>) -> Result<R, BridgeError>,
    ) -> Result<R, BridgeError> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let (generation, place) = split(handle);
        match slots.get(place) {
            Some(Slot { generation: now, object: Some(object) }) if *now == generation => short(object),
            _ => Err(BridgeError::NoSuchHandle(self.what)),
        }
    }

    /// Frees a handle. The object is dropped when its last use ends. Freeing a handle again has no effect.
    pub(crate) fn free(&self, handle: i64) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let (generation, place) = split(handle);
        let object = slots
            .get_mut(place)
            .filter(|slot| slot.generation == generation)
            .and_then(|slot| slot.object.take());
        // Drops outside the lock, because dropping may take long, for example until a server has stopped.
        drop(slots);
        drop(object);
    }
}

/// The highest generation for which a handle is positive.
const LAST_GENERATION: u32 = u32::MAX >> 1;

#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the two halves of the handle")]
fn split(handle: i64) -> (u32, usize) {
    ((handle >> 32) as u32, handle as u32 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_finds_its_object_until_it_is_freed() {
        let handles = Handles::new("number");
        let one = handles.give(1);
        let two = handles.give(2);
        assert_eq!((*handles.find(one).unwrap(), *handles.find(two).unwrap()), (1, 2));
        handles.free(one);
        handles.free(one);
        assert!(handles.find(one).is_err());
        assert_eq!(*handles.find(two).unwrap(), 2);
    }

    #[test]
    fn a_place_that_is_used_again_does_not_answer_to_its_old_handle() {
        let handles = Handles::new("number");
        let old = handles.give(1);
        handles.free(old);
        let new = handles.give(2);
        assert_eq!(split(old).1, split(new).1);
        assert!(handles.find(old).is_err());
        handles.free(old);
        assert_eq!(*handles.find(new).unwrap(), 2);
    }

    #[test]
    fn a_place_that_had_all_its_turns_is_left_empty() {
        let handles = Handles::new("number");
        handles.give(1);
        handles.free(1 << 32);
        handles.slots.write().unwrap()[0].generation = LAST_GENERATION;
        assert_eq!(handles.give(2), (1 << 32) + 1);
    }

    #[test]
    fn numbers_that_were_never_given_out_find_nothing() {
        let handles = Handles::new("number");
        handles.give(1);
        for forged in [0, 1, -1, i64::MIN, i64::MAX, 1 << 33, (1 << 32) + 1] {
            let error = handles.find(forged).unwrap_err();
            assert_eq!(error.to_string(), "the number is closed");
        }
    }

    #[test]
    fn what_is_in_use_outlives_its_handle() {
        let handles = Handles::new("number");
        let handle = handles.give(1);
        let used = handles.find(handle).unwrap();
        handles.free(handle);
        assert_eq!(*used, 1);
    }
}
