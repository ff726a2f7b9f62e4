use std::io;
use std::sync::Arc;

use super::{DriverError, Windows, WindowsDevice};
use crate::PeerId;
use crate::device::guest::Guest;
use crate::device::{Device, DeviceKind, Finding, OpenError, PciAddress};
use crate::doorbell::{Doorbell, Session};
use crate::region::{CacheMode, Memory, Region};
use crate::sys::windows::contract::{self, Mapped, cache};
use crate::sys::windows::driver::{Driver, Mapping};
use crate::sys::windows::{event, interfaces};

pub(super) fn devices() -> Result<Vec<WindowsDevice>, OpenError> {
    let list = interfaces::list(contract::INTERFACE).map_err(|e| OpenError::Driver {
        device: "Windows' list of devices".to_string(),
        error: DriverError::of(&e, "read it", 0),
    })?;
    let mut devices: Vec<_> = list
        .into_iter()
        .map(|found| {
            let size = Driver::open(&found.path)
                .and_then(|driver| driver.size())
                .map_err(|e| DriverError::of(&e, "ask for the memory's size", 0));
            let location =
                found.location.and_then(|(bus, device, function)| PciAddress::new(bus, device, function));
            WindowsDevice { path: found.path, size, location }
        })
        .collect();
    devices.sort_by(|a, b| (a.location, &a.path).cmp(&(b.location, &b.path)));
    Ok(devices)
}

/// Maps the memory and removes the mapping.
pub(super) fn try_map(device: &WindowsDevice) -> Result<(), DriverError> {
    map(device, CacheMode::Cached).map(drop)
}

pub(super) fn open(options: &Windows) -> Result<Device, OpenError> {
    let device = &super::find(&options.selector)?;
    let failed = |error| OpenError::Driver { device: device.path.to_string_lossy().into_owned(), error };
    let (driver, mapping, mapped) = map(device, options.cache).map_err(failed)?;
    let memory = Memory::new(Region::new(mapping, options.cache));
    if mapped.vectors == 0 {
        let guest = Guest::new(&memory, Err(Finding::NoVectors), Err(Finding::NoVectors), None);
        return Ok(Device { kind: DeviceKind::Windows, memory, doorbell: None, guest: Some(guest) });
    }
    let (events, receiving) = register(&driver, mapped.vectors);
    let session = Session::by_driver(PeerId(mapped.peer), driver, events, mapped.vectors);
    let doorbell = session
        .and_then(Doorbell::without_server)
        .map_err(|e| failed(DriverError::of(&e, "receive interrupts", 0)))?;
    let guest = Guest::new(&memory, Ok(()), receiving, None);
    Ok(Device { kind: DeviceKind::Windows, memory, doorbell: Some(doorbell), guest: Some(guest) })
}

fn map(device: &WindowsDevice, mode: CacheMode) -> Result<(Arc<Driver>, Mapping, Mapped), DriverError> {
    let size = device.size.clone()?;
    let driver = Driver::open(&device.path).map_err(|e| DriverError::of(&e, "open it", size))?;
    let driver = Arc::new(driver);
    let number = match mode {
        CacheMode::Cached => cache::CACHED,
        CacheMode::WriteCombined => cache::WRITE_COMBINED,
        CacheMode::Uncached => cache::UNCACHED,
    };
    let (mapping, mapped) = driver.map(number).map_err(|e| DriverError::of(&e, "map the memory", size))?;
    Ok((driver, mapping, mapped))
}

/// Registers an event for each vector, from the first one on, as long as the driver has slots. It registers all events on
/// opening, because rings of an unregistered vector are lost, registering clears the event, and a slot stays in use until
/// the device is closed.
fn register(driver: &Driver, vectors: u16) -> (Vec<event::Event>, Result<(), Finding>) {
    let mut events = Vec::new();
    for vector in 0..vectors.min(contract::SLOTS) {
        let registered = event::create().and_then(|event| {
            driver.register(vector, std::os::windows::io::AsHandle::as_handle(&event)).map(|()| event)
        });
        match registered {
            Ok(event) => events.push(event),
            Err(e) if events.is_empty() => return (events, Err(not_rung(&e))),
            Err(_) => break,
        }
    }
    (events, Ok(()))
}

fn not_rung(error: &io::Error) -> Finding {
    /// All slots for events are taken.
    const NO_SLOT: i32 = 1450;
    let (reason, remedy) = match error.raw_os_error() {
        Some(NO_SLOT) => (
            "the driver's 32 slots for events are taken (error 1450)".to_string(),
            Some("close the other programs that have the device"),
        ),
        _ => (error.to_string(), None),
    };
    Finding::System { doing: "be rung", reason, remedy }
}
