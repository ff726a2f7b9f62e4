//! Every finding of a guest is provoked, reported, and gone after its remedy.

use ivshmem_server::Server;
use ivshmem_vmtest::{Ending, Guest, GuestBuilder, Iommu, Program, can_run};
use tempfile::TempDir;

use super::devices::{as_user, module};
use super::ivshmem;

/// A server with two vectors, and a guest with the command and a device of that server.
pub(super) fn described(name: &str) -> (TempDir, Server, GuestBuilder) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let server = Server::builder(&socket).size(1 << 20).vectors(2).start().unwrap();
    let guest = Guest::builder(name).program(ivshmem()).doorbell(&socket, 2);
    (folder, server, guest)
}

/// The doctor's findings in a guest: names, exit status and report. `asked` are its arguments.
#[track_caller]
fn found(guest: &Guest, asked: &[&str]) -> (Vec<String>, Ending, String) {
    let output =
        guest.output(Program::new("ivshmem").args(["doctor", "--json"]).args(asked.to_vec())).unwrap();
    // A name is the value after its key; no name needs quoting.
    let names =
        output.out.split("\"name\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    (names.collect(), output.ending, output.out)
}

#[track_caller]
pub(super) fn finds(guest: &Guest, asked: &[&str], names: &[&str]) -> String {
    let (found, ending, report) = found(guest, asked);
    assert_eq!(found, names, "{report}");
    let is_well = !report.contains("\"severity\":\"problem\"");
    assert_eq!(ending, Ending::Status(if is_well { 0 } else { 4 }), "{report}");
    report
}

/// Checks that the finding is reported, types the command in its remedy, and checks that the finding is gone: from the
/// output of that command if it is a doctor, else from the output of another run.
#[track_caller]
pub(super) fn cured(name: &str, guest: &Guest, asked: &[&str]) {
    let (names, _, report) = found(guest, asked);
    assert!(names.iter().any(|found| found == name), "{report}");
    let told = report.split(&format!("\"name\":\"{name}\"")).nth(1).unwrap();
    let remedy = told.split('}').next().unwrap();
    let command = remedy.split('`').nth(1).unwrap_or_else(|| panic!("nothing to type in {remedy}"));
    if command.starts_with("ivshmem doctor ") {
        let said = guest.output(Program::shell(command)).unwrap();
        assert!(!said.out.contains(&format!(": {name}\n")) && said.ending != Ending::Status(1), "{said:?}");
        return;
    }
    guest.sh(command).unwrap();
    let (names, _, report) = found(guest, asked);
    assert!(!names.iter().any(|found| found == name), "{report}");
}

#[test]
fn an_unbound_device_is_bound_by_the_remedy() {
    if !can_run("an_unbound_device_is_bound_by_the_remedy") {
        return;
    }
    let (_folder, _server, guest) = described("doctor");
    let guest = guest.boot().unwrap();
    finds(&guest, &[], &["not-bound"]);
    cured("not-bound", &guest, &[]);
    finds(&guest, &["auto", "--size", "1M", "--vectors", "2"], &[]);
    let others = ["--size", "2M", "--vectors", "3"];
    finds(&guest, &others, &["size-differs", "vectors-differ"]);
    cured("size-differs", &guest, &others);
    cured("vectors-differ", &guest, &others);

    // Another program receives interrupts, which is in order.
    let listening = guest.spawn(Program::new("/bin/ivshmem").args(["listen", "auto"])).unwrap();
    guest
        .sh("while [ -z \"$(ls -l /proc/*/fd 2>/dev/null | grep /dev/vfio/vfio)\" ]; do sleep 0.1; done")
        .unwrap();
    finds(&guest, &[], &["held-elsewhere"]);
    drop(listening);
    guest.sh("while ls -l /proc/*/fd 2>/dev/null | grep -q /dev/vfio/vfio; do sleep 0.1; done").unwrap();
    finds(&guest, &[], &[]);

    // A control group whose device list has only what every program needs.
    let group = "/tmp/devices/none";
    guest
        .sh("mkdir /tmp/devices; mount -t cgroup -o devices none /tmp/devices; mkdir /tmp/devices/none")
        .unwrap();
    guest.sh(&format!("echo a >{group}/devices.deny; echo 'c 1:* rwm' >{group}/devices.allow")).unwrap();
    let inside = format!("echo $$ >{group}/tasks; exec ivshmem doctor --json");
    let report = guest.output(Program::shell(&inside)).unwrap();
    assert_eq!(
        (report.ending, report.out.matches("\"cgroup-denied\"").count()),
        (Ending::Status(4), 1),
        "{}",
        report.out
    );
    guest.sh(&format!("echo 'c *:* rw' >{group}/devices.allow")).unwrap();
    let report = guest.output(Program::shell(&inside)).unwrap();
    assert_eq!(report.ending, Ending::Status(0), "{}", report.out);
}

#[test]
fn several_devices_are_told_by_their_addresses() {
    if !can_run("several_devices_are_told_by_their_addresses") {
        return;
    }
    let (folder, _server, guest) = described("several");
    let plain = folder.path().join("plain");
    let guest = guest.plain(&plain, 4 << 20).boot().unwrap();
    let report = finds(&guest, &["auto"], &["several-devices", "not-bound", "no-vectors"]);
    assert!(report.contains("0000:00:05.0 (1M), 0000:00:06.0 (4M)"), "{report}");
    cured("several-devices", &guest, &["auto"]);
    // By name, each device is reported alone; memory without interrupts is not a problem.
    finds(&guest, &["pci:size=4M"], &["no-vectors"]);
    finds(&guest, &["pci:00:05.0"], &["not-bound"]);
}

#[test]
fn what_the_machine_lacks_is_named() {
    if !can_run("what_the_machine_lacks_is_named") {
        return;
    }
    let guest = Guest::builder("nothing").program(ivshmem()).boot().unwrap();
    finds(&guest, &[], &["no-device"]);
    finds(&guest, &["auto"], &["no-device"]);
    drop(guest);

    let (_folder, _server, guest) = described("no-iommu");
    let guest = guest.iommu(Iommu::None).boot().unwrap();
    let report = finds(&guest, &[], &["no-iommu"]);
    assert!(report.contains("-device intel-iommu"), "{report}");
    drop(guest);

    let (_folder, _server, guest) = described("no-remapping");
    let guest = guest.iommu(Iommu::IntelWithoutRemapping).boot().unwrap();
    guest.sh("ivshmem bind auto").unwrap();
    finds(&guest, &[], &["no-interrupt-remapping"]);
    guest.sh("echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts").unwrap();
    finds(&guest, &[], &[]);
}

#[test]
fn memory_without_addresses_is_told() {
    if !can_run("memory_without_addresses_is_told") {
        return;
    }
    // TCG's processor has 40 address bits.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let _server = Server::builder(&socket).size(1 << 40).vectors(2).start().unwrap();
    let guest = Guest::builder("too-large").program(ivshmem()).doorbell(&socket, 2).boot().unwrap();
    let (names, ending, report) = found(&guest, &[]);
    assert!(names.contains(&"no-memory".to_owned()), "{report}");
    assert_eq!(ending, Ending::Status(4));
    assert!(report.contains("make it smaller"), "{report}");
}

#[test]
fn what_drivers_and_rights_withhold_is_told() {
    if !can_run("what_drivers_and_rights_withhold_is_told") {
        return;
    }
    let (_folder, _server, guest) = described("withheld");
    let guest = guest
        .host_file("/share/pci-stub.ko", module("drivers/pci/pci-stub.ko"))
        .host_file("/share/uio.ko", module("drivers/uio/uio.ko"))
        .host_file("/share/uio_cif.ko", module("drivers/uio/uio_cif.ko"))
        .boot()
        .unwrap();
    guest.sh("for m in pci-stub uio uio_cif; do insmod /share/$m.ko; done").unwrap();
    let give_to = |driver: &str| {
        let give = format!(
            "d=/sys/bus/pci; echo {driver} >$d/devices/0000:00:05.0/driver_override; echo 0000:00:05.0 >$d/drivers_probe"
        );
        guest.sh(&give).unwrap();
    };

    // A driver that does nothing, and one that reserves the device's addresses.
    give_to("pci-stub");
    let report = finds(&guest, &[], &["other-driver"]);
    assert!(report.contains("the driver pci-stub has the device"), "{report}");
    cured("other-driver", &guest, &[]);
    finds(&guest, &[], &[]);
    guest.sh("ivshmem bind 0000:00:05.0 --undo").unwrap();
    give_to("hilscher");
    let report = finds(&guest, &[], &["claimed", "other-driver"]);
    assert!(report.contains("the driver hilscher has the device"), "{report}");
    cured("other-driver", &guest, &[]);
    finds(&guest, &[], &[]);

    // VFIO without the module that supports the machine's IOMMU.
    guest.sh("rmmod vfio_iommu_type1").unwrap();
    let report = finds(&guest, &[], &["vfio-missing"]);
    assert!(report.contains("load the modules vfio-pci and vfio_iommu_type1"), "{report}");
    guest.sh("insmod /vmtest/modules/vfio_iommu_type1.ko").unwrap();
    finds(&guest, &[], &[]);

    // A user other than root gets a finding for each file, until all of them are permitted.
    let folder = "/sys/bus/pci/devices/0000:00:05.0";
    for file in [format!("{folder}/resource2"), format!("{folder}/resource0"), "/dev/vfio/1".to_owned()] {
        let output = guest.output(as_user("ivshmem doctor --json")).unwrap();
        assert_eq!(output.ending, Ending::Status(4), "{}", output.out);
        let told = format!("no permission for {file}\"");
        assert!(output.out.contains("\"not-permitted\"") && output.out.contains(&told), "{}", output.out);
        assert!(output.out.contains("run as root"), "{}", output.out);
        guest.sh(&format!("chmod 666 {file}*")).unwrap();
    }
    let output = guest.output(as_user("ivshmem doctor --json")).unwrap();
    assert_eq!(output.ending, Ending::Status(0), "{}", output.out);

    // Depending on a setting of the whole system, the kernel follows no link of that user in a directory for all users.
    guest.sh("cd /dev/shm && mkdir -m 1777 all && cd all && truncate -s 4096 end && ln -s end link").unwrap();
    guest.sh("chown -h 1000 /dev/shm/all/link; echo 0 >/proc/sys/fs/protected_symlinks").unwrap();
    finds(&guest, &["plain:/dev/shm/all/link"], &[]);
    guest.sh("echo 1 >/proc/sys/fs/protected_symlinks").unwrap();
    let report = finds(&guest, &["plain:/dev/shm/all/link"], &["not-a-file"]);
    assert!(report.contains("is a link of user user, and user 0 may not follow it"), "{report}");

    // The registers lose their address without the kernel's knowledge, as after a reset; a boot assigns one.
    guest.sh(&format!("dd if=/dev/zero of={folder}/config bs=4 seek=4 count=1 conv=notrunc")).unwrap();
    let report = finds(&guest, &[], &["not-answering"]);
    assert!(report.contains("\"remedy\":\"reboot\""), "{report}");
    guest.reboot().unwrap();
    guest.sh("ivshmem bind auto").unwrap();
    finds(&guest, &[], &[]);
}

#[test]
fn a_locked_kernel_is_told() {
    if !can_run("a_locked_kernel_is_told") {
        return;
    }
    let (_folder, _server, guest) = described("locked");
    let guest = guest.kernel_argument("lockdown=integrity").boot().unwrap();
    guest.sh("mount -t securityfs none /sys/kernel/security").unwrap();
    let (names, ending, report) = found(&guest, &[]);
    assert!(names.contains(&"locked-down".to_owned()), "{report}");
    assert_eq!(ending, Ending::Status(4), "{report}");
    assert!(report.contains("start it with lockdown=none"), "{report}");
    drop(guest);

    let (_folder, _server, guest) = described("unlocked");
    let guest = guest.kernel_argument("lockdown=none").boot().unwrap();
    guest.sh("mount -t securityfs none /sys/kernel/security; ivshmem bind auto").unwrap();
    finds(&guest, &[], &[]);
}

#[test]
fn confined_machines_are_noted_until_the_remedy() {
    if !can_run("confined_machines_are_noted_until_the_remedy") {
        return;
    }
    // Debian's kernel has AppArmor enabled; a file represents libvirt's installation.
    let rules = "/etc/apparmor.d/abstractions/libvirt-qemu";
    let guest = Guest::builder("apparmor").program(ivshmem()).file(rules, "").boot().unwrap();
    guest.sh("truncate -s 4096 /dev/shm/x; mkdir -p /etc/apparmor.d/local/abstractions").unwrap();
    let report = finds(&guest, &["plain:/dev/shm/x"], &["apparmor"]);
    guest.sh(report.split('`').nth(1).unwrap()).unwrap();
    finds(&guest, &["plain:/dev/shm/x"], &[]);
    drop(guest);

    let mut guest = Guest::builder("selinux").program(ivshmem());
    for argument in ["security=selinux", "selinux=1", "enforcing=1"] {
        guest = guest.kernel_argument(argument);
    }
    let guest = guest.boot().unwrap();
    guest.sh("truncate -s 4096 /dev/shm/x; mount -t selinuxfs none /sys/fs/selinux").unwrap();
    let report = finds(&guest, &["plain:/dev/shm/x"], &["selinux"]);
    assert!(report.contains("chcon -t svirt_image_t /dev/shm/x"), "{report}");
    // There is no policy here with which a label could be set.
    guest.sh("echo 0 >/sys/fs/selinux/enforce").unwrap();
    finds(&guest, &["plain:/dev/shm/x"], &[]);
}
