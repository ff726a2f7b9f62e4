//! Receiving interrupts: this process opens the device through VFIO, and connects its vectors to eventfds.
//!
//! Interrupts are lost without an error in two cases: rings from before the eventfds are connected, and a device that may
//! not write on the bus, which is its state after VFIO opens it. Therefore bus mastering is enabled last, and then the
//! device rings itself on every vector: a vector whose ring arrives works. This module takes these rings, so that the caller
//! gets only rings of others.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::{Errno, pread, pwrite};

use super::PciDevice;
use super::function::Function;
use super::layout::{COMMAND, COMMAND_MASTER, COMMAND_MEMORY};
use super::vfio::{self, Opened};
use crate::device::{Finding, PciAddress, guest};
use crate::sys::linux::{eventfd, vfio as calls};
use crate::wire::MAX_VECTORS;

/// Keeps the device open. Dropping it ends the device's interrupts.
#[derive(Debug)]
pub(super) struct Receiver {
    _device: Opened,
    _claim: Claim,
}

impl guest::Receiver for Receiver {}

/// Connects the device's vectors to eventfds. `ring` rings the device itself on a vector.
///
/// # Errors
/// The reason why the device cannot be rung. The device is then not open.
pub(super) fn receive(
    device: &PciDevice,
    function: &Function,
    ring: &dyn Fn(u16),
) -> Result<(Receiver, Vec<OwnedFd>), Finding> {
    bound(device)?;
    let claim = Claim::new(device.address())?;
    let opened = vfio::open(device)?;
    // The kernel removed the mappings, contrary to its release. No code has accessed them yet.
    if function.registers().is_err_and(|finding| finding == Finding::Claimed) {
        return Err(Finding::VfioAlone);
    }
    let mut eventfds = connect(&opened).map_err(system("connect the device's vectors to eventfds"))?;
    open_bus(&opened)?;
    let answering = count_answers(&eventfds, ring).map_err(system("wait for the device's own ring"))?;
    if answering == 0 {
        let vectors = u16::try_from(eventfds.len()).unwrap_or(u16::MAX);
        return Err(Finding::Silent { vectors });
    }
    eventfds.truncate(answering);
    Ok((Receiver { _device: opened, _claim: claim }, eventfds))
}

/// Whether the device could be opened now. Does not open it.
pub(super) fn possible(device: &PciDevice) -> Result<(), Finding> {
    bound(device)?;
    if Claim::exists(device.address()) {
        return Err(held_here());
    }
    vfio::possible(device)
}

/// Whether the device is currently bound to the driver that passes interrupts to programs.
fn bound(device: &PciDevice) -> Result<(), Finding> {
    let address = device.address();
    let function = Function::new(address);
    match function.driver() {
        _ if device.vectors() == Some(0) => Err(Finding::NoVectors),
        Some(driver) if driver == vfio::DRIVER && vfio::takes_memory() => Err(Finding::VfioAlone),
        Some(driver) if driver == vfio::DRIVER => Ok(()),
        None if function.group().is_none() && !vfio::runs_without_iommu() => Err(Finding::NoIommu),
        None => Err(Finding::NotBound { address }),
        Some(driver) => Err(Finding::OtherDriver { address, driver }),
    }
}

/// Connects all vectors at once, or as many as the machine has free interrupts.
fn connect(device: &Opened) -> io::Result<Vec<OwnedFd>> {
    let mut count = calls::vectors(device.as_fd())?.min(MAX_VECTORS.into());
    loop {
        let eventfds = (0..count).map(|_| eventfd::create()).collect::<io::Result<Vec<_>>>()?;
        let borrowed: Vec<_> = eventfds.iter().map(AsFd::as_fd).collect();
        match calls::set_vectors(device.as_fd(), &borrowed) {
            Ok(Ok(())) => return Ok(eventfds),
            // x86 has about 200 interrupts for each processor. Older kernels do not report how many are free.
            Ok(Err(possible)) if possible < count => count = possible,
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOSPC) && count > 1 => {
                count -= count.div_ceil(8)
            }
            Ok(Err(_)) => return Err(Errno::NOSPC.into()),
            Err(e) => return Err(e),
        }
    }
}

/// Makes the device answer at its addresses and write on the bus. An interrupt is such a write.
fn open_bus(device: &Opened) -> Result<(), Finding> {
    const OPEN: u8 = COMMAND_MEMORY | COMMAND_MASTER;
    let set = || {
        let at = calls::configuration(device.as_fd())? + COMMAND as u64;
        let mut command = [0];
        pread(device, &mut command, at)?;
        pwrite(device, &[command[0] | OPEN], at)?;
        pread(device, &mut command, at)?;
        Ok(command[0] & OPEN == OPEN)
    };
    match set().map_err(system("let the device raise interrupts"))? {
        true => Ok(()),
        false => {
            let reason = "it does not keep the bit for bus mastering".to_string();
            Err(Finding::System { doing: "let the device raise interrupts", reason, remedy: None })
        }
    }
}

/// Rings every vector, takes the rings that arrive, and returns the number of vectors from the first one on that work. Rings
/// of others in the meantime merge with these.
fn count_answers(eventfds: &[OwnedFd], ring: &dyn Fn(u16)) -> io::Result<usize> {
    let began = Instant::now();
    // Ring the first vector last: when its ring arrives, the others have most likely arrived.
    (0..MAX_VECTORS).take(eventfds.len()).rev().for_each(ring);
    let mut deadline = began + LONGEST_ANSWER;
    for (count, fd) in eventfds.iter().enumerate() {
        if !eventfd::wait_readable(fd.as_fd(), deadline)? {
            return Ok(count);
        }
        eventfd::take(fd.as_fd())?;
        if count == 0 {
            deadline = Instant::now() + (began.elapsed() * 10).clamp(SHORTEST_ANSWER, LONGEST_ANSWER);
        }
    }
    Ok(eventfds.len())
}

/// The time to wait for the first ring. A busy machine may need long; only a server that assigns no vectors causes the whole
/// wait.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);
/// The minimum time to wait for the other rings, after the first one has arrived. Only a server that assigns fewer vectors than
/// the hardware has causes the whole wait.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);

fn system(doing: &'static str) -> impl Fn(io::Error) -> Finding {
    move |error| {
        let (reason, remedy) = match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE) => (
                "no descriptor is left, and every vector takes one".into(),
                Some("raise the limit of open files (ulimit -n)"),
            ),
            _ => (error.to_string(), None),
        };
        Finding::System { doing, reason, remedy }
    }
}

/// Marks a device from which this process receives interrupts. VFIO would allow a second open, which would disconnect the
/// first one.
#[derive(Debug)]
struct Claim(PciAddress);

static CLAIMED: Mutex<BTreeSet<PciAddress>> = Mutex::new(BTreeSet::new());

impl Claim {
    fn new(address: PciAddress) -> Result<Self, Finding> {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.insert(address) { Ok(Self(address)) } else { Err(held_here()) }
    }

    fn exists(address: PciAddress) -> bool {
        CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

fn held_here() -> Finding {
    Finding::HeldElsewhere { holder: "this process itself".to_string(), others: String::new() }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_claimed_once_in_a_process() {
        let address = PciAddress::parse("fffe:00:05.0").unwrap();
        let claim = Claim::new(address).unwrap();
        assert!(Claim::exists(address));
        assert_eq!(Claim::new(address).unwrap_err().name(), "held-elsewhere");
        drop(claim);
        drop(Claim::new(address).unwrap());
    }

    #[test]
    fn only_vectors_that_come_back_are_counted() {
        let eventfds: Vec<_> = (0..4).map(|_| eventfd::create().unwrap()).collect();
        let rung = |only: &'static [u16]| {
            let ring = |vector: u16| {
                if only.contains(&vector) {
                    eventfd::ring(eventfds[usize::from(vector)].as_fd()).unwrap();
                }
            };
            let count = count_answers(&eventfds, &ring).unwrap();
            let left: Vec<_> = eventfds.iter().map(|fd| eventfd::take(fd.as_fd()).unwrap()).collect();
            assert!(!left[..count].contains(&true), "a device that is handed out is not rung yet: {left:?}");
            count
        };
        assert_eq!(rung(&[0, 1, 2, 3]), 4);
        assert_eq!(rung(&[0, 1, 3]), 2);
        assert_eq!(rung(&[1, 2, 3]), 0);
    }
}
