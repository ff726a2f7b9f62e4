use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ivshmem::ErrorKind;
use ivshmem::doorbell::WaitOutcome;

use super::{Fixture, hang, open, until};

pub(super) fn each(fixture: &dyn Fixture) {
    const ROUNDS: u64 = 200;
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let received = [const { AtomicU64::new(0) }; 3];
    let first = device.waiter(0).unwrap();
    let begin = first.position();
    std::thread::scope(|scope| {
        for received in &received {
            let mut waiter = first.clone();
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    assert!(waiter.wait(Some(hang())).unwrap());
                    received.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 1..=ROUNDS {
            device.ring(own, 0).unwrap();
            until(|| received.iter().all(|count| count.load(Ordering::SeqCst) == round));
        }
    });
    let mut late = first;
    assert!(late.wait(Some(hang())).unwrap(), "a waiter that did not wait has missed the interrupts");
    assert_eq!(late.position() - begin, ROUNDS);
    assert!(!late.wait(Some(Instant::now())).unwrap(), "several interrupts before a wait are one");
    assert!(!device.wait(0, Some(Instant::now())).unwrap(), "all interrupts were received");
}

pub(super) fn cancelled(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let stop = AtomicBool::new(false);
    let waiter = device.waiter(0).unwrap();
    let waker = waiter.waker();
    std::thread::scope(|scope| {
        let (mut cancelled, mut other) = (waiter.clone(), waiter.clone());
        let is_stopped = || stop.load(Ordering::SeqCst);
        let cancelled = scope.spawn(move || cancelled.wait_unless(Some(hang()), is_stopped));
        let other = scope.spawn(move || other.wait(Some(hang())));
        stop.store(true, Ordering::SeqCst);
        waker.wake();
        assert_eq!(cancelled.join().unwrap().unwrap(), WaitOutcome::Cancelled);
        device.ring(own, 0).unwrap();
        assert!(other.join().unwrap().unwrap());
    });
}

pub(super) fn given_back(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let mut waiter = device.waiter(0).unwrap();
    let begin = waiter.position();
    device.ring(own, 0).unwrap();
    assert_eq!(waiter.observe_unless(Some(hang()), || false).unwrap(), WaitOutcome::Interrupt);
    assert_eq!(device.waiter(0).unwrap().position(), begin, "an observed interrupt is received by the next");
    assert!(device.wait(0, Some(Instant::now())).unwrap());
    assert!(!device.wait(0, Some(Instant::now())).unwrap());
    std::thread::scope(|scope| {
        let next = scope.spawn(|| device.wait(0, Some(hang())));
        waiter.give_back(begin);
        assert!(next.join().unwrap().unwrap());
    });
    assert_eq!(waiter.receive(), begin + 1);
}

pub(super) fn closed(fixture: &dyn Fixture) {
    let device = open(fixture);
    let mut waiter = device.waiter(0).unwrap();
    std::thread::scope(|scope| {
        let mut other = waiter.clone();
        let waits = scope.spawn(move || other.wait(None));
        device.close();
        assert_eq!(waits.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    let mut late = waiter.clone();
    for error in [waiter.wait(None).unwrap_err(), late.wait(None).unwrap_err(), device.waiter(0).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    waiter.waker().wake();
}
