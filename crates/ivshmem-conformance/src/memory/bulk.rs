//! Ranges of bytes.

use ivshmem::region::Memory;

use super::{Fixture, bytes, pattern, places};

/// Lengths around every change of method in the copy, as far as they fit.
fn lengths(memory: &Memory) -> impl Iterator<Item = usize> {
    let long = [511, 512, 1023, 1024, 1025, 2000, 4095, 4096, 16383, 16384, 16385, 40_000, 100_000];
    let most = usize::try_from(memory.len()).unwrap();
    (0..=200).chain([255, 256, 257, 383, 384, 385]).chain(long).filter(move |&len| len <= most)
}

pub(super) fn read_write(fixture: &dyn Fixture) {
    let memory = fixture.open();
    for len in lengths(&memory) {
        let expected = pattern(len);
        let steps = if len > 300 { 5 } else { 1 };
        for offset in places(&memory, (len as u64 + 15).min(memory.len() - 15)).step_by(steps) {
            let offset = offset.min(memory.len() - len as u64);
            guard(&memory, offset, len, || memory.write(offset, &expected).unwrap());
            assert_eq!(bytes(&memory, offset, len), expected, "{len} bytes at {offset}");
        }
    }
    // The private side has alignments too.
    let expected = pattern(1200);
    for i in 0..70 {
        for len in [1, 3, 7, 15, 16, 31, 33, 64, 65, 129, 1000] {
            memory.write(5, &expected[i..i + len]).unwrap();
            let mut got = vec![0; 1200];
            memory.read(5, &mut got[i..i + len]).unwrap();
            assert_eq!(got[i..i + len], expected[i..i + len]);
            assert!(got[..i].iter().chain(&got[i + len..]).all(|&byte| byte == 0));
        }
    }
}

pub(super) fn fill(fixture: &dyn Fixture) {
    let memory = fixture.open();
    for len in lengths(&memory) {
        for offset in [0, 1, 7, 8, 13, memory.len()] {
            let offset = offset.min(memory.len() - len as u64);
            memory.fill(offset, 0x11, len as u64).unwrap();
            guard(&memory, offset, len, || memory.fill(offset, 0xc3, len as u64).unwrap());
            assert!(bytes(&memory, offset, len).iter().all(|&byte| byte == 0xc3), "{len} bytes at {offset}");
        }
    }
}

pub(super) fn overlap(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let start = pattern(4096);
    for len in [1, 2, 7, 8, 15, 16, 17, 40, 63, 64, 65, 127, 128, 129, 200, 1000, 1500] {
        for distance in [0, 1, 2, 8, 15, 16, 17, 31, 63, 64, 65, 100, 999, 1500] {
            for (from, to) in [(500, 500 + distance), (500 + distance, 500)] {
                memory.write(0, &start).unwrap();
                memory.copy_to(from as u64, &memory, to as u64, len as u64).unwrap();
                let mut expected = start.clone();
                expected.copy_within(from..from + len, to);
                assert_eq!(bytes(&memory, 0, 4096), expected, "{len} bytes from {from} to {to}");
                // The same through two views, which have their own offsets.
                memory.write(0, &start).unwrap();
                let (source, target) = (memory.view(from as u64, 2000), memory.view(to as u64, 2000));
                source.unwrap().copy_to(0, &target.unwrap(), 0, len as u64).unwrap();
                assert_eq!(bytes(&memory, 0, 4096), expected, "{len} bytes from {from} to {to}, by views");
            }
        }
    }
}

pub(super) fn between(fixture: &dyn Fixture) {
    let (memory, other) = (fixture.open(), Memory::heap(4096).unwrap());
    let start = pattern(4096);
    memory.write(0, &start).unwrap();
    memory.copy_to(1, &other, 3, 4000).unwrap();
    assert_eq!(bytes(&other, 3, 4000), start[1..4001]);
    memory.fill(0, 0, 4096).unwrap();
    other.copy_to(3, &memory, 7, 4000).unwrap();
    assert_eq!(bytes(&memory, 7, 4000), start[1..4001]);
    assert_eq!(bytes(&memory, 4007, 89), [0; 89]);
}

pub(super) fn index_of(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let size = memory.len();
    memory.fill(0, 0, size).unwrap();
    assert_eq!(memory.index_of(0, size, b"needle").unwrap(), None);
    for at in [size - 6, 65_533, 65_536, 3000, 1, 0] {
        if at + 6 > size {
            continue;
        }
        memory.write(at, b"needle").unwrap();
        assert_eq!(memory.index_of(0, size, b"needle").unwrap(), Some(at));
        assert_eq!(memory.index_of(at, size - at, b"needle").unwrap(), Some(at));
        assert_eq!(memory.index_of(at, 5, b"needle").unwrap(), None);
    }
    assert_eq!(memory.index_of(4, size - 4, b"").unwrap(), Some(4));
    assert_eq!(memory.index_of(4, 0, b"x").unwrap(), None);
}

pub(super) fn sync(fixture: &dyn Fixture) {
    let memory = fixture.open();
    memory.fill(0, 7, memory.len()).unwrap();
    memory.sync(0, memory.len()).unwrap();
    memory.sync(1, 1).unwrap();
    memory.sync(memory.len() - 1, 1).unwrap();
    memory.sync(memory.len(), 0).unwrap();
}

/// Checks that nothing outside the range changes.
fn guard(memory: &Memory, offset: u64, len: usize, act: impl FnOnce()) {
    let before = offset.saturating_sub(32)..offset;
    let end = offset + len as u64;
    let after = end..(end + 32).min(memory.len());
    for range in [&before, &after] {
        memory.fill(range.start, 0x77, range.end - range.start).unwrap();
    }
    act();
    for range in [before, after] {
        let len = usize::try_from(range.end - range.start).unwrap();
        assert_eq!(bytes(memory, range.start, len), vec![0x77; len], "next to {len} bytes at {offset}");
    }
}
