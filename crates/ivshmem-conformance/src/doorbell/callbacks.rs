use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ivshmem::ErrorKind;

use super::{Fixture, HANG, open, until};

pub(super) fn runs(fixture: &dyn Fixture) {
    let (device, other) = (open(fixture), fixture.other());
    let own = device.own_id().unwrap();
    let (sender, receiver) = mpsc::channel();
    let also = sender.clone();
    // One vector is rung before it has a callback.
    device.ring(own, 1).unwrap();
    let _zero = device.on_interrupt(0, move |vector| sender.send(vector).unwrap()).unwrap();
    let _one = device.on_interrupt(1, move |vector| also.send(vector).unwrap()).unwrap();
    assert_eq!(receiver.recv_timeout(HANG).unwrap(), 1);
    other.ring(own, 0);
    assert_eq!(receiver.recv_timeout(HANG).unwrap(), 0);

    let (sender, receiver) = mpsc::channel();
    let memory = device.memory().clone();
    memory.write_word(0, 0_u32).unwrap();
    let _watch =
        device.on_interrupt(0, move |_| sender.send(memory.read_word::<u32>(0).unwrap()).unwrap()).unwrap();
    for n in 1..=500_u32 {
        device.memory().write_word(0, n).unwrap();
        device.ring(own, 0).unwrap();
    }
    while receiver.recv_timeout(HANG).unwrap() < 500 {}
}

pub(super) fn several(fixture: &dyn Fixture) {
    let device = open(fixture);
    let (sender, receiver) = mpsc::channel();
    let _registrations = [1, 2, 3].map(|n| {
        let sender = sender.clone();
        device.on_interrupt(0, move |_| sender.send(n).unwrap()).unwrap()
    });
    device.ring(device.own_id().unwrap(), 0).unwrap();
    let mut ran: Vec<_> = (0..3).map(|_| receiver.recv_timeout(HANG).unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, [1, 2, 3]);
}

pub(super) fn anything(fixture: &dyn Fixture) {
    let device = Arc::new(open(fixture));
    let own = device.own_id().unwrap();
    let (sender, receiver) = mpsc::channel();
    let (hand_over, own_registration) = mpsc::channel();
    let inside = Arc::clone(&device);
    let first = move |_| {
        drop(own_registration.recv().unwrap());
        let (closer, sender) = (Arc::clone(&inside), sender.clone());
        let second = move |_| {
            closer.close();
            sender.send(closer.ring(own, 0).unwrap_err().kind()).unwrap();
        };
        inside.on_interrupt(1, second).unwrap().forget();
        inside.ring(own, 1).unwrap();
    };
    hand_over.send(device.on_interrupt(0, first).unwrap()).unwrap();
    device.ring(own, 0).unwrap();
    assert_eq!(receiver.recv_timeout(HANG).unwrap(), ErrorKind::Closed);
    device.close();
}

pub(super) fn dropped(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let slow = move |_| {
        begun.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        count.fetch_add(1, Ordering::SeqCst);
    };
    let registration = device.on_interrupt(0, slow).unwrap();
    device.ring(own, 0).unwrap();
    has_begun.recv_timeout(HANG).unwrap();
    drop(registration);
    assert_eq!(ended.load(Ordering::SeqCst), 1, "it was still running");
    assert_eq!(Arc::strong_count(&ended), 1, "its function still exists");
}

pub(super) fn panics(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let (sender, receiver) = mpsc::channel();
    let _bad = device.on_interrupt(0, |_| panic!("a callback that panics, as the test wants")).unwrap();
    let _good = device.on_interrupt(1, move |_| sender.send(()).unwrap()).unwrap();
    for _ in 0..2 {
        device.ring(own, 0).unwrap();
        device.ring(own, 1).unwrap();
        receiver.recv_timeout(HANG).unwrap();
    }
}

pub(super) fn executor(fixture: &dyn Fixture) {
    let device = open(fixture);
    let own = device.own_id().unwrap();
    let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let (waiting, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&waiting), Arc::clone(&most));
    let executor = move |job| {
        peak.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        jobs.send(job).unwrap();
    };
    let worker = std::thread::spawn(move || {
        for job in queue {
            waiting.fetch_sub(1, Ordering::SeqCst);
            job();
        }
    });
    let seen = Arc::new(AtomicUsize::new(0));
    let (memory, last) = (device.memory().clone(), Arc::clone(&seen));
    memory.write_word(0, 0_u32).unwrap();
    let look = move |_| last.store(memory.read_word::<u32>(0).unwrap() as usize, Ordering::SeqCst);
    let registration = device.on_interrupt_with(0, executor, look).unwrap();
    for n in 1..=500_u32 {
        device.memory().write_word(0, n).unwrap();
        device.ring(own, 0).unwrap();
    }
    until(|| seen.load(Ordering::SeqCst) == 500);
    assert_eq!(most.load(Ordering::SeqCst), 1, "queued more than once");
    drop(registration);
    device.close();
    drop(device);
    worker.join().unwrap();
}
