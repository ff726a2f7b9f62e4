use ivshmem::region::{Memory, Word};

use super::{PAYLOAD, Role, Side, pattern};

const LENGTH: usize = 1500;

impl Side<'_> {
    /// Checks that words of every size and rows of bytes look the same on both sides, at any alignment.
    ///
    /// # Panics
    /// When they do not.
    pub fn words(&mut self) {
        for writer in [Role::First, Role::Second] {
            for start in 0..8 {
                let at = self.part(Role::First, 0) + PAYLOAD + start;
                let memory = self.device.memory();
                if self.role == writer {
                    write(memory, at);
                }
                self.meet();
                check(memory, at);
                self.meet();
            }
        }
    }
}

fn write(memory: &Memory, at: u64) {
    memory.write_word(at, 0x81_u8).unwrap();
    memory.write_word_le(at + 1, 0x8182_u16).unwrap();
    memory.write_word_be(at + 3, 0x8182_8384_u32).unwrap();
    memory.write_word_le(at + 7, 0x8182_8384_8586_8788_u64).unwrap();
    memory.write_word_le(at + 15, (-5_i64).cast_unsigned()).unwrap();
    memory.write_word_le(at + 23, f64::to_bits(-0.1)).unwrap();
    memory.write(at + 31, &pattern(at, LENGTH)).unwrap();
    memory.fence();
}

fn check(memory: &Memory, at: u64) {
    let mut bytes = [0; 31];
    memory.read(at, &mut bytes).unwrap();
    let mut wanted = vec![0x81, 0x82, 0x81, 0x81, 0x82, 0x83, 0x84];
    wanted.extend([0x88, 0x87, 0x86, 0x85, 0x84, 0x83, 0x82, 0x81]);
    wanted.extend([0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    wanted.extend([0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0xbf]);
    assert_eq!(bytes.as_slice(), wanted);
    is(memory, at, 0x81_u8);
    is(memory, at + 1, 0x8182_u16);
    is(memory, at + 3, 0x8182_8384_u32.to_be());
    is(memory, at + 7, 0x8182_8384_8586_8788_u64);
    let mut row = vec![0; LENGTH];
    memory.read(at + 31, &mut row).unwrap();
    assert!(row == pattern(at, LENGTH), "a row of {LENGTH} bytes at {at}");
}

fn is<T: Word + PartialEq + std::fmt::Debug>(memory: &Memory, at: u64, wanted: T) {
    assert_eq!(memory.read_word::<T>(at).unwrap(), wanted, "a word of {} bytes at {at}", size_of::<T>());
}
