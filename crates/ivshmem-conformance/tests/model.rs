//! Any sequence of plain accesses has the same effect on memory as on a vector of bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use ivshmem::ErrorKind;
use ivshmem::region::{Memory, MemoryError};
use proptest::collection::vec;
use proptest::prelude::*;

const SIZE: usize = 700;

#[derive(Clone, Debug)]
enum Step {
    Read { at: u64, len: usize },
    Write { at: u64, bytes: Vec<u8> },
    Fill { at: u64, byte: u8, len: u64 },
    Copy { from: u64, to: u64, len: u64 },
    Word { at: u64, value: u64 },
    Find { at: u64, len: u64, needle: Vec<u8> },
}

/// Mostly inside, often near an edge, sometimes far outside.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..SIZE as u64 + 10, 2 => 0..20_u64, 1 => any::<u64>(), 1 => (u64::MAX - 800)..=u64::MAX]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (number(), 0..300_usize).prop_map(|(at, len)| Step::Read { at, len }),
        (number(), vec(any::<u8>(), 0..300)).prop_map(|(at, bytes)| Step::Write { at, bytes }),
        (number(), any::<u8>(), number()).prop_map(|(at, byte, len)| Step::Fill { at, byte, len }),
        (number(), number(), number()).prop_map(|(from, to, len)| Step::Copy { from, to, len }),
        (number(), any::<u64>()).prop_map(|(at, value)| Step::Word { at, value }),
        (number(), number(), vec(any::<u8>(), 0..4)).prop_map(|(at, len, needle)| Step::Find {
            at,
            len,
            needle
        }),
    ]
}

/// The range as indices, if it is inside.
fn inside(at: u64, len: u64) -> Option<std::ops::Range<usize>> {
    let end = at.checked_add(len).filter(|&end| end <= SIZE as u64)?;
    Some(usize::try_from(at).unwrap()..usize::try_from(end).unwrap())
}

fn check<T>(result: Result<T, MemoryError>, possible: bool) -> Option<T> {
    match result {
        Ok(value) => {
            assert!(possible, "an access outside was done");
            Some(value)
        }
        Err(e) => {
            assert!(!possible && e.kind() == ErrorKind::OutOfBounds, "{e}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 5 } else { 400 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_a_vector_of_bytes(steps in vec(step(), 1..60)) {
        let memory = Memory::heap(SIZE as u64).unwrap();
        let mut model = vec![0_u8; SIZE];
        for step in steps {
            match step {
                Step::Read { at, len } => {
                    let mut bytes = vec![0xee; len];
                    let range = inside(at, len as u64);
                    if check(memory.read(at, &mut bytes), range.is_some()).is_some() {
                        prop_assert_eq!(&bytes, &model[range.unwrap()]);
                    } else {
                        prop_assert!(bytes.iter().all(|&byte| byte == 0xee));
                    }
                }
                Step::Write { at, bytes } => {
                    let range = inside(at, bytes.len() as u64);
                    if check(memory.write(at, &bytes), range.is_some()).is_some() {
                        model[range.unwrap()].copy_from_slice(&bytes);
                    }
                }
                Step::Fill { at, byte, len } => {
                    let range = inside(at, len);
                    if check(memory.fill(at, byte, len), range.is_some()).is_some() {
                        model[range.unwrap()].fill(byte);
                    }
                }
                Step::Copy { from, to, len } => {
                    let (source, target) = (inside(from, len), inside(to, len));
                    let possible = source.is_some() && target.is_some();
                    if check(memory.copy_to(from, &memory, to, len), possible).is_some() {
                        model.copy_within(source.unwrap(), target.unwrap().start);
                    }
                }
                Step::Word { at, value } => {
                    let range = inside(at, 8);
                    if check(memory.write_word_be(at, value), range.is_some()).is_some() {
                        model[range.unwrap()].copy_from_slice(&value.to_be_bytes());
                        prop_assert_eq!(memory.read_word_be::<u64>(at).unwrap(), value);
                    }
                }
                Step::Find { at, len, needle } => {
                    let range = inside(at, len);
                    if let Some(found) = check(memory.index_of(at, len, &needle), range.is_some()) {
                        let part = &model[range.unwrap()];
                        let expected = if needle.is_empty() {
                            Some(0)
                        } else {
                            part.windows(needle.len()).position(|window| window == needle)
                        };
                        prop_assert_eq!(found, expected.map(|index| index as u64 + at));
                    }
                }
            }
            let mut all = vec![0; SIZE];
            memory.read(0, &mut all).unwrap();
            prop_assert_eq!(&all, &model);
        }
    }
}
