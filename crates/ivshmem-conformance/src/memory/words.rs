//! Plain numbers.

use std::fmt::Debug;

use ivshmem::region::{Memory, Word};

use super::{Fixture, bytes, places};

pub(super) fn orders(fixture: &dyn Fixture) {
    let memory = fixture.open();
    macro_rules! check {
        ($($word:ty: $($value:expr),*;)*) => {$($(
            let value: $word = $value;
            order(&memory, value, &value.to_ne_bytes(), Memory::write_word, Memory::read_word);
            order(&memory, value, &value.to_le_bytes(), Memory::write_word_le, Memory::read_word_le);
            order(&memory, value, &value.to_be_bytes(), Memory::write_word_be, Memory::read_word_be);
        )*)*};
    }
    check! {
        u8: 0, 1, u8::MAX;
        u16: 0, 0x0102, u16::MAX;
        u32: 0, 0x0102_0304, u32::MAX;
        u64: 0, 0x0102_0304_0506_0708, u64::MAX;
        i8: 0, -1, i8::MIN;
        i16: 0, -2, i16::MIN;
        i32: 0, -2, i32::MIN;
        i64: 0, -2, i64::MIN;
        f32: 0.0, -1.5, f32::INFINITY;
        f64: 0.0, -1.5, f64::MIN_POSITIVE;
    }
    // A NaN keeps its bits in both byte orders.
    for bits in [0x7fa0_0001_u32, 0xffc1_2345] {
        memory.write_word_be(3, bits).unwrap();
        let nan = memory.read_word_be::<f32>(3).unwrap();
        assert!(nan.is_nan());
        memory.write_word_le(8, nan).unwrap();
        assert_eq!(memory.read_word_le::<u32>(8).unwrap() | 0x40_0000, bits | 0x40_0000);
    }
}

pub(super) fn neighbours(fixture: &dyn Fixture) {
    let memory = fixture.open();
    macro_rules! check {
        ($($word:ty),*) => {$({
            let len = size_of::<$word>();
            for offset in 8..24_usize {
                memory.fill(0, 0x5a, 48).unwrap();
                memory.write_word(offset as u64, <$word>::default()).unwrap();
                let mut expected = vec![0x5a; 48];
                expected[offset..offset + len].fill(0);
                assert_eq!(bytes(&memory, 0, 48), expected, "{len} bytes at {offset}");
            }
        })*};
    }
    check!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);
}

fn order<T: Word + PartialEq + Debug>(
    memory: &Memory,
    value: T,
    expected: &[u8],
    write: fn(&Memory, u64, T) -> Result<(), ivshmem::region::MemoryError>,
    read: fn(&Memory, u64) -> Result<T, ivshmem::region::MemoryError>,
) {
    for offset in places(memory, expected.len() as u64) {
        memory.fill(offset, 0xaa, expected.len() as u64).unwrap();
        write(memory, offset, value).unwrap();
        assert_eq!(bytes(memory, offset, expected.len()), expected, "at {offset}");
        assert_eq!(read(memory, offset).unwrap(), value, "at {offset}");
    }
}
