//! Binds a device to vfio-pci and unbinds it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::PciDevice;
use super::function::{Function, refused, write};
use super::vfio::DRIVER;
use crate::device::{Finding, OpenError, PciAddress};

pub(super) fn bind(address: PciAddress) -> Result<(), OpenError> {
    let function = Function::new(address);
    take(&function).map_err(|finding| OpenError::Guest { address, finding })
}

pub(super) fn unbind(device: &PciDevice) -> Result<(), OpenError> {
    let address = device.address();
    let given_back = match device.receiving() {
        // The kernel would wait for that process without limit and without a message.
        Err(held @ Finding::HeldElsewhere { .. }) => Err(held),
        _ => give_back(&Function::new(address)),
    };
    given_back.map_err(|finding| OpenError::Guest { address, finding })
}

fn take(function: &Function) -> Result<(), Finding> {
    if function.driver().as_deref() == Some(DRIVER) {
        return Ok(());
    }
    // When VFIO releases the device, it restores the state at the time of binding: other programs need the memory enabled.
    function.enable()?;
    function.set_attribute("driver_override", DRIVER)?;
    let result = load_driver().and_then(|()| release(function)).and_then(|()| probe(function));
    match function.driver() {
        Some(driver) if driver == DRIVER => {
            function.keep_awake();
            Ok(())
        }
        // Restore the previous state: the device is bound to its previous driver again.
        _ => {
            let finding = result.err().unwrap_or_else(|| not_taken(function));
            let _ = give_back(function);
            Err(finding)
        }
    }
}

fn give_back(function: &Function) -> Result<(), Finding> {
    // A newline means "none".
    function.set_attribute("driver_override", "\n")?;
    if function.driver().as_deref() == Some(DRIVER) {
        release(function)?;
    }
    if function.driver().is_none() {
        // Usually no driver takes the device, which is not a failure.
        let _ = probe(function);
    }
    Ok(())
}

/// Unbinds the device from its driver, if it has one. The kernel waits until no process uses the device.
fn release(function: &Function) -> Result<(), Finding> {
    if function.driver().is_none() {
        return Ok(());
    }
    let path = function.path("driver/unbind");
    write(&path, &function.address.to_string())
        .map_err(|e| refused(path, "take the device from its driver", &e))
}

/// Makes the kernel look for a driver.
fn probe(function: &Function) -> Result<(), Finding> {
    let path = Path::new("/sys/bus/pci/drivers_probe").to_path_buf();
    match write(&path, &function.address.to_string()) {
        Ok(()) => Ok(()),
        Err(_) if function.driver().is_none() => Err(not_taken(function)),
        Err(e) => Err(refused(path, "let the kernel look for a driver", &e)),
    }
}

/// The reason why vfio-pci did not take a device.
fn not_taken(function: &Function) -> Finding {
    if function.group().is_some() {
        let reason = "vfio-pci did not take the device".to_string();
        let remedy = Some("read the reason in the kernel's log (dmesg)");
        Finding::System { doing: "bind the device to vfio-pci", reason, remedy }
    } else {
        Finding::NoIommu
    }
}

/// Loads the driver's module like `modprobe vfio-pci`, unless the kernel has the driver.
fn load_driver() -> Result<(), Finding> {
    let loaded = || Path::new("/sys/bus/pci/drivers").join(DRIVER).exists();
    for modprobe in ["/sbin/modprobe", "/usr/sbin/modprobe"] {
        if loaded() {
            return Ok(());
        }
        let mut command = Command::new(modprobe);
        command.arg(DRIVER).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // modprobe reads options from the environment, and the programs that it starts look for others in PATH.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        // The presence of the driver shows whether it succeeded.
        let _ = command.status();
    }
    if loaded() {
        Ok(())
    } else {
        Err(Finding::VfioMissing { what: "the kernel has no driver vfio-pci".into() })
    }
}
