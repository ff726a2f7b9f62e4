//! Opens a device that is bound to vfio-pci: through its group, or through its own node if the kernel has no groups.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::io::Errno;

use super::function::{Function, refused};
use super::way::{CONTAINER, GroupWay, IOMMUFD, Way};
use super::{PciDevice, holder};
use crate::device::Finding;
use crate::sys::linux::file::{self, Access};
use crate::sys::linux::vfio::{self as calls, IommuModel};

pub(super) const DRIVER: &str = "vfio-pci";

/// An open device, and the descriptors that must stay open for it.
#[derive(Debug)]
pub(super) struct Opened {
    device: OwnedFd,
    _through: Through,
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

#[derive(Debug)]
enum Through {
    Group { _group: Arc<Group> },
    Iommufd { _iommufd: OwnedFd },
}

/// Opens the device.
pub(super) fn open(device: &PciDevice) -> Result<Opened, Finding> {
    match Way::find(device)? {
        Way::Group(way) => open_by_group(device, &way),
        Way::Itself(node) => open_itself(device, &node),
    }
}

/// Whether the device could be opened now, as far as can be determined without opening it.
pub(super) fn possible(device: &PciDevice) -> Result<(), Finding> {
    let way = Way::find(device)?;
    let (node, common) = match &way {
        Way::Group(group) => (&group.node, CONTAINER),
        Way::Itself(node) => (node, IOMMUFD),
    };
    for path in [Path::new(common), node] {
        file::may_use(path).map_err(|e| refused(path.to_path_buf(), "use VFIO", &e))?;
    }
    if let Way::Group(GroupWay { number, without_iommu: false, .. }) = &way {
        let members = strangers(number);
        if !members.is_empty() {
            return Err(Finding::GroupNotViable { group: number.clone(), members });
        }
        if !remaps_interrupts(device) && !unsafe_interrupts_allowed() {
            return Err(Finding::NoInterruptRemapping);
        }
    }
    match holder::of(node) {
        Some(process) if process.is_another() => Err(held_by(device, process.to_string())),
        _ => Ok(()),
    }
}

/// Whether VFIO is configured to give devices to programs without an IOMMU, which would limit their access to memory.
pub(super) fn runs_without_iommu() -> bool {
    is_on("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
}

/// Whether this kernel's VFIO may remove all mappings of the memory through sysfs. The next access of another process
/// through such a mapping would end that process, so opening the device could end other processes.
pub(super) fn takes_memory() -> bool {
    !leaves_memory(&rustix::system::uname().release().to_string_lossy())
}

/// Whether this kernel release is known not to do so. (A kernel reports release 2 to programs from which it hides its
/// version.)
fn leaves_memory(release: &str) -> bool {
    let major = release.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| (3..7).contains(&major))
}

/// An open group in its container. A group can be opened only once, and may contain several devices of this process.
#[derive(Debug)]
struct Group {
    group: OwnedFd,
    _container: OwnedFd,
}

static GROUPS: Mutex<Option<HashMap<PathBuf, Weak<Group>>>> = Mutex::new(None);

fn open_by_group(device: &PciDevice, way: &GroupWay) -> Result<Opened, Finding> {
    let group = {
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = groups.get_or_insert_default();
        match groups.get(&way.node).and_then(Weak::upgrade) {
            Some(group) => group,
            None => {
                let group = Arc::new(open_group(device, way)?);
                groups.insert(way.node.clone(), Arc::downgrade(&group));
                group
            }
        }
    };
    let address = CString::new(device.address().to_string()).expect("an address has no zero in it");
    let opened = calls::device(group.group.as_fd(), &address)
        .map_err(|e| refused(way.node.clone(), "take the device out of its group", &e))?;
    Ok(Opened { device: opened, _through: Through::Group { _group: group } })
}

fn open_group(device: &PciDevice, way: &GroupWay) -> Result<Group, Finding> {
    let container = open_node(device, Path::new(CONTAINER))?;
    let group = open_node(device, &way.node)?;
    let doing = "put the device's group to use";
    let failed = |e: io::Error| refused(way.node.clone(), doing, &e);
    if !calls::group_is_viable(group.as_fd()).map_err(failed)? {
        return Err(Finding::GroupNotViable { group: way.number.clone(), members: strangers(&way.number) });
    }
    calls::set_container(group.as_fd(), container.as_fd()).map_err(failed)?;
    let models: &[_] =
        if way.without_iommu { &[IommuModel::None] } else { &[IommuModel::Type1v2, IommuModel::Type1] };
    let mut result = Ok(());
    for model in models {
        result = calls::set_iommu(container.as_fd(), *model);
        match result.as_ref().map_err(Errno::from_io_error) {
            Ok(()) => return Ok(Group { group, _container: container }),
            Err(Some(Errno::PERM)) if !way.without_iommu => return Err(Finding::NoInterruptRemapping),
            Err(_) => {}
        }
    }
    match result.map_err(|e| (Errno::from_io_error(&e), e)) {
        Err((Some(Errno::INVAL | Errno::NODEV | Errno::NOTTY), _)) => {
            Err(Finding::VfioMissing { what: "VFIO cannot use this machine's IOMMU".to_string() })
        }
        Err((_, e)) => Err(failed(e)),
        Ok(()) => unreachable!("every success has returned"),
    }
}

fn open_itself(of: &PciDevice, node: &Path) -> Result<Opened, Finding> {
    let iommufd = open_node(of, Path::new(IOMMUFD))?;
    let device = open_node(of, node)?;
    match calls::bind_iommufd(device.as_fd(), iommufd.as_fd()) {
        // A node can be opened many times, but bound only once.
        Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::BUSY)) => {
            return Err(held(of, node));
        }
        Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => return Err(Finding::NoInterruptRemapping),
        result => {
            result.map_err(|e| refused(node.to_path_buf(), "bind the device to an IOMMU descriptor", &e))?
        }
    }
    let attach = || {
        let space = calls::address_space(iommufd.as_fd())?;
        calls::attach(device.as_fd(), space)
    };
    match attach() {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => Err(Finding::NoInterruptRemapping),
        Err(e) => Err(refused(node.to_path_buf(), "give the device an address space", &e)),
        Ok(()) => Ok(Opened { device, _through: Through::Iommufd { _iommufd: iommufd } }),
    }
}

fn open_node(device: &PciDevice, path: &Path) -> Result<OwnedFd, Finding> {
    file::open(path, Access::ReadWrite).map_err(|e| match Errno::from_io_error(&e) {
        Some(Errno::BUSY) => held(device, path),
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => {
            Finding::VfioMissing { what: format!("there is no {}", path.display()) }
        }
        _ => refused(path.to_path_buf(), "open VFIO", &e),
    })
}

fn held(device: &PciDevice, node: &Path) -> Finding {
    let holder = holder::of(node).map_or_else(
        || "another process, which root can look up with fuser,".to_string(),
        |process| process.to_string(),
    );
    held_by(device, holder)
}

fn held_by(device: &PciDevice, holder: String) -> Finding {
    let others = super::devices().unwrap_or_default();
    let others = others
        .iter()
        .filter(|other| other.address != device.address && other.iommu_group == device.iommu_group)
        .map(|other| other.address.to_string());
    Finding::HeldElsewhere { holder, others: others.collect::<Vec<_>>().join(", ") }
}

/// The devices of the group whose drivers prevent its use, with the names of these drivers.
fn strangers(group: &str) -> String {
    let folder = Path::new("/sys/kernel/iommu_groups").join(group).join("devices");
    let mut strangers = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let driver = std::fs::read_link(entry.path().join("driver")).ok();
        let driver = driver.as_ref().and_then(|d| d.file_name()).map(|d| d.to_string_lossy());
        // The kernel considers these drivers harmless.
        if let Some(driver) = driver.filter(|d| !["vfio-pci", "pci-stub", "pcieport"].contains(&&**d)) {
            strangers.push(format!("{name} ({driver})"));
        }
    }
    strangers.sort();
    strangers.join(", ")
}

/// Whether the device's IOMMU can remap interrupts. Also true if this is unknown; then opening the device shows it.
fn remaps_interrupts(device: &PciDevice) -> bool {
    const REMAPS: u64 = 1 << 3;
    let path = Function::new(device.address()).path("iommu/intel-iommu/ecap");
    let ecap = std::fs::read_to_string(path).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    ecap.is_none_or(|ecap| ecap & REMAPS != 0)
}

fn unsafe_interrupts_allowed() -> bool {
    is_on("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
}

fn is_on(parameter: &str) -> bool {
    std::fs::read_to_string(parameter).is_ok_and(|value| value.trim() == "Y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_take_memory_are_known_by_their_release() {
        for (release, takes) in [
            ("6.1.0-56-amd64", false),
            ("6.12.107+deb13-amd64", false),
            ("7.2.12+deb14-amd64", true),
            ("10.0", true),
            ("2.6.67", true),
            ("", true),
        ] {
            assert_eq!(!leaves_memory(release), takes, "{release}");
        }
    }
}
