//! `list` and `bind` without a device. Tests in virtual machines cover them with devices.

use std::fs::File;

use crate::{bad, good, ivshmem, run};

/// Whether this test runs in a machine with a device.
fn has_devices() -> bool {
    !run(&["list", "--json"]).stdout.is_empty()
}

#[test]
fn an_empty_list_says_so_to_people_and_nothing_to_programs() {
    if has_devices() {
        return;
    }
    let text = run(&["list"]);
    good(&text);
    assert!(String::from_utf8(text.stdout).unwrap().starts_with("no ivshmem device"));
    let json = run(&["list", "--json"]);
    good(&json);
    assert!(json.stdout.is_empty());
}

#[test]
fn a_full_output_is_a_failure() {
    if has_devices() {
        return;
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = ivshmem().arg("list").stdout(full).output().unwrap();
    assert!(bad(&output, 1).contains("standard output"));
}

#[test]
fn binding_what_is_not_there_is_one_line() {
    for target in ["auto", "pci:ffff:00:05.0", "ffff:00:05.0", "pci:99"] {
        for undo in [&[][..], &["--undo"]] {
            if target == "auto" && has_devices() {
                continue;
            }
            let text = bad(&run(&[&["bind", target], undo].concat()), 1);
            assert!(text.contains("no ivshmem device"), "{text}");
        }
    }
}

#[test]
fn binding_what_is_no_device_names_the_forms() {
    for target in ["plain:/dev/shm/x", "doorbell:/run/x", "nonsense", "pci:00:40.0"] {
        let text = bad(&run(&["bind", target]), 1);
        assert!(text.contains("0000:00:05.0"), "{text}");
    }
    bad(&run(&["bind"]), 2);
    bad(&run(&["list", "more"]), 2);
}

#[test]
fn what_was_not_set_up_cannot_be_undone() {
    let rules = "/etc/udev/rules.d/70-ivshmem.rules";
    if std::path::Path::new(rules).exists() {
        return ivshmem_conformance::skip("what_was_not_set_up_cannot_be_undone", "this machine is set up");
    }
    let text = bad(&run(&["setup", "--undo"]), 1);
    assert!(text.contains(rules) && text.contains("nothing has been set up"), "{text}");
    bad(&run(&["setup", "--undo", "--group", "x"]), 2);
    // Examining changes nothing.
    good(&run(&["setup", "--dry-run", "--group", "no-such-group"]));
    assert!(!std::path::Path::new(rules).exists());
}
