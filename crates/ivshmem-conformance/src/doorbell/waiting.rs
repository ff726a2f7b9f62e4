use std::time::{Duration, Instant};

use ivshmem::doorbell::DoorbellError;
use ivshmem::{ErrorKind, PeerId};

use super::{Fixture, hang, open, ring_other, until};

pub(super) fn everyone(fixture: &dyn Fixture) {
    let (device, other) = (open(fixture), fixture.other());
    let own = device.own_id().unwrap();
    assert!(device.supports_interrupts() && device.vectors() >= 2);
    for vector in 0..2 {
        device.ring(own, vector).unwrap();
        assert!(device.wait(vector, Some(hang())).unwrap());
        ring_other(&device, &*other, vector);
        other.ring(own, vector);
        assert!(device.wait(vector, Some(hang())).unwrap());
    }
}

pub(super) fn pending(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    for _ in 0..3 {
        device.ring(own, 0).unwrap();
    }
    assert!(device.wait(0, Some(hang())).unwrap());
    assert!(!device.wait(0, Some(Instant::now())).unwrap());
    assert!(!device.wait(1, Some(Instant::now())).unwrap(), "another vector was rung");
}

pub(super) fn deadline(fixture: &dyn Fixture) {
    let device = open(fixture);
    let at = Instant::now() + Duration::from_millis(10);
    assert!(!device.wait(0, Some(at)).unwrap());
    assert!(Instant::now() >= at);
}

pub(super) fn unknown(fixture: &dyn Fixture) {
    let device = open(fixture);
    let (own, vectors) = (device.own_id().unwrap(), device.vectors());
    for error in [
        device.wait(vectors, Some(hang())).unwrap_err(),
        device.on_interrupt(vectors, |_| {}).unwrap_err(),
        device.wait(u16::MAX, None).unwrap_err(),
    ] {
        assert_unknown_vector(&error, vectors);
    }
    let nobody = (0..=u16::MAX).map(PeerId).find(|id| *id != own && !device.is_connected(*id)).unwrap();
    if !device.knows_peers() {
        // Hardware does not report the result of a ring.
        device.ring(own, vectors).unwrap();
        device.ring(nobody, 0).unwrap();
        // No device has that many vectors.
        return assert_unknown_vector(&device.ring(own, 256).unwrap_err(), 256);
    }
    assert_unknown_vector(&device.ring(own, vectors).unwrap_err(), vectors);
    let error = device.ring(nobody, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownPeer);
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
}

fn assert_unknown_vector(error: &DoorbellError, vectors: u16) {
    assert_eq!(error.kind(), ErrorKind::UnknownVector);
    assert!(error.to_string().contains(&format!("it has {vectors}")), "{error}");
}

pub(super) fn last_ring(fixture: &dyn Fixture) {
    const RINGS: u64 = 2000;
    let (device, other) = (open(fixture), fixture.other());
    let own = device.own_id().unwrap();
    device.memory().write_word(0, 0_u64).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while device.memory().read_word::<u64>(0).unwrap() < RINGS {
                assert!(device.wait(0, Some(hang())).unwrap());
            }
        });
        for n in 1..=RINGS {
            device.memory().write_word(0, n).unwrap();
            if n == RINGS { other.ring(own, 0) } else { device.ring(own, 0).unwrap() }
        }
        waiter.join().unwrap();
    });
}

pub(super) fn one_reader(fixture: &dyn Fixture) {
    let device = open(fixture);
    let registration = device.on_interrupt(0, |_| {}).unwrap();
    let error = device.wait(0, Some(hang())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("callbacks"), "{error}");
    drop(registration);
    assert!(!device.wait(0, Some(Instant::now())).unwrap());

    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            loop {
                match device.wait(1, Some(hang())) {
                    // A callback was registered first.
                    Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
                    rung => return rung.unwrap(),
                }
            }
        });
        until(|| match device.on_interrupt(1, |_| {}) {
            Ok(early) => {
                drop(early);
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy);
                true
            }
        });
        device.ring(device.own_id().unwrap(), 1).unwrap();
        assert!(waiter.join().unwrap());
    });
}
