use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::{COUNTER, LENGTH, PART, PAYLOAD, Role, SEED, Side, pattern};

impl Side<'_> {
    /// Makes `rounds` round trips on every vector: the first side writes random bytes and rings; the second side answers
    /// with the same bytes in reverse order and inverted, and rings back. Each side checks every byte.
    ///
    /// # Panics
    /// When a byte is wrong, or an interrupt is missing.
    pub fn exchange(&mut self, rounds: u32) {
        for vector in 0..self.device.vectors() {
            self.store(vector, COUNTER, 0);
            self.meet();
            let ears = self.ears(vector);
            for round in 1..=rounds {
                match self.role {
                    Role::First => {
                        let seed = RandomState::new().build_hasher().finish();
                        let length = usize::try_from(seed % (PART - PAYLOAD)).unwrap();
                        let question = pattern(seed, length);
                        self.say(vector, round, seed, &question);
                        self.until_counted(&ears, vector, round);
                        let (_, answer) = self.hear_out(vector);
                        assert!(
                            answer == turned(&question),
                            "vector {vector}, round {round}: {length} bytes"
                        );
                    }
                    Role::Second => {
                        self.until_counted(&ears, vector, round);
                        let (seed, question) = self.hear_out(vector);
                        assert!(question == pattern(seed, question.len()), "vector {vector}, round {round}");
                        self.say(vector, round, seed, &turned(&question));
                    }
                }
            }
        }
    }

    fn say(&self, vector: u16, round: u32, seed: u64, bytes: &[u8]) {
        let part = self.part(self.role, vector);
        let memory = self.device.memory();
        memory.write(part + PAYLOAD, bytes).unwrap();
        memory.write_word(part + LENGTH, u32::try_from(bytes.len()).unwrap()).unwrap();
        memory.write_word(part + SEED, seed).unwrap();
        self.store(vector, COUNTER, round);
        self.ring(vector);
    }

    fn hear_out(&self, vector: u16) -> (u64, Vec<u8>) {
        let part = self.part(self.other_role(), vector);
        let memory = self.device.memory();
        let length: u32 = memory.read_word(part + LENGTH).unwrap();
        let mut bytes = vec![0; length as usize];
        memory.read(part + PAYLOAD, &mut bytes).unwrap();
        (memory.read_word(part + SEED).unwrap(), bytes)
    }
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().map(|byte| !byte).collect()
}
