use std::sync::atomic::Ordering;

use ivshmem::region::Memory;

use super::{PAYLOAD, Role, Side};

impl Side<'_> {
    /// Both sides change the same words concurrently, `times` times each: by adding, and by compare-and-exchange loops. No
    /// change may be lost. The words are aligned, because an emulator does not make other accesses atomic.
    ///
    /// # Panics
    /// When a sum is wrong.
    pub fn sums(&mut self, times: u32) {
        let memory = self.device.memory();
        let words = self.part(Role::First, 0) + PAYLOAD;
        if self.role == Role::First {
            memory.fill(words, 0, 128).unwrap();
        }
        self.meet();
        for _ in 0..times {
            add(memory, words);
        }
        self.meet();
        let both = 2 * u64::from(times);
        let [one, two, four] = [0, 2, 4].map(|at| words + at);
        assert_eq!(u64::from(memory.read_word::<u8>(one).unwrap()), both & 0xff);
        assert_eq!(u64::from(memory.read_word::<u16>(two).unwrap()), both & 0xffff);
        assert_eq!(u64::from(memory.read_word::<u32>(four).unwrap()), both);
        assert_eq!(memory.read_word::<u64>(words + 8).unwrap(), both << 16);
        assert_eq!(u64::from(memory.read_word::<u32>(words + 16).unwrap()), 3 * both);
        assert_eq!(memory.read_word::<u64>(words + 24).unwrap(), both << 20);
        // Neither side may start again before the other one has checked.
        self.meet();
    }
}

fn add(memory: &Memory, words: u64) {
    let order = Ordering::AcqRel;
    memory.fetch_add(words, 1_u8, order).unwrap();
    memory.fetch_add(words + 2, 1_u16, order).unwrap();
    memory.fetch_add(words + 4, 1_u32, order).unwrap();
    // Carries from the lower half of the word to the upper one, which two accesses of 32 bits would lose.
    memory.fetch_add(words + 8, 1_u64 << 16, order).unwrap();
    exchange(|old: u32| memory.compare_exchange(words + 16, old, old + 3, order, Ordering::Acquire).unwrap());
    exchange(|old: u64| {
        memory.compare_exchange(words + 24, old, old + (1_u64 << 20), order, Ordering::Acquire).unwrap()
    });
}

/// Retries with the value found until the exchange succeeds.
fn exchange<T: Default>(mut attempt: impl FnMut(T) -> Result<T, T>) {
    let mut old = T::default();
    while let Err(found) = attempt(old) {
        old = found;
    }
}
