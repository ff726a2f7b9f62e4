//! The ivshmem devices of this guest.

use std::fs::{self, File};
use std::path::Path;

use ivshmem::device::OpenError;
use ivshmem::pci::{self, PciDevice};
use ivshmem::size;

use super::request::{Doctor, Report};
use super::users::{READ, User, WRITE};
use crate::advice::power_of_two;
use crate::finding::{Finding, Severity};

/// Examines the device that the selector names, or every device if the target is `auto` or missing.
pub(super) fn examine(selector: &str, doctor: &Doctor, report: &mut Report) -> Result<(), OpenError> {
    let devices = pci::devices()?;
    let is_named = doctor.target.as_deref().is_some_and(|target| target != "auto");
    match &devices[..] {
        [] => report.add([no_device(doctor.target.is_some())]),
        _ if is_named => one(&pci::find(selector)?, doctor, report),
        [device] => one(device, doctor, report),
        several => {
            report.add([several_devices(several, doctor.target.is_some())]);
            several.iter().for_each(|device| one(device, doctor, report));
        }
    }
    Ok(())
}

fn no_device(wanted: bool) -> Finding {
    let cause = "this machine has no ivshmem device (PCI 1af4:1110)";
    let remedy = "in a guest: give the machine one, with QEMU's -device ivshmem-doorbell or ivshmem-plain; on the host: \
                  name a file or a server, as in ivshmem doctor plain:/dev/shm/x or doorbell:/run/ivshmem.sock";
    if wanted {
        Finding::problem("no-device", cause, remedy)
    } else {
        Finding::note("no-device", cause, remedy)
    }
}

/// Several devices are a problem only for the target `auto`.
fn several_devices(devices: &[PciDevice], wanted: bool) -> Finding {
    let list = devices.iter().map(|device| format!("{} ({})", device.address(), size::format(device.size())));
    let cause =
        format!("there are {} ivshmem devices: {}", devices.len(), list.collect::<Vec<_>>().join(", "));
    let first = devices[0].address();
    let remedy = format!("name one: `ivshmem doctor pci:{first}`, or by its size: pci:size=SIZE");
    if wanted {
        Finding::problem("several-devices", cause, remedy)
    } else {
        Finding::note("several-devices", cause, remedy)
    }
}

fn one(device: &PciDevice, doctor: &Doctor, report: &mut Report) {
    let mut findings: Vec<Finding> = Vec::new();
    for state in [device.memory(), device.sending(), device.receiving()] {
        let Err(finding) = state else { continue };
        let finding = translated(device, &finding);
        // A finding that blocks the memory blocks sending and receiving too.
        if !findings.iter().any(|known| known.name == finding.name && known.cause == finding.cause) {
            findings.push(finding);
        }
    }
    // Unresponsive registers and rings that do not arrive are found only by a trial.
    if !findings.iter().any(|finding| finding.severity == Severity::Problem && finding.name != "not-bound")
        && let Some(finding) = tried(device)
        && !findings.iter().any(|known| known.name == finding.name)
    {
        findings.push(finding);
    }
    let is_other = |wanted: &u64| *wanted != device.size() && power_of_two(*wanted) != device.size();
    if let Some(wanted) = doctor.size.filter(|wanted| is_other(wanted) && device.size() > 0) {
        findings.push(Finding::problem(
            "size-differs",
            format!(
                "{} has {} ({} bytes), and {wanted} are wanted",
                device.address(),
                size::format(device.size()),
                device.size()
            ),
            format!(
                "take the size that it has everywhere: `ivshmem doctor pci:{} --size {}`; or give the machine the server or \
                 file that all others have",
                device.address(),
                size::format(device.size())
            ),
        ));
    }
    if let (Some(wanted), Some(vectors)) = (doctor.vectors, device.vectors())
        && wanted != vectors
    {
        findings.push(Finding::problem(
            "vectors-differ",
            format!("{} has {vectors} vectors, and {wanted} are wanted", device.address()),
            format!(
                "take as many as it has everywhere: `ivshmem doctor pci:{} --vectors {vectors}`; or start the server with -n \
                 {wanted} and each machine with vectors={wanted}",
                device.address()
            ),
        ));
    }
    report.add(findings);
}

/// Opens the device for a moment, and returns the finding that prevents interrupts.
fn tried(device: &PciDevice) -> Option<Finding> {
    let finding = match device.open().open() {
        Ok(opened) => opened.interrupt_finding()?.clone(),
        Err(OpenError::Guest { finding, .. }) => finding,
        Err(error) => {
            pci::Finding::System { doing: "open the device", reason: error.to_string(), remedy: None }
        }
    };
    Some(translated(device, &finding))
}

/// Converts a finding of the library.
fn translated(device: &PciDevice, found: &pci::Finding) -> Finding {
    if let pci::Finding::NotPermitted { path } = found
        && let Some(finding) = denied_by_cgroup(path)
    {
        return finding;
    }
    let remedy = match found {
        pci::Finding::NotPermitted { path } => not_permitted(device, path),
        pci::Finding::NotBound { address } | pci::Finding::OtherDriver { address, .. } => {
            format!("as root: `ivshmem bind {address}`")
        }
        _ => found.remedy().unwrap_or_else(|| "see docs/linux-guest.md".to_owned()),
    };
    let cause = format!("{}: {}", device.address(), found.cause());
    match found {
        // An ivshmem-plain has no interrupts, and a device that another program uses is in order.
        pci::Finding::NoVectors | pci::Finding::HeldElsewhere { .. } => {
            Finding::note(found.name(), cause, remedy)
        }
        _ => Finding::problem(found.name(), cause, remedy),
    }
}

/// The remedy that gives a user access to a file of a device.
fn not_permitted(device: &PciDevice, path: &Path) -> String {
    let group = device.iommu_group().filter(|_| path.starts_with("/dev/vfio")).unwrap_or_default();
    let strangers = strangers(group);
    if strangers.is_empty() {
        let user = User::own().name;
        return format!(
            "run as root, or let root prepare the machine once and let this user in from the next login on: `ivshmem setup && \
             usermod -aG ivshmem {user}`"
        );
    }
    format!(
        "run as root, or give the ivshmem device a place on the root bus (QEMU: bus=pcie.0; libvirt, in the <shmem>: <address \
         type='pci' bus='0x00' slot='0x10'/> with a free slot): its IOMMU group has {} as well, and ivshmem setup gives nobody \
         what is not only ivshmem",
        strangers.join(", ")
    )
}

/// The devices of an IOMMU group that are neither ivshmem devices nor bridges.
fn strangers(group: &str) -> Vec<String> {
    let folder = Path::new("/sys/kernel/iommu_groups").join(group).join("devices");
    let mut strangers = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let is = |name: &str, begin: &str| {
            fs::read_to_string(entry.path().join(name)).is_ok_and(|value| value.starts_with(begin))
        };
        if !(is("class", "0x0604") || is("vendor", "0x1af4") && is("device", "0x1110")) {
            strangers.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    strangers.sort();
    strangers
}

/// Finds a device node that its mode permits this user to open, but the control group does not.
fn denied_by_cgroup(path: &Path) -> Option<Finding> {
    const EPERM: i32 = 1;
    let error = File::options().read(true).write(true).open(path).err()?;
    let allowed = User::own().obstacles(path, READ | WRITE).is_empty();
    (error.raw_os_error() == Some(EPERM) && allowed).then(|| {
        Finding::problem(
            "cgroup-denied",
            format!("the device list of this program's control group forbids {}", path.display()),
            "allow it: DeviceAllow=PATH rw in a systemd unit, --device PATH for a container, cgroup_device_acl in \
             /etc/libvirt/qemu.conf",
        )
    })
}
