//! Being rung: VFIO gives the device to this process, and its vectors become eventfds.
//!
//! Two things lose interrupts without a word: rings from before the eventfds are connected, and a device that may not
//! write on the bus, as VFIO leaves it. So the bus is opened last, and then the device rings itself on every vector:
//! what comes back works. These rings are taken here, so that nobody is rung but by somebody.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::{Errno, pread, pwrite};

use super::function::Function;
use super::layout::{COMMAND, COMMAND_MASTER, COMMAND_MEMORY};
use super::vfio::{self, Opened};
use super::{Finding, PciAddress, PciDevice};
use crate::sys::linux::{eventfd, vfio as calls};
use crate::wire::MAX_VECTORS;

/// Holds the device; dropping it ends its interrupts.
#[derive(Debug)]
pub(super) struct Receiver {
    _device: Opened,
    _claim: Claim,
}

/// Connects the device's vectors to eventfds. `ring` rings the device itself on a vector.
///
/// # Errors
/// Why it cannot be rung; nothing is held then.
pub(super) fn receive(
    device: &PciDevice,
    function: &Function,
    ring: &dyn Fn(u16),
) -> Result<(Receiver, Vec<OwnedFd>), Finding> {
    bound(device)?;
    let claim = Claim::new(device.address())?;
    let opened = vfio::open(device)?;
    // A kernel that was not known to do so took the mappings away; nothing has touched them yet.
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

/// Whether the device could be had now, told without taking it from anybody.
pub(super) fn possible(device: &PciDevice) -> Result<(), Finding> {
    bound(device)?;
    if Claim::exists(device.address()) {
        return Err(held_here());
    }
    vfio::possible(device)
}

/// Whether the driver that gives interrupts to programs has the device, as it is now.
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

/// All vectors at once, or as many as the machine has interrupts for.
fn connect(device: &Opened) -> io::Result<Vec<OwnedFd>> {
    let mut count = calls::vectors(device.as_fd())?.min(MAX_VECTORS.into());
    loop {
        let eventfds = (0..count).map(|_| eventfd::create()).collect::<io::Result<Vec<_>>>()?;
        let borrowed: Vec<_> = eventfds.iter().map(AsFd::as_fd).collect();
        match calls::set_vectors(device.as_fd(), &borrowed) {
            Ok(Ok(())) => return Ok(eventfds),
            // x86 has some 200 interrupts for each processor. Older kernels do not say how many are left.
            Ok(Err(possible)) if possible < count => count = possible,
            Err(e) if Errno::from_io_error(&e) == Some(Errno::NOSPC) && count > 1 => {
                count -= count.div_ceil(8)
            }
            Ok(Err(_)) => return Err(Errno::NOSPC.into()),
            Err(e) => return Err(e),
        }
    }
}

/// Lets the device answer and write on the bus; an interrupt is such a write.
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
            Err(Finding::System { doing: "let the device raise interrupts", reason })
        }
    }
}

/// Rings every vector, and counts and takes those that come back, from the first one on. What others ring meanwhile merges
/// with them.
fn count_answers(eventfds: &[OwnedFd], ring: &dyn Fn(u16)) -> io::Result<usize> {
    let began = Instant::now();
    // The first vector is the last to be rung, so that by its answer the others are most likely there.
    (0..MAX_VECTORS).take(eventfds.len()).rev().for_each(ring);
    let mut deadline = began + LONGEST_ANSWER;
    for (count, fd) in eventfds.iter().enumerate() {
        let (answered, _) = eventfd::wait_either(fd.as_fd(), fd.as_fd(), Some(deadline))?;
        if !answered {
            return Ok(count);
        }
        eventfd::take(fd.as_fd())?;
        if count == 0 {
            deadline = Instant::now() + (began.elapsed() * 10).clamp(SHORTEST_PATIENCE, LONGEST_ANSWER);
        }
    }
    Ok(eventfds.len())
}

/// A machine that is busy takes its time; only a server that gives no vectors makes anybody wait so long.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);
/// For the other vectors, once the first has answered; a wait only for those whose server gives fewer than the hardware has.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(500);

fn system(doing: &'static str) -> impl Fn(io::Error) -> Finding {
    move |error| {
        let reason = match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE) => {
                "no descriptor is left, and every vector takes one; raise the limit of open files (ulimit -n)"
                    .into()
            }
            _ => error.to_string(),
        };
        Finding::System { doing, reason }
    }
}

/// That this process receives from a device. VFIO would give it a second time, and silence the first.
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
