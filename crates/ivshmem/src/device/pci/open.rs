//! Opening a device. The order matters: find the device, enable it, map memory and registers through sysfs, and open VFIO
//! last, because a device that VFIO has cannot be mapped in another way.

use std::io;
use std::os::fd::OwnedFd;

use super::function::{Function, not_mapped};
use super::layout::{DOORBELL, IV_POSITION, MEMORY_BAR};
use super::receive::{Receiver, receive};
use super::{Pci, PciDevice};
use crate::PeerId;
use crate::device::guest::{self, Guest};
use crate::device::{Device, DeviceKind, Finding, OpenError};
use crate::doorbell::{Doorbell, Register, Session};
use crate::region::{CacheMode, Memory, Region};
use crate::sys::linux::mapping::Mapping;
use crate::sys::linux::registers::Registers;

pub(super) fn open(options: &Pci) -> Result<Device, OpenError> {
    let device = &super::find(&options.selector)?;
    let function = Function::new(device.address());
    if options.memory_only {
        return attempt(options, device, &function, |_| Err(Finding::MemoryOnly));
    }
    let opened = attempt(options, device, &function, |ring| receive(device, &function, ring))?;
    match opened.interrupt_finding() {
        // The mappings are invalid, and an access would end the process. VFIO has released the device, so map it again.
        Some(Finding::VfioAlone) => attempt(options, device, &function, |_| Err(Finding::VfioAlone)),
        _ => Ok(opened),
    }
}

/// Opens the device. `receive` gets a function that rings the device itself.
fn attempt(
    options: &Pci,
    device: &PciDevice,
    function: &Function,
    receive: impl FnOnce(&dyn Fn(u16)) -> Result<(Receiver, Vec<OwnedFd>), Finding>,
) -> Result<Device, OpenError> {
    let memory = map(options, device, function)?;
    let registers =
        function.registers().and_then(|registers| Ok((own_id(device, function, &registers)?, registers)));
    let (own_id, registers) = match registers {
        Ok(found) => found,
        Err(finding) => return Ok(memory_alone(memory, finding)),
    };
    let ring = |vector| registers.write(DOORBELL, u32::from(own_id.0) << 16 | u32::from(vector));
    let (receiver, eventfds, receiving) = match receive(&ring) {
        Ok((receiver, eventfds)) => (Some(Box::new(receiver) as Box<dyn guest::Receiver>), eventfds, Ok(())),
        Err(finding) => (None, Vec::new(), Err(finding)),
    };
    let doorbell = doorbell(own_id, registers, eventfds).map_err(|source| {
        let path = function.path("resource0");
        OpenError::Io { path, doing: "receive interrupts from", source }
    })?;
    let guest = Guest::new(&memory, Ok(()), receiving, receiver);
    Ok(Device { kind: DeviceKind::Pci, memory, doorbell: Some(doorbell), guest: Some(guest) })
}

fn doorbell(own_id: PeerId, registers: Registers, eventfds: Vec<OwnedFd>) -> io::Result<Doorbell> {
    let register = Register { registers, index: DOORBELL };
    Doorbell::without_server(Session::by_register(own_id, register, eventfds)?)
}

fn memory_alone(memory: Memory, finding: Finding) -> Device {
    let guest = Guest::new(&memory, Err(finding.clone()), Err(finding), None);
    Device { kind: DeviceKind::Pci, memory, doorbell: None, guest: Some(guest) }
}

/// The id that the server assigned to this machine.
fn own_id(device: &PciDevice, function: &Function, registers: &Registers) -> Result<PeerId, Finding> {
    if device.vectors() == Some(0) {
        return Err(Finding::NoVectors);
    }
    // On some machines, registers that do not answer read as zero, which would be a valid id.
    if function.lost_its_registers() {
        return Err(Finding::NotAnswering);
    }
    // A disabled device reads as ones, and an id has at most 16 bits.
    let position = registers.read(IV_POSITION);
    u16::try_from(position).map(PeerId).map_err(|_| Finding::NotAnswering)
}

fn map(options: &Pci, device: &PciDevice, function: &Function) -> Result<Memory, OpenError> {
    let guest = |finding| OpenError::Guest { address: device.address(), finding };
    let combined = function.path("resource2_wc").exists();
    let (name, mode) = match options.cache {
        Some(CacheMode::Uncached) => ("resource2", CacheMode::Uncached),
        Some(CacheMode::Cached) => {
            let problem = "Linux maps no device's memory cached; take write-combined or uncached";
            return Err(OpenError::BadOption { path: function.path("resource2"), problem });
        }
        None if !combined => ("resource2", CacheMode::Uncached),
        _ => ("resource2_wc", CacheMode::WriteCombined),
    };
    let path = function.path(name);
    let size = function.bar(MEMORY_BAR).len;
    if size == 0 {
        return Err(guest(Finding::NoMemory));
    }
    let (offset, len) = options.window.unwrap_or((0, size));
    if len == 0 || offset.checked_add(len).is_none_or(|end| end > size) {
        return Err(OpenError::BadWindow { path, offset, len, size });
    }
    let page = rustix::param::page_size() as u64;
    let before = offset % page;
    let too_large = || {
        let problem = "does not fit into this program's address space; map a window".to_string();
        OpenError::BadSize { path: path.clone(), size: len, problem }
    };
    let mapped = isize::try_from((before + len).next_multiple_of(page)).map_err(|_| too_large())?;
    function.enable().map_err(guest)?;
    let file = function.resource(name).map_err(guest)?;
    let mapping = match Mapping::new(&file, offset - before, mapped.unsigned_abs(), false) {
        Err(e) if e.kind() == io::ErrorKind::OutOfMemory => return Err(too_large()),
        result => result.map_err(|e| guest(not_mapped(path.clone(), "map the device's memory", &e)))?,
    };
    let memory = Memory::new(Region::new(mapping, mode));
    Ok(memory.view(before, len).expect("the part lies in its pages"))
}
