//! What two peers do with a region and its interrupts to prove both: the same code on each side, in a guest or on the host,
//! of 32 or 64 bits.
//!
//! All methods of [`Side`] are called by both sides, in the same order and with the same arguments. They panic when
//! anything is not as it must be.

mod burst;
mod exchange;
mod orders;
mod sums;
mod words;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem::doorbell::Registration;

/// A hang is a failure; nothing takes a part of this.
const HANG: Duration = Duration::from_secs(120);

/// One of two peers.
#[derive(Debug)]
pub struct Side<'a> {
    device: &'a Device,
    other: PeerId,
    role: Role,
    conversation: u32,
    /// How often the two have met in it.
    meetings: u32,
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side.
    First,
    /// The other one.
    Second,
}

/// Where things stand in the part of the region that one side writes for one vector.
const MET: u64 = 0;
const COUNTER: u64 = 64;
const LENGTH: u64 = 128;
const SEED: u64 = 192;
const PAYLOAD: u64 = 256;
const PART: u64 = 4096;

impl<'a> Side<'a> {
    /// This device and another, of which as many vectors are used as this one has. `conversation` is the same on both
    /// sides, below 4096, and another one each time: what stands in the region may be from an earlier one.
    ///
    /// # Panics
    /// When the device cannot be rung, or its memory is too small.
    pub fn new(device: &'a Device, other: PeerId, role: Role, conversation: u32) -> Self {
        assert!(device.supports_interrupts(), "it cannot be rung: {:?}", device.interrupt_finding());
        assert!(device.memory().len() >= Self::part_of(Role::Second, device.vectors()) + PART);
        // What rang before has nothing to do with the other side.
        for vector in 0..device.vectors() {
            let _ = device.wait(vector, Some(Instant::now())).unwrap();
        }
        Self { device, other, role, conversation, meetings: 0 }
    }

    /// Goes on when both sides are here. Either may come first, before the other's machine is known to anybody: both ring
    /// on every vector until each has heard the other on all of them.
    ///
    /// # Panics
    /// When the other side does not come.
    pub fn meet(&mut self) {
        self.meetings += 1;
        let limit = Instant::now() + HANG;
        let vectors = self.device.vectors();
        let mut heard = 0;
        loop {
            self.store(0, MET, self.stage(heard));
            let other = self.load(self.other_role(), 0, MET);
            if heard == vectors && self.has_come(other, vectors) {
                break;
            }
            assert!(
                Instant::now() < limit,
                "the other side does not come; {heard} of {vectors} vectors were rung"
            );
            for vector in 0..vectors {
                // A device that knows its peers refuses to ring one that is not here yet.
                let _ = self.device.ring(self.other, vector);
            }
            let pause = Duration::from_millis(5);
            if heard == vectors {
                std::thread::sleep(pause);
            } else if self.device.wait(heard, Some(Instant::now() + pause)).unwrap() {
                // A hint may come early: only one that came when the other was here counts.
                heard += u16::from(self.has_come(other, 0));
            }
        }
    }

    /// What a side says of itself: the conversation, the meeting, and on how many vectors it has heard the other.
    fn stage(&self, heard: u16) -> u32 {
        self.conversation << 20 | self.meetings << 10 | u32::from(heard)
    }

    /// Whether what the other says is that it is in this meeting, or beyond, and has heard this side so often.
    fn has_come(&self, other: u32, heard: u16) -> bool {
        other >> 20 == self.conversation && other >= self.stage(heard)
    }

    fn ring(&self, vector: u16) {
        self.device.ring(self.other, vector).unwrap();
    }

    /// The part of the region that one side writes for one vector.
    fn part(&self, role: Role, vector: u16) -> u64 {
        debug_assert!(vector < self.device.vectors());
        Self::part_of(role, vector)
    }

    fn part_of(role: Role, vector: u16) -> u64 {
        PART * (2 * u64::from(vector) + u64::from(role == Role::Second))
    }

    fn other_role(&self) -> Role {
        match self.role {
            Role::First => Role::Second,
            Role::Second => Role::First,
        }
    }

    fn load(&self, role: Role, vector: u16, what: u64) -> u32 {
        self.device.memory().load(self.part(role, vector) + what, Ordering::Acquire).unwrap()
    }

    /// Publishes what was written before.
    fn store(&self, vector: u16, what: u64, value: u32) {
        self.device.memory().store(self.part(self.role, vector) + what, value, Ordering::Release).unwrap();
    }

    /// Waits for interrupts until the other's counter for this vector is there. No interrupt may be missing after the
    /// last ring: nothing else wakes this.
    fn until_counted(&self, ears: &Ears<'_>, vector: u16, count: u32) {
        while self.load(self.other_role(), vector, COUNTER) != count {
            assert!(
                ears.hear(),
                "no interrupt on vector {vector} within {HANG:?}; the counter should become {count}"
            );
        }
    }

    /// One way of being told on each vector: threads that wait, callbacks on every other vector.
    fn ears(&self, vector: u16) -> Ears<'a> {
        if vector.is_multiple_of(2) {
            return Ears::Waiting(self.device, vector);
        }
        let (tell, told) = channel();
        // The receiver goes before the registration does.
        let registration = self.device.on_interrupt(vector, move |_| _ = tell.send(())).unwrap();
        Ears::Called(told, registration)
    }
}

/// How a side is told of interrupts.
enum Ears<'a> {
    Waiting(&'a Device, u16),
    Called(Receiver<()>, #[expect(dead_code, reason = "its drop ends the callbacks")] Registration),
}

impl Ears<'_> {
    /// Whether there is an interrupt.
    fn hear(&self) -> bool {
        match self {
            Self::Waiting(device, vector) => device.wait(*vector, Some(Instant::now() + HANG)).unwrap(),
            Self::Called(told, _) => told.recv_timeout(HANG).is_ok(),
        }
    }
}

/// Bytes that only who knows the seed can tell.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32).to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
