//! A device that is plugged into a running guest, following the output of `ivshmem doctor` on the host.

use std::process::Command;

use ivshmem_server::Server;
use ivshmem_vmtest::{Guest, Program, can_run};

use super::ivshmem;
use super::monitor::Monitor;

/// The arguments for QEMU's start, and the lines for its monitor.
fn printed(target: &str) -> (String, Vec<String>) {
    let output = Command::new(ivshmem()).args(["doctor", target, "--qemu-user", "root"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("QEMU, to plug it in later:"));
    let heading = lines.next().unwrap_or_else(|| panic!("{text}"));
    let start = heading.split_once("start with ").unwrap().1.split_once(", and").unwrap().0;
    let lines = lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim().to_owned());
    (start.to_owned(), lines.collect())
}

#[test]
fn a_device_that_is_plugged_in_as_the_doctor_says_works_and_is_alone_in_its_group() {
    let test = "a_device_that_is_plugged_in_as_the_doctor_says_works_and_is_alone_in_its_group";
    if !can_run(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (socket, file, monitor) =
        (folder.path().join("server"), folder.path().join("file"), folder.path().join("monitor"));
    let _server = Server::builder(&socket).size(1 << 20).vectors(2).start().unwrap();
    std::fs::File::create(&file).unwrap().set_len(1 << 20).unwrap();
    let target = format!("doorbell:{}", socket.display());
    let (port, doorbell) = printed(&target);
    let (same_port, plain) = printed(&format!("plain:{}", file.display()));
    assert_eq!(port, same_port);
    // A second device needs a second port.
    let second = |text: &str| text.replace("=later", "=later2").replace("chassis=1", "chassis=2");
    let words = format!("{port} {}", second(&port));
    let monitor_words = format!("unix:{},server=on,wait=off", monitor.display());
    let guest = Guest::builder("plugged")
        .program(ivshmem())
        .options(words.split(' '))
        .options(["-qmp", &monitor_words])
        .boot()
        .unwrap();
    assert_eq!(guest.sh("ivshmem list --json").unwrap(), "");
    let mut monitor = Monitor::new(&monitor);
    doorbell.iter().for_each(|line| monitor.type_in(line));
    plain.iter().for_each(|line| monitor.type_in(&second(line)));
    guest.sh("while [ $(ivshmem list --json | wc -l) -lt 2 ]; do sleep 0.1; done").unwrap();

    // No other device shares the group, so each device may have its own receiver.
    let groups = guest
        .sh("for d in /sys/bus/pci/devices/*; do grep -q 0x1110 $d/device && ls $d/iommu_group/devices/; done; true")
        .unwrap();
    assert_eq!(groups.lines().count(), 2, "{groups}");

    let bound =
        guest.sh("ivshmem list --json | grep '\"kind\":\"ivshmem-doorbell\"' | cut -d'\"' -f4").unwrap();
    let address = bound.trim();
    guest.sh(&format!("ivshmem bind {address}")).unwrap();
    let listen = format!("exec ivshmem listen pci:{address} --json");
    let mut listening = guest.spawn(Program::shell(&listen)).unwrap();
    while !listening.line().unwrap().unwrap().contains("\"listening\"") {}
    let ring = Command::new(ivshmem()).args(["ring", &target, "0", "1"]).status().unwrap();
    assert!(ring.success());
    while !listening.line().unwrap().unwrap().contains("\"vector\":1") {}
}
