//! Atomic accesses, compared with those of the standard library.

use std::fmt::Debug;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
};
use std::thread;
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::region::{AtomicWord, Memory, MemoryError};

use super::{Fixture, bytes, places};

const ALL: [Ordering; 5] = [Relaxed, Acquire, Release, AcqRel, SeqCst];

/// Whether an atomic access of this size works at any address.
fn unaligned(len: u64) -> bool {
    cfg!(not(any(miri, portable))) && (cfg!(target_arch = "x86_64") || cfg!(target_arch = "x86") && len < 8)
}

fn possible(memory: &Memory, offset: u64, len: u64) -> bool {
    unaligned(len) || (memory.as_ptr().addr() as u64 + offset).is_multiple_of(len)
}

pub(super) fn arithmetic(fixture: &dyn Fixture) {
    let memory = fixture.open();
    macro_rules! check {
        ($($word:ty, $atomic:ty;)*) => {$({
            let values: [$word; 7] = [0, 1, 2, 0x55, !0, <$word>::MIN, <$word>::MAX];
            for offset in places(&memory, size_of::<$word>() as u64) {
                if !possible(&memory, offset, size_of::<$word>() as u64) {
                    continue;
                }
                for start in values {
                    for value in values {
                        let model = <$atomic>::new(start);
                        memory.write_word(offset, start).unwrap();
                        let same = |mine: Result<$word, MemoryError>, models: $word| {
                            assert_eq!(mine.unwrap(), models, "{start} {value} at {offset}");
                            let now = model.load(SeqCst);
                            assert_eq!(memory.read_word::<$word>(offset).unwrap(), now);
                            for order in [Relaxed, Acquire, SeqCst] {
                                assert_eq!(memory.load::<$word>(offset, order).unwrap(), now);
                            }
                        };
                        let order = ALL[usize::from(value.to_le_bytes()[0]) % 5];
                        same(memory.fetch_add(offset, value, order), model.fetch_add(value, order));
                        same(memory.fetch_sub(offset, value, order), model.fetch_sub(value, order));
                        same(memory.fetch_or(offset, value, order), model.fetch_or(value, order));
                        same(memory.fetch_xor(offset, value, order), model.fetch_xor(value, order));
                        same(memory.fetch_nand(offset, value, order), model.fetch_nand(value, order));
                        same(memory.fetch_max(offset, value, order), model.fetch_max(value, order));
                        same(memory.fetch_min(offset, value, order), model.fetch_min(value, order));
                        same(memory.fetch_and(offset, value, order), model.fetch_and(value, order));
                        same(memory.swap(offset, start, order), model.swap(start, order));
                        exchange(&memory, offset, start, value);
                    }
                }
                for order in [Relaxed, Release, SeqCst] {
                    memory.write(offset, &[0xee; size_of::<$word>()]).unwrap();
                    memory.store::<$word>(offset, 0x2a, order).unwrap();
                    assert_eq!(memory.read_word::<$word>(offset).unwrap(), 0x2a);
                }
            }
            neighbours::<$word>(&memory);
        })*};
    }
    check! {
        u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64;
        i8, AtomicI8; i16, AtomicI16; i32, AtomicI32; i64, AtomicI64;
    }
}

fn exchange<T: AtomicWord + Debug>(memory: &Memory, offset: u64, start: T, value: T) {
    memory.write_word(offset, start).unwrap();
    let mut result = memory.compare_exchange(offset, value, !value, SeqCst, SeqCst).unwrap();
    assert_eq!(result, if start == value { Ok(start) } else { Err(start) });
    let now = if start == value { !value } else { start };
    assert_eq!(memory.read_word::<T>(offset).unwrap(), now);
    result = memory.fetch_update(offset, SeqCst, SeqCst, |old| (old == now).then_some(value)).unwrap();
    assert_eq!(result, Ok(now));
    assert_eq!(memory.read_word::<T>(offset).unwrap(), value);
    result = memory.fetch_update(offset, SeqCst, SeqCst, |_| None).unwrap();
    assert_eq!(result, Err(value));
}

fn neighbours<T: AtomicWord>(memory: &Memory) {
    let len = size_of::<T>();
    for offset in 8..80 {
        if !possible(memory, offset, len as u64) {
            continue;
        }
        memory.fill(0, 0, 96).unwrap();
        let zero = memory.load::<T>(offset, SeqCst).unwrap();
        memory.store(offset, !zero, Release).unwrap();
        memory.swap(offset, !zero, SeqCst).unwrap();
        memory.fetch_or(offset, !zero, SeqCst).unwrap();
        memory.compare_exchange(offset, !zero, !zero, SeqCst, SeqCst).unwrap().ok().unwrap();
        let at = usize::try_from(offset).unwrap();
        let mut expected = vec![0; 96];
        expected[at..at + len].fill(0xff);
        assert_eq!(bytes(memory, 0, 96), expected, "{len} bytes at {offset}");
    }
}

pub(super) fn orderings(fixture: &dyn Fixture) {
    let memory = fixture.open();
    memory.write_word(0, 5_u32).unwrap();
    let refused = |result: Result<(), MemoryError>, order: Ordering| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{order:?}");
        assert!(error.to_string().contains(&format!("{order:?}")), "{error}");
    };
    for order in [Release, AcqRel] {
        refused(memory.load::<u32>(0, order).map(drop), order);
        refused(memory.compare_exchange(0, 5_u32, 6, SeqCst, order).map(drop), order);
        refused(memory.fetch_update(0, SeqCst, order, |_| Some(6_u32)).map(drop), order);
    }
    for order in [Acquire, AcqRel] {
        refused(memory.store(0, 6_u32, order), order);
    }
    for order in ALL {
        for failure in [Relaxed, Acquire, SeqCst] {
            memory.compare_exchange(0, 5_u32, 5, order, failure).unwrap().unwrap();
        }
    }
    assert_eq!(memory.read_word::<u32>(0).unwrap(), 5);
}

pub(super) fn threads(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let rounds = if cfg!(miri) { 20 } else { 5_000_u32 };
    // Aligned, unaligned within a cache line, across a cache line, and across a page if there is one.
    for offset in [64, 67, 125, 61, 4093, memory.len() - 8] {
        if offset + 8 > memory.len() || !possible(&memory, offset, 8) {
            continue;
        }
        memory.write_word(offset, 0_u64).unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        memory.fetch_add(offset, 1_u64 << 32 | 1, Relaxed).unwrap();
                        memory
                            .fetch_update(offset, AcqRel, Acquire, |old: u64| Some(old + 1))
                            .unwrap()
                            .unwrap();
                        let seen = memory.load::<u64>(offset, Acquire).unwrap();
                        assert!(seen & 0xffff_ffff >= seen >> 32, "torn: {seen:x}");
                    }
                });
            }
        });
        let expected = u64::from(rounds) * 2 * (1 << 32 | 2);
        assert_eq!(memory.read_word::<u64>(offset).unwrap(), expected, "at {offset}");
    }
}

pub(super) fn whole(fixture: &dyn Fixture) {
    let memory = fixture.open();
    // Limited by time, not by rounds: a torn access is fast and rarely detected, an atomic one may be slow.
    let time = Duration::from_millis(60);
    for offset in [64, 67, 125, 61, 4093] {
        if offset + 8 > memory.len() || !possible(&memory, offset, 8) {
            continue;
        }
        memory.write_word(offset, 0_u64).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let start = Instant::now();
                while start.elapsed() < time {
                    for _ in 0..100 {
                        memory.store(offset, u64::MAX, Relaxed).unwrap();
                        memory.store(offset, 0_u64, Relaxed).unwrap();
                    }
                }
                done.store(true, Release);
            });
            while !done.load(Acquire) {
                let seen = memory.load::<u64>(offset, Relaxed).unwrap();
                assert!(seen == 0 || seen == u64::MAX, "torn at {offset}: {seen:x}");
            }
        });
    }
}

pub(super) fn publish(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let rounds = if cfg!(miri) { 10 } else { 3_000_u32 };
    let (number, answer, data) = (0, 128, 256);
    memory.fill(0, 0, 1024).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=rounds {
                memory.fill(data, n.to_le_bytes()[0], 512).unwrap();
                memory.store(number, n, Release).unwrap();
                while memory.load::<u32>(answer, Acquire).unwrap() != n {
                    thread::yield_now();
                }
            }
        });
        for n in 1..=rounds {
            while memory.load::<u32>(number, Acquire).unwrap() != n {
                thread::yield_now();
            }
            assert_eq!(bytes(&memory, data, 512), [n.to_le_bytes()[0]; 512], "round {n}");
            memory.store(answer, n, Release).unwrap();
        }
    });
    memory.fence();
}

pub(super) fn wide(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let (one, two) = (0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10_u128, !1_u128);
    let base = (memory.as_ptr().addr() as u64).wrapping_neg() % 16;
    for offset in [base, base + 16, (memory.len() - base - 16) / 16 * 16 + base] {
        memory.write(offset, &one.to_ne_bytes()).unwrap();
        if !Memory::supports_128bit_compare_exchange() {
            let error = memory.compare_exchange_128(offset, one, two).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(bytes(&memory, offset, 16), one.to_ne_bytes());
            continue;
        }
        assert_eq!(memory.compare_exchange_128(offset, two, 0).unwrap(), Err(one));
        assert_eq!(memory.compare_exchange_128(offset, one ^ 1, 0).unwrap(), Err(one));
        assert_eq!(memory.compare_exchange_128(offset, one ^ 1 << 127, 0).unwrap(), Err(one));
        assert_eq!(bytes(&memory, offset, 16), one.to_ne_bytes());
        assert_eq!(memory.compare_exchange_128(offset, one, two).unwrap(), Ok(one));
        assert_eq!(bytes(&memory, offset, 16), two.to_ne_bytes());
    }
    for offset in base + 1..base + 16 {
        let error = memory.compare_exchange_128(offset, 0, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misaligned, "{offset}: {error}");
    }
    if Memory::supports_128bit_compare_exchange() {
        add_up(&memory, base);
    }
}

/// Both halves always change together.
fn add_up(memory: &Memory, offset: u64) {
    const BOTH: u128 = 1 << 64 | 1;
    memory.write(offset, &[0; 16]).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut old = 0;
                for _ in 0..2_000 {
                    while let Err(now) = memory.compare_exchange_128(offset, old, old + BOTH).unwrap() {
                        old = now;
                    }
                }
            });
        }
    });
    assert_eq!(bytes(memory, offset, 16), (4_000 * BOTH).to_ne_bytes());
}
