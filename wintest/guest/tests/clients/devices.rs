use ivshmem_wintest::can_run;

use crate::bench::{BOTH, Bench, Bits, file, good};

#[test]
fn two_devices_are_listed_and_opened_by_their_size_and_number() {
    if !can_run("two_devices_are_listed_and_opened_by_their_size_and_number") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let small = format!("file={},vectors=2,peer=1", file(folder.path(), "small", 1 << 16).display());
    let large = format!("file={},vectors=0", file(folder.path(), "large", 1 << 22).display());
    let bench = Bench::start(&[&small, &large]);
    for bits in BOTH {
        let told = good(&mut bench.ivshmem(bits, &["list", "--json"]));
        let devices: Vec<serde_json::Value> =
            told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(devices.len(), 2, "{told}");
        for (device, size) in devices.iter().zip([1 << 16, 1 << 22]) {
            assert_eq!(device["size"], size, "{told}");
            assert!(device["path"].as_str().unwrap().starts_with(r"\\?\pci#ven_1af4&dev_1110"), "{told}");
            assert_eq!(device["memory"]["possible"], true, "{told}");
        }
        let path = format!("windows:{}?cache=wc", devices[1]["path"].as_str().unwrap());
        for (target, text) in [
            ("windows:0", "open, 65536 bytes"),
            ("windows:size=4M", "open, 4194304 bytes"),
            (&path, "open, 4194304 bytes"),
        ] {
            let mut program = bench.guest(bits, target, &["hold"]);
            program.expect(text);
            assert!(program.end().success());
            bench.until_closed(0);
            bench.until_closed(1);
        }
        let ambiguous = bench.guest(bits, "auto", &["hold"]).line().unwrap();
        assert!(ambiguous.starts_with("InvalidArgument") && ambiguous.contains("index 1"), "{ambiguous}");
    }
}

#[test]
fn a_device_without_vectors_is_memory_that_says_why() {
    if !can_run("a_device_without_vectors_is_memory_that_says_why") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},vectors=0", file(folder.path(), "plain", 1 << 16).display());
    let bench = Bench::start(&[&device]);
    let mut program = bench.guest(Bits::B64, "auto", &["hold"]);
    program.expect("open, 65536 bytes");
    assert_eq!(program.ask("finding"), "no-vectors");
    assert_eq!(program.ask("vectors"), "0");
    assert!(program.ask("ring 0 0").starts_with("Unsupported"));
    // A hint to examine the memory, as for a device of a Linux guest that cannot be rung.
    assert_eq!(program.ask("wait 0 1000"), "rung");
}

#[test]
fn a_second_program_is_told_that_the_device_is_in_use() {
    if !can_run("a_second_program_is_told_that_the_device_is_in_use") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},vectors=2", file(folder.path(), "m", 1 << 16).display());
    let bench = Bench::start(&[&device]);
    let mut first = bench.guest(Bits::B64, "auto", &["hold"]);
    first.expect("open, 65536 bytes");
    let mut second = bench.guest(Bits::B32, "auto", &["hold"]);
    let refused = second.line().unwrap();
    assert!(refused.starts_with("Busy: ") && refused.contains("in use (error 548)"), "{refused}");
    let listed = good(&mut bench.ivshmem(Bits::B64, &["list"]));
    assert!(listed.contains("in use"), "{listed}");
    assert_eq!(first.ask("drop"), "dropped");
    assert_eq!(second.ask("open"), "open, 65536 bytes");
    assert_eq!(first.ask("open").split(':').next(), Some("Busy"));
}

#[test]
fn drivers_with_a_mapping_for_each_handle_serve_two_programs() {
    if !can_run("drivers_with_a_mapping_for_each_handle_serve_two_programs") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},vectors=2,peer=3", file(folder.path(), "m", 1 << 16).display());
    let bench = Bench::start(&["--mapping-per-handle", &device]);
    let mut first = bench.guest(Bits::B64, "auto", &["hold"]);
    first.expect("open, 65536 bytes");
    let mut second = bench.guest(Bits::B32, "auto", &["hold"]);
    second.expect("open, 65536 bytes");
    // Both have this device's id, and both get the interrupt.
    assert_eq!(first.ask("ring 3 1"), "rung");
    assert_eq!(first.ask("wait 1 30000"), "rung");
    assert_eq!(second.ask("wait 1 30000"), "rung");
}

#[test]
fn vectors_beyond_the_drivers_slots_are_refused_by_name() {
    if !can_run("vectors_beyond_the_drivers_slots_are_refused_by_name") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},vectors=40,peer=3", file(folder.path(), "m", 1 << 16).display());
    let bench = Bench::start(&[&device]);
    let mut program = bench.guest(Bits::B64, "auto", &["hold"]);
    program.expect("open, 65536 bytes");
    assert_eq!(program.ask("vectors"), "32");
    assert_eq!(program.ask("ring 3 31"), "rung");
    assert_eq!(program.ask("wait 31 30000"), "rung");
    let refused = program.ask("wait 32 0");
    assert!(refused.starts_with("UnknownVector: ") && refused.contains("32 slots"), "{refused}");
    let refused = program.ask("wait 40 0");
    assert!(refused.starts_with("UnknownVector: ") && refused.contains("it has 32"), "{refused}");
}

#[test]
fn a_driver_that_is_not_ready_says_so() {
    if !can_run("a_driver_that_is_not_ready_says_so") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},not-ready", file(folder.path(), "m", 1 << 16).display());
    let bench = Bench::start(&[&device]);
    let refused = bench.guest(Bits::B64, "auto", &["hold"]).line().unwrap();
    assert!(refused.contains("not ready (error 21)"), "{refused}");
}
