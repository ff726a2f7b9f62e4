//! Requirements on every device with interrupts.

mod callbacks;
mod closing;
mod peers;
mod waiters;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;

/// Opens the device under test and connects other peers.
pub trait Fixture: Sync {
    /// Opens the device under test, with two vectors or more. Called once for each case, after the last device was closed.
    fn open(&self) -> Device;

    /// Connects another peer to the same region, with two vectors or more: in this process, or in another machine. Dropping
    /// it disconnects the peer.
    fn other(&self) -> Box<dyn Other>;
}

/// Another peer of the same region.
pub trait Other: Send {
    /// Its id.
    fn id(&self) -> PeerId;

    /// Rings the device under test, once the peer knows it.
    fn ring(&self, peer: PeerId, vector: u16);

    /// Whether the peer is rung before the deadline.
    fn wait(&self, vector: u16, deadline: Instant) -> bool;
}

impl Other for Device {
    fn id(&self) -> PeerId {
        self.own_id().unwrap()
    }

    fn ring(&self, peer: PeerId, vector: u16) {
        until(|| self.peer(peer).unwrap().is_some_and(|p| p.vectors > vector));
        Device::ring(self, peer, vector).unwrap();
    }

    fn wait(&self, vector: u16, deadline: Instant) -> bool {
        Device::wait(self, vector, Some(deadline)).unwrap()
    }
}

/// Runs every case and prints its name.
///
/// # Panics
/// When a case fails, after all of them ran; the message names those that failed.
pub fn run(fixture: &dyn Fixture) {
    let failed: Vec<_> = CASES
        .iter()
        .filter(|(name, case)| {
            println!("doorbell: {name}");
            catch_unwind(AssertUnwindSafe(|| case(fixture))).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), CASES.len(), failed.join(", "));
}

type Case = fn(&dyn Fixture);

const CASES: &[(&str, Case)] = &[
    ("a device rings itself and others, and is rung", waiting::everyone),
    ("a ring from before the wait counts, and counts once", waiting::pending),
    ("a wait ends with its deadline, not before", waiting::deadline),
    ("an unknown vector or peer is a typed error that names the limit", waiting::unknown),
    ("after the last of many rings the waiter has everything", waiting::last_ring),
    ("each waiter receives every interrupt", waiters::each),
    ("a wait can be cancelled from elsewhere, and others wait on", waiters::cancelled),
    ("an interrupt that was observed or given back is received by the next", waiters::given_back),
    ("closing ends waiters, and a waiter of a closed device can be cloned", waiters::closed),
    ("a vector has one kind of reader and the error names it", waiting::one_reader),
    ("a callback runs for its vector, after the last ring too", callbacks::runs),
    ("several callbacks of one vector all run", callbacks::several),
    ("a callback may register, ring, drop itself and close", callbacks::anything),
    ("a dropped registration has ended and its function is gone", callbacks::dropped),
    ("a panicking callback harms nobody else", callbacks::panics),
    ("an executor has one job at a time and misses nothing", callbacks::executor),
    ("peers that come and go are reported and listed, or nobody is known", peers::come_and_go),
    ("a peer that is gone cannot be rung, or the ring is lost", peers::gone),
    ("closing wakes waiters, ends callbacks and may be repeated", closing::wakes),
    ("everything after closing says Closed", closing::after),
];

/// Opens the device under test, and takes earlier interrupts.
///
/// A device of a guest cannot know what was rung before it was opened, so it begins with an interrupt on each vector.
fn open(fixture: &dyn Fixture) -> Device {
    let device = fixture.open();
    if !device.knows_peers() {
        for vector in 0..device.vectors() {
            let _ = device.wait(vector, Some(Instant::now())).unwrap();
        }
    }
    device
}

/// Rings another peer until it was rung. A device that knows its peers waits until it knows this one, and rings once; any
/// other device may ring before the hardware knows the peer.
fn ring_other(device: &Device, other: &dyn Other, vector: u16) {
    if device.knows_peers() {
        until(|| device.peer(other.id()).unwrap().is_some_and(|peer| peer.vectors > vector));
        device.ring(other.id(), vector).unwrap();
        assert!(other.wait(vector, hang()));
    } else {
        until(|| {
            device.ring(other.id(), vector).unwrap();
            other.wait(vector, Instant::now() + Duration::from_millis(20))
        });
    }
}

/// A limit against hanging only; no test takes a noticeable part of it.
const HANG: Duration = Duration::from_secs(30);

fn hang() -> Instant {
    Instant::now() + HANG
}

/// Waits for a condition that another thread or machine fulfils.
fn until(condition: impl Fn() -> bool) {
    let limit = hang();
    while !condition() {
        assert!(Instant::now() < limit, "what was waited for did not happen");
        std::thread::sleep(Duration::from_micros(100));
    }
}
