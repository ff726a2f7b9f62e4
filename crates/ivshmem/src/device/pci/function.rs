//! A function of a PCI device in sysfs: its attributes, its configuration space, and the files to map.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::PciDevice;
use super::layout::{
    Bar, COMMAND, COMMAND_MEMORY, MEMORY_BAR, REGISTER_BAR, REGISTERS, TABLE_BAR, lost_its_address, number,
    vectors,
};
use crate::device::{Finding, OpenError, PciAddress};
use crate::region::CacheMode;
use crate::sys::linux::file::{self, Access};
use crate::sys::linux::mapping::Mapping;
use crate::sys::linux::registers::Registers;

const DEVICES: &str = "/sys/bus/pci/devices";
/// The PCI ids of Red Hat and of its ivshmem device.
const IDENTITY: [&str; 2] = ["0x1af4", "0x1110"];

pub(super) fn devices() -> Result<Vec<PciDevice>, OpenError> {
    let failed = |source| OpenError::Io { path: DEVICES.into(), doing: "list the PCI devices in", source };
    let entries = match Path::new(DEVICES).read_dir() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut devices = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let address = name.to_str().and_then(PciAddress::parse);
        // A device that was unplugged in the meantime has no attributes.
        devices.extend(address.map(Function::new).and_then(|function| function.describe()));
    }
    devices.sort_by_key(|device| device.address);
    Ok(devices)
}

/// The cache mode of a sysfs file that maps a device's memory. The name of the file determines it.
pub(in crate::device) fn cache_mode_of(path: &Path) -> CacheMode {
    let combined = path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b"_wc"));
    if combined { CacheMode::WriteCombined } else { CacheMode::Uncached }
}

pub(super) struct Function {
    pub(super) address: PciAddress,
    folder: PathBuf,
}

impl Function {
    pub(super) fn new(address: PciAddress) -> Self {
        Self { address, folder: Path::new(DEVICES).join(address.to_string()) }
    }

    fn describe(&self) -> Option<PciDevice> {
        if !["vendor", "device"]
            .iter()
            .zip(IDENTITY)
            .all(|(name, id)| self.attribute(name).is_ok_and(|a| a == id))
        {
            return None;
        }
        Some(PciDevice {
            address: self.address,
            size: self.bar(MEMORY_BAR).len,
            revision: number(&self.attribute("revision").ok()?).and_then(|n| u8::try_from(n).ok())?,
            vectors: self.vectors(),
            driver: self.driver(),
            iommu_group: self.group(),
        })
    }

    pub(super) fn driver(&self) -> Option<String> {
        self.link("driver")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn attribute(&self, name: &str) -> io::Result<String> {
        Ok(std::fs::read_to_string(self.path(name))?.trim().to_string())
    }

    pub(super) fn set_attribute(&self, name: &str, value: &str) -> Result<(), Finding> {
        let path = self.path(name);
        write(&path, value).map_err(|e| refused(path, "configure the device through sysfs", &e))
    }

    pub(super) fn group(&self) -> Option<String> {
        self.link("iommu_group")
    }

    /// The file name of a link's target.
    fn link(&self, name: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(name)).ok()?;
        Some(target.file_name()?.to_str()?.to_string())
    }

    pub(super) fn bar(&self, index: usize) -> Bar {
        let text = self.attribute("resource").unwrap_or_default();
        text.lines().nth(index).and_then(Bar::parse).unwrap_or_default()
    }

    /// The configuration space: the first 64 bytes for any user, all of it for root.
    fn configuration(&self) -> Vec<u8> {
        std::fs::read(self.path("config")).unwrap_or_default()
    }

    fn vectors(&self) -> Option<u16> {
        match vectors(&self.configuration()) {
            // BAR 1 contains only the MSI-X table.
            None if self.bar(TABLE_BAR).len == 0 => Some(0),
            vectors => vectors,
        }
    }

    pub(super) fn memory(&self, size: u64) -> Result<(), Finding> {
        if size == 0 {
            return Err(Finding::NoMemory);
        }
        // Only a mapping shows whether a driver has claimed the memory. The mapping is not accessed.
        let (file, page) = (self.resource("resource2")?, rustix::param::page_size());
        Mapping::new(&file, 0, page, false)
            .map_err(|e| not_mapped(self.path("resource2"), "map the device's memory", &e))?;
        self.decoding_possible()
    }

    pub(super) fn sending(&self, vectors: Option<u16>) -> Result<(), Finding> {
        if vectors == Some(0) {
            return Err(Finding::NoVectors);
        }
        self.registers()?;
        self.decoding_possible()
    }

    fn usable(&self, path: &Path) -> Result<(), Finding> {
        file::may_use(path).map_err(|e| refused(path.to_path_buf(), "use the device through sysfs", &e))
    }

    fn decoding_possible(&self) -> Result<(), Finding> {
        if self.decodes() { Ok(()) } else { self.usable(&self.path("enable")) }
    }

    /// Whether the device answers at its addresses.
    fn decodes(&self) -> bool {
        self.configuration().get(COMMAND).is_some_and(|command| command & COMMAND_MEMORY != 0)
    }

    /// Whether the device has lost the address of its registers. A read from the address then does not reach the device.
    pub(super) fn lost_its_registers(&self) -> bool {
        lost_its_address(&self.configuration(), REGISTER_BAR)
    }

    /// Prevents power management of a device that is bound to vfio-pci while no process receives its interrupts: the kernel
    /// does not consider mappings of the memory through sysfs. Only root can do this; for other users, the program that bound
    /// the device must have done it (`ivshmem bind` and the udev rule of `ivshmem setup` do).
    pub(super) fn keep_awake(&self) {
        let _ = self.set_attribute("power/control", "on");
    }

    /// Makes the device answer at its addresses, if it does not. By default, a device without a driver is disabled.
    pub(super) fn enable(&self) -> Result<(), Finding> {
        if self.attribute("power/control").is_ok_and(|control| control == "auto") {
            self.keep_awake();
        }
        if self.driver().is_none() && self.attribute("enable").is_ok_and(|count| count == "0") {
            // Only root may enable it. A failure does not matter if the device is enabled already.
            match self.set_attribute("enable", "1") {
                Err(_) if self.decodes() => {}
                result => result?,
            }
        }
        if self.decodes() {
            return Ok(());
        }
        // The kernel refuses to enable a device with a driver, but allows setting the bit itself.
        let path = self.path("config");
        let command = self.configuration().get(COMMAND).copied().unwrap_or(0) | COMMAND_MEMORY;
        let set =
            File::options().write(true).open(&path).and_then(|f| f.write_all_at(&[command], COMMAND as u64));
        set.map_err(|e| refused(path, "switch the device's memory on", &e))
    }

    /// Opens a file that maps a part of the device.
    pub(super) fn resource(&self, name: &str) -> Result<OwnedFd, Finding> {
        let path = self.path(name);
        file::open(&path, Access::ReadWrite).map_err(|e| refused(path, "open the device's memory", &e))
    }

    /// Maps the registers.
    pub(super) fn registers(&self) -> Result<Registers, Finding> {
        let file = self.resource("resource0")?;
        // A BAR that is smaller than a page may start anywhere in a page, and the mapping contains the whole page.
        let start = self.bar(REGISTER_BAR).start % rustix::param::page_size() as u64;
        let start = usize::try_from(start).expect("below the size of a page");
        Registers::new(&file, start, REGISTERS)
            .map_err(|e| not_mapped(self.path("resource0"), "map the device's registers", &e))
    }
}

pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// The finding for a failed operation on a file of a device.
pub(super) fn refused(path: PathBuf, doing: &'static str, error: &io::Error) -> Finding {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS) => Finding::NotPermitted { path },
        Some(Errno::PERM) if locked_down() => Finding::LockedDown { path },
        Some(Errno::PERM) => Finding::NotPermitted { path },
        _ => Finding::System { doing, reason: format!("{error} ({})", path.display()), remedy: None },
    }
}

/// The finding for a file of a device that cannot be mapped.
pub(super) fn not_mapped(path: PathBuf, doing: &'static str, error: &io::Error) -> Finding {
    match Errno::from_io_error(error) {
        Some(Errno::INVAL) => Finding::Claimed,
        _ => refused(path, doing, error),
    }
}

/// Whether the kernel is locked down. The file shows the active mode in brackets.
fn locked_down() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lockdown").is_ok_and(|modes| !modes.contains("[none]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_tells_the_cache_mode() {
        assert_eq!(cache_mode_of(Path::new("/x/resource2_wc")), CacheMode::WriteCombined);
        assert_eq!(cache_mode_of(Path::new("/x/resource2")), CacheMode::Uncached);
    }
}
