//! Waiting for a value, and closing during waits and accesses.

use std::sync::Barrier;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::region::{Memory, Spin};

use super::Fixture;

const HOW: [Option<Duration>; 4] =
    [None, Some(Duration::ZERO), Some(Duration::from_micros(50)), Some(Duration::from_secs(3600))];

pub(super) fn spin(fixture: &dyn Fixture) {
    let memory = fixture.open();
    memory.fill(0, 0, 64).unwrap();
    for sleep in HOW {
        let timeout = Some(Duration::from_millis(5));
        let start = Instant::now();
        assert!(!memory.spin(0, 1_u32, Spin { sleep, timeout }).unwrap());
        assert!(start.elapsed() >= Duration::from_millis(5));
        // A value that is already there is found without waiting.
        assert!(memory.spin(0, 0_u32, Spin { sleep, timeout: Some(Duration::ZERO) }).unwrap());
        assert!(memory.spin(0, 0_u32, Spin { sleep, timeout: None }).unwrap());
        assert!(memory.spin(0, 0_u32, Spin { sleep, timeout: Some(Duration::MAX) }).unwrap());
    }
    for sleep in &HOW[..3] {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                memory.store(8, -7_i64, Release).unwrap();
            });
            assert!(memory.spin(8, -7_i64, Spin { sleep: *sleep, timeout: None }).unwrap());
        });
        memory.write_word(8, 0_i64).unwrap();
    }
}

pub(super) fn spin_and_set(fixture: &dyn Fixture) {
    let memory = fixture.open();
    memory.fill(0, 0, 256).unwrap();
    let soon = Spin { sleep: None, timeout: Some(Duration::from_millis(2)) };
    assert!(!memory.spin_and_set(0, 1_u8, 2, soon).unwrap());
    assert_eq!(memory.read_word::<u8>(0).unwrap(), 0);
    assert!(memory.spin_and_set(0, 0_u8, 1, soon).unwrap());
    assert_eq!(memory.read_word::<u8>(0).unwrap(), 1);
    // Used as a lock around a number that is not atomic.
    let (lock, number) = (64, 128);
    let rounds = if cfg!(miri) { 5 } else { 500_u64 };
    thread::scope(|scope| {
        for sleep in [Some(Duration::ZERO), Some(Duration::from_micros(10))] {
            let memory = &memory;
            scope.spawn(move || {
                for _ in 0..rounds {
                    assert!(memory.spin_and_set(lock, 0_u16, 1, Spin { sleep, timeout: None }).unwrap());
                    let old = memory.read_word::<u64>(number).unwrap();
                    memory.write_word(number, old + 1).unwrap();
                    memory.store(lock, 0_u16, Release).unwrap();
                }
            });
        }
    });
    assert_eq!(memory.read_word::<u64>(number).unwrap(), 2 * rounds);
}

pub(super) fn wakes(fixture: &dyn Fixture) {
    let memory = fixture.open();
    memory.fill(0, 0, 64).unwrap();
    let ready = Barrier::new(HOW.len() * 2 + 1);
    thread::scope(|scope| {
        for sleep in HOW {
            let (memory, ready) = (&memory, &ready);
            let how = Spin { sleep, timeout: None };
            scope.spawn(move || {
                ready.wait();
                assert_eq!(memory.spin(0, 1_u16, how).unwrap_err().kind(), ErrorKind::Closed);
            });
            scope.spawn(move || {
                let view = memory.view(0, 32).unwrap();
                ready.wait();
                assert_eq!(view.spin_and_set(8, 1_u64, 2, how).unwrap_err().kind(), ErrorKind::Closed);
            });
        }
        ready.wait();
        thread::sleep(Duration::from_millis(5));
        memory.close();
    });
}

pub(super) fn during_access(fixture: &dyn Fixture) {
    type Work = fn(&Memory) -> Result<(), ivshmem::region::MemoryError>;
    const WORK: [Work; 4] = [
        |m| m.read(1, &mut [0; 3000]),
        |m| m.fill(0, 3, 4096),
        |m| m.fetch_xor(64, 3_u64, SeqCst).map(drop),
        |m| m.copy_to(0, m, 100, 2000).and_then(|()| m.store(8, 1_u32, Relaxed)),
    ];
    for _ in 0..if cfg!(miri) { 1 } else { 20 } {
        let memory = fixture.open();
        let ready = Barrier::new(WORK.len() + 1);
        thread::scope(|scope| {
            for work in WORK {
                let (memory, ready) = (memory.clone(), &ready);
                scope.spawn(move || {
                    work(&memory).unwrap();
                    ready.wait();
                    let error = loop {
                        if let Err(error) = work(&memory) {
                            break error;
                        }
                    };
                    assert_eq!(error.kind(), ErrorKind::Closed);
                });
            }
            ready.wait();
            memory.close();
            // The pages stay mapped as long as the threads have views.
            drop(memory);
        });
    }
}
