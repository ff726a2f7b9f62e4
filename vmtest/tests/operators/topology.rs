//! `ivshmem setup` in a machine as libvirt builds it: root ports, bridges to PCI with devices behind them, single devices,
//! and devices that are plugged in while systemd and udev run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ivshmem_conformance::{checkout, skip};
use ivshmem_server::Server;
use ivshmem_vmtest::{Ending, Guest, GuestBuilder, Packages, Program, can_run};

use super::doctor::finds;
use super::monitor::Monitor;
use super::setup::{as_user, is_well};
use super::{ivshmem, ivshmem_server};

/// The directory of the units.
fn packaging() -> PathBuf {
    checkout::root().join("packaging")
}

/// A limit against hanging: udev finishes much earlier, even on a busy machine.
const HANG: Duration = Duration::from_secs(60);
/// Two single devices, at the addresses that the guest builder assigns.
const ALONE: [&str; 2] = ["0000:00:05.0", "0000:00:06.0"];
/// Two devices behind one bridge, as libvirt places them.
const TOGETHER: [&str; 2] = ["0000:02:01.0", "0000:02:02.0"];
/// A device behind a bridge together with a device of another kind.
const MIXED: &str = "0000:04:01.0";
/// The device that is plugged into a root port, and the one that is plugged in behind the first bridge.
const LATE: &str = "0000:05:00.0";
const LATE_TOGETHER: &str = "0000:02:03.0";

#[test]
fn a_group_of_users_has_what_is_only_ivshmem_in_a_machine_as_libvirt_builds_it() {
    let name = "a_group_of_users_has_what_is_only_ivshmem_in_a_machine_as_libvirt_builds_it";
    if !can_run(name) {
        return;
    }
    if let Err(why) = Packages::find().and_then(|packages| packages.debian()) {
        return skip(name, &why.to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let (socket, monitor) = (folder.path().join("server"), folder.path().join("monitor"));
    let _server = Server::builder(&socket).size(1 << 20).vectors(2).start().unwrap();
    let guest = Guest::builder("topology").memory(512).debian().doorbell(&socket, 2).doorbell(&socket, 2);
    let guest = as_libvirt(guest, &socket)
        .options(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())]);
    let programs = [ivshmem(), ivshmem_server()];
    let guest =
        guest.share(programs[0].parent().unwrap(), "/share/bin").share(packaging(), "/share/packaging");
    let guest = guest.boot().unwrap();
    guest
        .sh("install -m 755 /share/bin/ivshmem /share/bin/ivshmem-server /usr/local/bin/; useradd -m user")
        .unwrap();

    // A user without access gets a remedy, and follows it.
    let denied = |device: &str| {
        let output = guest.output(as_user("user", &format!("ivshmem doctor --json pci:{device}"))).unwrap();
        assert!(output.ending == Ending::Status(4) && output.out.contains("\"not-permitted\""), "{output:?}");
        output.out
    };
    guest.sh("ivshmem bind pci:0").unwrap();
    let report = denied(ALONE[0]);
    let command = report.split('`').nth(1).unwrap_or_else(|| panic!("nothing to type in {report}"));
    assert_eq!(command, "ivshmem setup && usermod -aG ivshmem user");
    guest.sh(command).unwrap();

    // A device of another kind counts even without a driver. Checked at once, and after a reboot.
    let rights_are_right = || {
        for device in ALONE.iter().chain(&TOGETHER) {
            assert_eq!(rights(&guest, device), "root ivshmem 660", "{device}");
            is_well(&guest.output(as_user("user", &format!("ivshmem doctor --json pci:{device}"))).unwrap());
        }
        assert_eq!(rights(&guest, MIXED), "root root 600");
        let report = denied(MIXED);
        assert!(report.contains("no permission for /dev/vfio/") && !report.contains("usermod"), "{report}");
        assert!(report.contains("place on the root bus"), "{report}");
        assert!(report.contains("its IOMMU group has 0000:04:02.0"), "{report}");
    };
    rights_are_right();
    serve_by_systemd(&guest);
    guest.sh("sync").unwrap();
    guest.reboot().unwrap();
    guest.sh("udevadm settle").unwrap();
    rights_are_right();
    is_served_by_systemd(&guest);

    // The command in the finding loads missing modules.
    guest.sh("rmmod vfio_iommu_type1").unwrap();
    let target = format!("pci:{}", ALONE[0]);
    let report = finds(&guest, &[&target], &["vfio-missing"]);
    let command = report.split(['(', ')']).find(|text| text.starts_with("modprobe ")).expect("a command");
    guest.sh(command).unwrap();
    finds(&guest, &[&target], &[]);

    // Devices behind one bridge have one owner, and the finding has the remedy: devices in separate slots can have two
    // owners.
    let listen = |device: &str| {
        let mut listening = guest.spawn(as_user("user", &format!("ivshmem listen pci:{device}"))).unwrap();
        let line = listening.line().unwrap().unwrap_or_default();
        (listening, line)
    };
    let (first, line) = listen(TOGETHER[0]);
    assert!(line.starts_with("listening as peer "), "{line}");
    let report = guest.sh(&format!("ivshmem doctor --json pci:{}", TOGETHER[1])).unwrap();
    for part in [
        "\"held-elsewhere\"",
        "(ivshmem) receives the interrupts of the device's IOMMU group",
        &format!("which has {} as well", TOGETHER[0]),
        "\"remedy\":\"close it there, or give each ivshmem device a place on the root bus",
        "<address type='pci' bus='0x00' slot='0x10'/>",
    ] {
        assert!(report.contains(part), "{report} has no {part}");
    }
    // An unbind for which the kernel would wait indefinitely is refused.
    let busy = guest.output(Program::shell(&format!("ivshmem bind --undo pci:{}", TOGETHER[0]))).unwrap();
    assert!(busy.ending == Ending::Status(1) && busy.err.contains("(ivshmem) receives"), "{busy:?}");
    let both = ALONE.map(|device| {
        let (listening, line) = listen(device);
        assert!(line.starts_with("listening as peer "), "{device}: {line}");
        listening
    });
    drop((first, both));

    // The group gets a device that is plugged in at run time at once: in a root port, and where libvirt places it.
    let mut monitor = Monitor::new(&monitor);
    for (bus, place, device) in [("port3", 0, LATE), ("bridge1", 3, LATE_TOGETHER)] {
        monitor.plug(&socket, bus, place);
        guest
            .sh(&format!("while [ ! -e /sys/bus/pci/devices/{device}/driver ]; do sleep 0.1; done"))
            .unwrap();
        become_rights(&guest, device, "root ivshmem 660");
        is_well(&guest.output(as_user("user", &format!("ivshmem doctor --json pci:{device}"))).unwrap());
    }

    // A device of another kind revokes access to the IOMMU group that it joins, and to no other; with no other programs
    // than those that granted it.
    guest.sh("mv /usr/bin/find /usr/bin/hidden").unwrap();
    monitor
        .ask(r#"{"execute":"device_add","arguments":{"driver":"pvpanic-pci","bus":"bridge1","addr":"0x4"}}"#);
    guest.sh("while [ ! -e /sys/bus/pci/devices/0000:02:04.0/resource0 ]; do sleep 0.1; done").unwrap();
    become_rights(&guest, TOGETHER[0], "root root 600");
    assert_eq!(rights(&guest, ALONE[0]), "root ivshmem 660");
    // If access is granted again, as udev may do at that moment, another event revokes it, by whatever name the system finds
    // first for the group's number.
    guest
        .sh("number=$(getent group ivshmem | cut -d: -f3) && sed -i \"1i alias:x:$number:\" /etc/group")
        .unwrap();
    let group = format!("$(basename $(readlink /sys/bus/pci/devices/{}/iommu_group))", TOGETHER[0]);
    guest.sh(&format!("chgrp ivshmem /dev/vfio/{group}")).unwrap();
    guest.sh(&format!("udevadm trigger --action=change /sys/class/vfio/{group}")).unwrap();
    become_rights(&guest, TOGETHER[0], "root root ");
    assert_eq!(rights(&guest, MIXED), "root root 600");
}

#[test]
fn a_root_port_needs_room_for_the_memory_that_is_plugged_in() {
    if !can_run("a_root_port_needs_room_for_the_memory_that_is_plugged_in") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (socket, monitor) = (folder.path().join("server"), folder.path().join("monitor"));
    let _server = Server::builder(&socket).size(64 << 20).vectors(2).start().unwrap();
    let guest = Guest::builder("room").program(ivshmem()).options([
        "-device",
        "pcie-root-port,id=small,chassis=1,addr=0x2",
        "-device",
        "pcie-root-port,id=large,chassis=2,addr=0x3,pref64-reserve=128M",
        "-qmp",
        &format!("unix:{},server=on,wait=off", monitor.display()),
    ]);
    let guest = guest.boot().unwrap();
    let mut monitor = Monitor::new(&monitor);
    for port in ["small", "large"] {
        monitor.plug(&socket, port, 0);
    }
    // Looking for a driver is the kernel's last step.
    guest.sh("while ! ivshmem bind 01:00.0 || ! ivshmem bind 02:00.0; do sleep 0.1; done").unwrap();
    let report = finds(&guest, &["pci:01:00.0"], &["no-memory"]);
    assert!(report.contains("pref64-reserve=SIZE, twice"), "{report}");
    finds(&guest, &["pci:02:00.0"], &[]);
}

/// Sets up a server with the units in packaging, as in docs/server.md.
fn serve_by_systemd(guest: &Guest) {
    let unit = "/etc/systemd/system/ivshmem-server@x.service";
    guest.sh("cp /share/packaging/ivshmem-server@.* /etc/systemd/system/").unwrap();
    guest.sh(&format!("cp /share/packaging/ivshmem-server@.service {unit}")).unwrap();
    guest.sh(&format!("systemd-analyze verify --man=no --recursive-errors=one {unit}; rm {unit}")).unwrap();
    guest.sh("cp /share/packaging/ivshmem.conf /etc/tmpfiles.d/").unwrap();
    guest.sh("mkdir /etc/ivshmem; echo VECTORS=3 >/etc/ivshmem/one.conf; usermod -aG kvm user").unwrap();
    guest.sh("systemctl daemon-reload; systemctl enable --now ivshmem-server@one.socket").unwrap();
    is_served_by_systemd(guest);
}

/// Clients of the group start the server by connecting; other users cannot connect.
fn is_served_by_systemd(guest: &Guest) {
    let told = guest.run(as_user("user", "ivshmem info --json doorbell:/run/ivshmem/one.sock")).unwrap();
    assert!(told.contains("\"size\":4194304") && told.contains("\"vectors\":3"), "{told}");
    let told =
        guest.sh("ivshmem status /run/ivshmem/one/status; systemctl is-active ivshmem-server@one").unwrap();
    assert!(told.ends_with("active\n"), "{told}");
    let refused = guest.output(as_user("nobody", "ivshmem info doorbell:/run/ivshmem/one.sock")).unwrap();
    assert!(refused.ending == Ending::Status(1) && refused.err.contains("ermission"), "{refused:?}");
}

/// Waits until the permissions start with `wanted`: a rule may trigger another event that `udevadm settle` does not see
/// yet.
#[track_caller]
fn become_rights(guest: &Guest, device: &str, wanted: &str) {
    let start = Instant::now();
    while !rights(guest, device).starts_with(wanted) {
        assert!(start.elapsed() < HANG, "{device}: {} in place of {wanted}", rights(guest, device));
        guest.sh("udevadm settle; sleep 0.1").unwrap();
    }
}

/// Owner, group and mode of the VFIO node of a device.
#[track_caller]
fn rights(guest: &Guest, device: &str) -> String {
    let group = format!("$(basename $(readlink /sys/bus/pci/devices/{device}/iommu_group))");
    guest.sh(&format!("stat -c '%U %G %a' /dev/vfio/{group}")).unwrap().trim().to_owned()
}

/// Root ports in one slot, two of them with a bridge to PCI, behind which libvirt places conventional PCI devices.
fn as_libvirt(guest: GuestBuilder, socket: &Path) -> GuestBuilder {
    let mut devices = Vec::new();
    for port in 1..=3 {
        let function = port - 1;
        devices.push(format!(
            "pcie-root-port,id=port{port},chassis={port},multifunction=on,addr=0x2.0x{function}"
        ));
    }
    for bridge in 1..=2 {
        devices.push(format!("pcie-pci-bridge,id=bridge{bridge},bus=port{bridge}"));
    }
    let mut options = Vec::new();
    for (number, place) in
        ["bus=bridge1,addr=0x1", "bus=bridge1,addr=0x2", "bus=bridge2,addr=0x1"].iter().enumerate()
    {
        options
            .extend(["-chardev".to_owned(), format!("socket,path={},id=behind{number}", socket.display())]);
        devices.push(format!("ivshmem-doorbell,vectors=2,chardev=behind{number},{place}"));
    }
    devices.push("pvpanic-pci,bus=bridge2,addr=0x2".to_owned());
    options.extend(devices.into_iter().flat_map(|device| ["-device".to_owned(), device]));
    guest.options(options)
}
