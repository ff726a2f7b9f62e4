//! Tests of a region and its interrupts by two peers: the same code runs on each side, in a guest or on the host, with 32
//! or 64 bits.
//!
//! Both sides call all methods of [`Side`] in the same order and with the same arguments. The methods panic when a check
//! fails.

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

/// A limit against hanging only; no test takes a noticeable part of it.
const HANG: Duration = Duration::from_secs(120);

/// One of two peers.
#[derive(Debug)]
pub struct Side<'a> {
    device: &'a Device,
    other: PeerId,
    role: Role,
    conversation: u32,
    /// Number of meetings in this conversation.
    meetings: u32,
}

/// The order of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side starts.
    First,
    /// The other side starts.
    Second,
}

/// Offsets in the part of the region that one side writes for one vector.
const MET: u64 = 0;
const COUNTER: u64 = 64;
const LENGTH: u64 = 128;
const SEED: u64 = 192;
const PAYLOAD: u64 = 256;
const PART: u64 = 4096;

impl<'a> Side<'a> {
    /// Creates a side for this device and another peer. As many of the peer's vectors are used as this device has.
    /// `conversation` is the same on both sides, below 4096, and different each time, because the region may contain data
    /// of an earlier conversation.
    ///
    /// # Panics
    /// When the device cannot be rung, or its memory is too small.
    pub fn new(device: &'a Device, other: PeerId, role: Role, conversation: u32) -> Self {
        assert!(device.supports_interrupts(), "it cannot be rung: {:?}", device.interrupt_finding());
        assert!(device.memory().len() >= Self::part_of(Role::Second, device.vectors()) + PART);
        // Earlier interrupts do not come from the other side.
        for vector in 0..device.vectors() {
            let _ = device.wait(vector, Some(Instant::now())).unwrap();
        }
        Self { device, other, role, conversation, meetings: 0 }
    }

    /// Returns when both sides have called it. Either side may call first, even before the other's machine is announced:
    /// both ring every vector until each has received an interrupt from the other on all of them.
    ///
    /// # Panics
    /// When the other side does not arrive.
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
                // A device that knows its peers refuses to ring one that is not announced yet.
                let _ = self.device.ring(self.other, vector);
            }
            let pause = Duration::from_millis(5);
            if heard == vectors {
                std::thread::sleep(pause);
            } else if self.device.wait(heard, Some(Instant::now() + pause)).unwrap() {
                // An interrupt may be an early hint: it counts only if the other side had arrived before.
                heard += u16::from(self.has_come(other, 0));
            }
        }
    }

    /// The published state of a side: the conversation, the meeting, and the number of vectors on which it was rung by the
    /// other.
    fn stage(&self, heard: u16) -> u32 {
        self.conversation << 20 | self.meetings << 10 | u32::from(heard)
    }

    /// Whether the other side's state is in this meeting or a later one, and includes at least `heard` vectors.
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

    /// Stores a value after all earlier writes.
    fn store(&self, vector: u16, what: u64, value: u32) {
        self.device.memory().store(self.part(self.role, vector) + what, value, Ordering::Release).unwrap();
    }

    /// Waits for interrupts until the other side's counter for this vector has this value. No interrupt may be missing
    /// after the last ring: nothing else wakes this side.
    fn until_counted(&self, ears: &Ears<'_>, vector: u16, count: u32) {
        while self.load(self.other_role(), vector, COUNTER) != count {
            assert!(
                ears.hear(),
                "no interrupt on vector {vector} within {HANG:?}; the counter should become {count}"
            );
        }
    }

    /// The method of receiving interrupts on a vector: waiting threads on even vectors, callbacks on odd ones.
    fn ears(&self, vector: u16) -> Ears<'a> {
        if vector.is_multiple_of(2) {
            return Ears::Waiting(self.device, vector);
        }
        let (tell, told) = channel();
        // The receiver may be dropped before the registration.
        let registration = self.device.on_interrupt(vector, move |_| _ = tell.send(())).unwrap();
        Ears::Called(told, registration)
    }
}

/// How a side receives interrupts.
enum Ears<'a> {
    Waiting(&'a Device, u16),
    Called(Receiver<()>, #[expect(dead_code, reason = "its drop ends the callbacks")] Registration),
}

impl Ears<'_> {
    /// Waits for an interrupt; false at the time limit.
    fn hear(&self) -> bool {
        match self {
            Self::Waiting(device, vector) => device.wait(*vector, Some(Instant::now() + HANG)).unwrap(),
            Self::Called(told, _) => told.recv_timeout(HANG).is_ok(),
        }
    }
}

/// Bytes that can be computed only with the seed.
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
