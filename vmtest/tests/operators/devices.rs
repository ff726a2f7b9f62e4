//! Selection of devices, and the library's findings: each is provoked, together with what still works.

use std::path::PathBuf;

use ivshmem_conformance::bare_server::{BareServer, Manner};
use ivshmem_conformance::checkout;
use ivshmem_server::Server;
use ivshmem_vmtest::{Ending, Guest, Iommu, Packages, Program, can_run};

use super::doctor::{described, finds};
use super::ivshmem;

/// The JSON output of `ivshmem info`, or the line of its failure.
#[track_caller]
fn info(guest: &Guest, target: &str) -> String {
    let output = guest.output(Program::new("/bin/ivshmem").args(["info", target, "--json"])).unwrap();
    match output.ending {
        Ending::Status(0) => output.out,
        Ending::Status(1) => output.err,
        _ => panic!("info {target}: {output:?}"),
    }
}

#[track_caller]
fn says(guest: &Guest, target: &str, parts: &[&str]) {
    let text = info(guest, target);
    for part in parts {
        assert!(text.contains(part), "{target}: {text} has no {part}");
    }
}

/// A program that runs as a user other than root.
pub(super) fn as_user(command: &str) -> Program {
    Program::shell(&format!(
        "mkdir -p /etc; echo 'user:x:1000:1000::/:/bin/sh' >/etc/passwd; su user -c '{command}'"
    ))
}

/// The path of a module of the guests' kernel; `path` is relative to its directory `kernel`.
pub(super) fn module(path: &str) -> PathBuf {
    let kernel = Packages::find().unwrap().kernel();
    let modules = kernel.parent().unwrap().join("lib/modules").read_dir().unwrap().next().unwrap().unwrap();
    modules.path().join("kernel").join(path)
}

#[test]
fn devices_are_listed_and_chosen() {
    if !can_run("devices_are_listed_and_chosen") {
        return;
    }
    let (folder, server, guest) = described("devices");
    let plain = folder.path().join("plain");
    let guest = guest.doorbell(server.path(), 2).plain(&plain, 4 << 20).boot().unwrap();
    let list = guest.sh("ivshmem list --json").unwrap();
    let lines: Vec<_> = list.lines().collect();
    for (line, parts) in lines.iter().zip([
        ["\"0000:00:05.0\"", "\"size\":1048576", "\"vectors\":2", "\"kind\":\"ivshmem-doorbell\""],
        ["\"0000:00:06.0\"", "\"finding\":\"not-bound\"", "\"iommu_group\":\"2\"", "\"revision\":1"],
        ["\"0000:00:07.0\"", "\"size\":4194304", "\"vectors\":0", "\"kind\":\"ivshmem-plain\""],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line} has not all of {parts:?}");
    }
    assert_eq!(lines.len(), 3, "{list}");
    guest.sh("for i in 0 1 2; do ivshmem bind pci:$i; done").unwrap();

    for (target, parts) in [
        ("pci:0", &["\"id\":0", "\"vectors\":2", "\"cache\":\"write-combined\""][..]),
        ("pci:0000:00:06.0", &["\"id\":1", "\"vectors\":2"]),
        ("pci:00:06.0?cache=uncached", &["\"id\":1", "\"cache\":\"uncached\""]),
        ("pci:1?memory-only", &["\"id\":1", "\"vectors\":0", "\"name\":\"memory-only\""]),
        ("pci:size=4M", &["\"size\":4194304", "\"name\":\"no-vectors\""]),
        ("auto", &["0000:00:05.0", "0000:00:06.0", "0000:00:07.0 (index 2, size=4194304)"]),
        ("pci:size=1M", &["2 devices", "0000:00:05.0", "0000:00:06.0"]),
        ("pci:00:08.0", &["0000:00:05.0", "0000:00:06.0", "0000:00:07.0"]),
        ("pci:3", &["0000:00:07.0 (index 2"]),
        ("pci:nonsense", &["its address (0000:00:05.0 or 00:05.0)"]),
        ("00:05.0", &["write pci:00:05.0"]),
        ("/dev/vfio/vfio", &["neither memory nor"]),
    ] {
        says(&guest, target, parts);
    }
    // Two devices share one region, the third has its own; bytes of one region never appear in the other.
    guest.sh("echo shared | ivshmem write pci:0; echo plain | ivshmem write pci:2").unwrap();
    assert_eq!(guest.sh("ivshmem read pci:1 0 6; ivshmem read pci:2 0 5").unwrap(), "sharedplain");
    assert_eq!(&std::fs::read(&plain).unwrap()[..5], b"plain");
}

#[test]
fn the_files_of_sysfs_are_plain_memory_with_their_own_cache_mode() {
    if !can_run("the_files_of_sysfs_are_plain_memory_with_their_own_cache_mode") {
        return;
    }
    let (_folder, _server, guest) = described("sysfs");
    let guest = guest.boot().unwrap();
    let place = "plain:/sys/bus/pci/devices/0000:00:05.0/resource2";
    says(&guest, &format!("{place}_wc"), &["\"size\":1048576", "\"cache\":\"write-combined\""]);
    says(&guest, place, &["\"size\":1048576", "\"cache\":\"uncached\""]);
    guest.sh(&format!("ln -s {}_wc /tmp/link", place.strip_prefix("plain:").unwrap())).unwrap();
    says(&guest, "plain:/tmp/link", &["\"cache\":\"write-combined\""]);
    says(&guest, &format!("{place}?size=2M"), &["is more than the file's 1048576"]);
    guest.sh(&format!("echo one | ivshmem write {place}_wc")).unwrap();
    assert_eq!(guest.sh("ivshmem read auto 0 3").unwrap(), "one");
}

#[test]
fn interrupts_have_one_owner_and_the_rest_works_beside() {
    if !can_run("interrupts_have_one_owner_and_the_rest_works_beside") {
        return;
    }
    let (_folder, server, guest) = described("held");
    let guest = guest.boot().unwrap();
    // The memory was switched off manually; binding switches it on permanently.
    guest.sh("d=/sys/bus/pci/devices/0000:00:05.0; echo 1 >$d/enable; printf '\\001' | dd of=$d/config bs=1 seek=4 conv=notrunc").unwrap();
    guest.sh("ivshmem bind auto").unwrap();
    let mut listening = guest.spawn(Program::new("/bin/ivshmem").args(["listen", "auto"])).unwrap();
    listening.expect_line("listening as peer 0 on vectors 0, 1").unwrap();
    says(&guest, "auto", &["\"vectors\":0", "\"name\":\"held-elsewhere\"", "(ivshmem) receives"]);
    for verb in ["listen auto", "ping auto 0", "ping auto 0 --answer"] {
        let refused = guest.output(Program::shell(&format!("ivshmem {verb}"))).unwrap();
        assert!(refused.err.contains("cannot be rung: process "), "{verb}: {}", refused.err);
    }

    // All programs in the machine have its id, and only the one that listens gets the interrupt.
    let refused = guest.output(Program::shell("ivshmem ring auto 0 1")).unwrap();
    assert!(
        refused.err.contains("peer 0 is this machine itself") && refused.err.contains("--self"),
        "{}",
        refused.err
    );
    guest.sh("ivshmem ring auto 0 1 --self").unwrap();
    listening.expect_line("interrupt on vector 1").unwrap();

    // A program that cannot be rung still shares the memory and rings.
    let host = ivshmem::doorbell(server.path()).vectors(2).connect().unwrap();
    guest
        .sh(&format!("echo two | ivshmem write auto; ivshmem ring auto {} 1", host.own_id().unwrap()))
        .unwrap();
    let soon = std::time::Instant::now() + std::time::Duration::from_secs(60);
    assert!(host.wait(1, Some(soon)).unwrap());
    let mut bytes = [0; 3];
    host.memory().read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"two");

    // A third program has the memory mapped when the owner of the interrupts dies, and keeps it.
    let watch = ["watch", "pci:?memory-only", "0", "4", "--count", "1", "--json"];
    let mut watching = guest.spawn(Program::new("/bin/ivshmem").args(watch)).unwrap();
    assert!(watching.line().unwrap().unwrap().contains("watching"));
    listening.kill().unwrap();
    listening.wait().unwrap();
    says(&guest, "auto", &["\"vectors\":2"]);
    host.memory().write(0, b"THREE").unwrap();
    let changed = watching.succeed().unwrap();
    assert!(changed.contains("\"new\":\"54485245\"") || changed.contains("54485245"), "{changed}");
}

#[test]
fn waits_are_pauses_where_nothing_can_be_received() {
    if !can_run("waits_are_pauses_where_nothing_can_be_received") {
        return;
    }
    let (_folder, _server, guest) = described("polls");
    let guest = guest.program(checkout::built("vmtest-peer")).iommu(Iommu::None).boot().unwrap();
    guest.run(Program::new("/bin/vmtest-peer").args(["auto", "polls"])).unwrap();
    guest.run(Program::new("/bin/vmtest-peer").args(["pci:?memory-only", "polls"])).unwrap();
}

#[test]
fn a_server_decides_how_many_vectors_there_are() {
    if !can_run("a_server_decides_how_many_vectors_there_are") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (given, hardware) in [(0, 2), (2, 4)] {
        let socket = folder.path().join(given.to_string());
        let _server = BareServer::start(&socket, Manner { vectors: given, ..Manner::default() }).unwrap();
        let guest = Guest::builder("given").program(ivshmem()).doorbell(&socket, hardware).boot().unwrap();
        guest.sh("ivshmem bind auto").unwrap();
        if given == 0 {
            says(
                &guest,
                "auto",
                &["\"name\":\"silent\"", "has 2 vectors", "ivshmem-server -n 1", "\"vectors\":0"],
            );
            let report = finds(&guest, &[], &["silent"]);
            assert!(report.contains("start the server with at least one vector"), "{report}");
        } else {
            says(&guest, "auto", &["\"vectors\":2"]);
            finds(&guest, &[], &[]);
        }
    }
}

#[test]
fn a_processor_has_fewer_interrupts_than_a_device_may_have_vectors() {
    if !can_run("a_processor_has_fewer_interrupts_than_a_device_may_have_vectors") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let server = Server::builder(&socket).size(1 << 20).vectors(256).start().unwrap();
    let guest = Guest::builder("many").program(ivshmem()).doorbell(&socket, 256).boot().unwrap();
    guest.sh("ivshmem bind auto").unwrap();
    let text = info(&guest, "auto");
    let vectors = text.split("\"vectors\":").nth(1).and_then(|rest| rest.split(['}', ',']).next()).unwrap();
    let vectors: u16 = vectors.parse().unwrap();
    assert!((100..=256).contains(&vectors), "{text}");
    // The last vector works like the first one.
    let listen = ["listen", "auto", &(vectors - 1).to_string(), "--count", "1"].map(str::to_owned);
    let mut listening = guest.spawn(Program::new("/bin/ivshmem").args(listen)).unwrap();
    listening.expect_line(&format!("listening as peer 0 on vectors {}", vectors - 1)).unwrap();
    let host = ivshmem::doorbell(&socket).vectors(256).connect().unwrap();
    host.ring(0, vectors - 1).unwrap();
    let heard = listening.succeed().unwrap();
    assert!(heard.ends_with(&format!("interrupt on vector {}\n", vectors - 1)), "{heard}");
    drop(host);
    server.stop().unwrap();
}

#[test]
fn devices_of_one_iommu_group_belong_together() {
    if !can_run("devices_of_one_iommu_group_belong_together") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let _server = Server::builder(&socket).size(1 << 20).vectors(2).start().unwrap();
    // A bridge to conventional PCI, behind which an IOMMU sees one device only.
    let mut options = vec!["-device".to_owned(), "pcie-pci-bridge,id=bridge,addr=0x1c".to_owned()];
    for number in [1, 2] {
        options.extend([
            "-chardev".to_owned(),
            format!("socket,path={},id=group{number}", socket.display()),
            "-device".to_owned(),
            format!("ivshmem-doorbell,vectors=2,chardev=group{number},bus=bridge,addr=0x{number}"),
        ]);
    }
    options.extend(["-device", "virtio-rng-pci,bus=bridge,addr=0x3"].map(str::to_owned));
    let guest = Guest::builder("group").program(ivshmem()).program(checkout::built("vmtest-peer"));
    // The driver virtio-pci is loaded for shared directories.
    let guest = guest.share(folder.path(), "/share/any").options(options).boot().unwrap();
    guest.sh("ivshmem bind pci:0").unwrap();
    says(&guest, "pci:0", &["\"name\":\"group-not-viable\"", "(virtio-pci)"]);
    assert!(guest.sh("ivshmem list").unwrap().contains("group-not-viable"));
    let report = finds(&guest, &["pci:0"], &["group-not-viable"]);
    assert!(report.contains("0000:01:03.0 (virtio-pci)") && report.contains("or unbind them"), "{report}");
    guest.sh("echo 0000:01:03.0 >/sys/bus/pci/drivers/virtio-pci/unbind; ivshmem bind pci:1").unwrap();
    says(&guest, "pci:0", &["\"vectors\":2"]);
    finds(&guest, &["pci:0"], &[]);
    // One process owns the group, and both devices in it can ring each other.
    guest.run(Program::new("/bin/vmtest-peer").args(["pci:0", "both", "pci:1"])).unwrap();
    let mut listening = guest.spawn(Program::new("/bin/ivshmem").args(["listen", "pci:0"])).unwrap();
    listening.expect_line("listening as peer 0 on vectors 0, 1").unwrap();
    says(&guest, "pci:1", &["\"name\":\"held-elsewhere\"", "which has 0000:01:01.0 as well"]);
}

#[test]
fn binding_is_undone_and_needs_the_driver_and_root() {
    if !can_run("binding_is_undone_and_needs_the_driver_and_root") {
        return;
    }
    let (_folder, _server, guest) = described("binding");
    let guest = guest.host_file("/share/pci-stub.ko", module("drivers/pci/pci-stub.ko")).boot().unwrap();
    let driver = "basename $(readlink /sys/bus/pci/devices/0000:00:05.0/driver) 2>/dev/null || echo none";
    assert_eq!(guest.sh("ivshmem bind auto").unwrap(), "0000:00:05.0 belongs to vfio-pci\n");
    assert_eq!(guest.sh("ivshmem bind auto").unwrap(), "0000:00:05.0 belongs to vfio-pci\n");
    assert_eq!(guest.sh(driver).unwrap(), "vfio-pci\n");
    assert_eq!(guest.sh("ivshmem bind pci:0 --undo").unwrap(), "0000:00:05.0 belongs to no driver\n");
    says(&guest, "auto", &["\"name\":\"not-bound\"", "ivshmem bind 0000:00:05.0"]);
    assert_eq!(guest.sh("ivshmem bind pci:0 --undo").unwrap(), "0000:00:05.0 belongs to no driver\n");
    assert_eq!(guest.sh("cat /sys/bus/pci/devices/0000:00:05.0/driver_override").unwrap(), "(null)\n");

    // Another driver, which takes any device it is given and provides no interrupts to programs.
    guest.sh("insmod /share/pci-stub.ko; d=/sys/bus/pci; echo pci-stub >$d/devices/0000:00:05.0/driver_override; echo 0000:00:05.0 >$d/drivers_probe").unwrap();
    says(&guest, "auto", &["\"name\":\"other-driver\"", "pci-stub", "ivshmem bind 0000:00:05.0"]);
    guest.sh("ivshmem bind auto").unwrap();
    says(&guest, "auto", &["\"vectors\":2"]);

    // Without permission nothing is changed, and the error names the file.
    guest.sh("ivshmem bind auto --undo").unwrap();
    let output = guest.output(as_user("ivshmem bind auto")).unwrap();
    assert!(output.err.contains("no permission for /sys/bus/pci/devices/0000:00:05.0/"), "{output:?}");
    assert_eq!(guest.sh(driver).unwrap(), "none\n");
    guest.sh("ivshmem bind auto").unwrap();
    let list = guest.run(as_user("ivshmem list")).unwrap();
    for file in ["/0000:00:05.0/resource2", "/0000:00:05.0/resource0", "/dev/vfio/1", "only root can see"] {
        assert!(list.contains(file), "{list} has no {file}");
    }
    let output = guest.output(as_user("ivshmem info auto")).unwrap();
    assert!(output.err.contains("resource2_wc: run as root"), "{output:?}");
    // One file after the other, until everything is permitted.
    guest.sh("chmod 666 /sys/bus/pci/devices/0000:00:05.0/resource2*").unwrap();
    let text = guest.run(as_user("ivshmem info auto --json")).unwrap();
    assert!(
        text.contains("not-permitted") && text.contains("resource0") && !text.contains("\"id\""),
        "{text}"
    );
    guest.sh("chmod 666 /sys/bus/pci/devices/0000:00:05.0/resource0").unwrap();
    let text = guest.run(as_user("ivshmem info auto --json")).unwrap();
    assert!(text.contains("\"id\":0") && text.contains("/dev/vfio/1"), "{text}");
    guest.sh("chmod 666 /dev/vfio/1").unwrap();
    let text = guest.run(as_user("ivshmem info auto --json")).unwrap();
    assert!(text.contains("\"vectors\":2"), "{text}");
}

#[test]
fn a_kernel_without_vfio_is_told() {
    if !can_run("a_kernel_without_vfio_is_told") {
        return;
    }
    let (_folder, _server, guest) = described("no-vfio");
    let guest = guest.without_vfio().boot().unwrap();
    let output = guest.output(Program::new("/bin/ivshmem").args(["bind", "auto"])).unwrap();
    assert_eq!(output.ending, Ending::Status(1));
    assert!(output.err.contains("the kernel has no driver vfio-pci: load the modules"), "{}", output.err);
    assert_eq!(guest.sh("cat /sys/bus/pci/devices/0000:00:05.0/driver_override").unwrap(), "(null)\n");
    assert_eq!(guest.sh("echo yes | ivshmem write auto; ivshmem read auto 0 3").unwrap(), "yes");
}
