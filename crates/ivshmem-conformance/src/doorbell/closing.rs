use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ivshmem::ErrorKind;

use super::{Fixture, hang, open, until};

pub(super) fn wakes(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let (running, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (r, c) = (Arc::clone(&running), Arc::clone(&closed));
    let slow = move |_| {
        r.store(true, Ordering::SeqCst);
        until(|| c.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_millis(5));
        r.store(false, Ordering::SeqCst);
    };
    let _registration = device.on_interrupt(1, slow).unwrap();
    device.ring(own, 1).unwrap();
    until(|| running.load(Ordering::SeqCst));
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| device.wait(0, Some(hang())))).collect();
        let closers: Vec<_> = (0..2).map(|_| scope.spawn(|| device.close())).collect();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        }
        closed.store(true, Ordering::SeqCst);
        for closer in closers {
            closer.join().unwrap();
            assert!(!running.load(Ordering::SeqCst), "a callback ran on after close had returned");
        }
    });
    device.close();
    assert!(device.is_closed());
}

pub(super) fn after(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    device.close();
    let errors = [
        device.ring(own, 0).unwrap_err(),
        device.wait(0, None).unwrap_err(),
        device.on_interrupt(0, |_| {}).unwrap_err(),
        device.on_interrupt_with(0, |job| job(), |_| {}).unwrap_err(),
        device.on_peer(|_| {}).unwrap_err(),
        device.peers().unwrap_err(),
        device.peer(own).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    assert!(!device.is_connected(own));
    assert_eq!(device.vectors(), 0);
    assert_eq!(device.memory().read_word::<u8>(0).unwrap_err().kind(), ErrorKind::Closed);
}
