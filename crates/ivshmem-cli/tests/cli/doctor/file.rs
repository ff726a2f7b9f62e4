//! Findings about files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ivshmem_conformance::skip;

use super::{Nobody, Visit, folder, follow, is_root, make, visit};
use crate::run;

#[test]
fn a_file_in_order_gets_arguments_that_fit_it() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 8 << 20, 0o666);
    let visit = visit(&target, &["--size", "8M"]);
    visit.is_well();
    let text = String::from_utf8(run(&["doctor", &target]).stdout).unwrap();
    assert!(
        text.contains("nothing is wrong") && text.contains("size=8M") && text.contains("<qemu:arg"),
        "{text}"
    );
    assert_eq!(visit.report["size"], 8 << 20);
}

#[test]
fn a_missing_file_is_created_by_the_remedy() {
    let (_dir, target) = folder("x");
    let remedy = visit(&target, &["--size", "4M"]).remedy("file-missing");
    follow(&remedy, "ivshmem info");
    visit(&target, &["--size", "4M"]).is_well();
    // Looking has created nothing.
    let (dir, target) = folder("y");
    visit(&format!("{target}?size=4M"), &[]).remedy("file-missing");
    assert!(!dir.path().join("y").exists());
}

#[test]
fn a_missing_directory_is_made_by_the_remedy() {
    let (_dir, target) = folder("a/b/x");
    let remedy = visit(&target, &["--size", "4M"]).remedy("directory-missing");
    follow(remedy.split(',').next().unwrap(), "mkdir");
    visit(&target, &["--size", "4M"]).remedy("file-missing");
}

#[test]
fn what_is_no_file_is_told_apart() {
    for (path, word) in [("/dev/null", "a device"), ("/tmp", "a directory")] {
        let visit = visit(&format!("plain:{path}"), &[]);
        visit.remedy("not-a-file");
        visit.cause_has(word);
    }
}

#[test]
fn an_empty_file_gets_its_size_by_the_remedy() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 0, 0o666);
    let remedy = visit(&target, &["--size", "4M"]).remedy("file-empty");
    follow(&remedy, "truncate");
    visit(&target, &["--size", "4M"]).is_well();
}

#[test]
fn a_size_that_is_no_power_of_two_is_rounded_up_by_the_remedy() {
    for size in [3_000_000, 2048] {
        let (dir, target) = folder("x");
        make(&dir.path().join("x"), size, 0o666);
        let visited = visit(&target, &[]);
        visited.cause_has(&size.to_string());
        follow(&visited.remedy("size-not-a-power-of-two"), "truncate");
        visit(&target, &[]).is_well();
    }
}

#[test]
fn a_stale_file_of_another_size_is_removed_by_the_remedy() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o666);
    let remedy = visit(&target, &["--size", "2M"]).remedy("size-differs");
    follow(&remedy, "rm ");
    follow(&visit(&target, &["--size", "2M"]).remedy("file-missing"), "ivshmem info");
    visit(&target, &["--size", "2M"]).is_well();
}

#[test]
fn a_user_without_permission_gets_it_by_the_remedy() {
    if !is_root("a_user_without_permission_gets_it_by_the_remedy") {
        return;
    }
    let (dir, target) = folder("x");
    let nobody = Nobody::new();
    make(&dir.path().join("x"), 1 << 20, 0o600);
    let visited = nobody.visit(&target);
    visited.cause_has("mode 600, user root");
    let remedy = visited.remedy("not-permitted").replace("GROUP", "nogroup");
    follow(&remedy, "chgrp");
    nobody.visit(&target).is_well();

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    nobody.visit(&target).remedy("not-permitted");
}

#[test]
fn a_file_that_the_machine_may_not_use_is_opened_to_it_by_the_remedy() {
    if !is_root("a_file_that_the_machine_may_not_use_is_opened_to_it_by_the_remedy") {
        return;
    }
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o600);
    visit(&target, &[]).is_well();
    let options = ["--qemu-user", "nobody"];
    let remedy = visit(&target, &options).remedy("qemu-not-permitted").replace("GROUP", "nogroup");
    follow(remedy.split(',').nth(1).unwrap(), "chgrp");
    visit(&target, &options).is_well();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let visited = visit(&target, &options);
    visited.remedy("qemu-not-permitted");
    visited.cause_has("may not pass");
    assert_eq!(visit(&target, &["--qemu-user", "no-such-person"]).names, ["no-such-user"]);
}

#[test]
fn a_file_that_nobody_may_change_is_told_apart() {
    let test = "a_file_that_nobody_may_change_is_told_apart";
    if !is_root(test) {
        return;
    }
    let (dir, target) = folder("x");
    let path = dir.path().join("x");
    make(&path, 1 << 20, 0o666);
    if !Command::new("chattr").arg("+i").arg(&path).status().is_ok_and(|status| status.success()) {
        return skip(test, "/dev/shm has no attributes here");
    }
    let remedy = visit(&target, &[]).remedy("immutable");
    follow(&remedy, "chattr");
    visit(&target, &[]).is_well();
}

#[test]
fn a_sandbox_is_told_apart_from_permissions() {
    use landlock::{
        ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    };
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o666);
    // The thread that starts the doctor has no way back out of it.
    let confined = std::thread::spawn({
        let target = target.clone();
        move || {
            let reading = AccessFs::from_read(ABI::V1);
            let root = PathBeneath::new(PathFd::new("/").unwrap(), reading);
            let rules =
                Ruleset::default().handle_access(AccessFs::from_all(ABI::V1)).unwrap().create().unwrap();
            let status = rules.add_rule(root).unwrap().restrict_self().unwrap();
            (status.ruleset != RulesetStatus::NotEnforced).then(|| visit(&target, &[]))
        }
    });
    match confined.join().unwrap() {
        Some(visited) => drop(visited.remedy("security-module")),
        None => skip("a_sandbox_is_told_apart_from_permissions", "this kernel has no Landlock"),
    }
    // The remedy: outside of the sandbox.
    visit(&target, &[]).is_well();
}

#[test]
fn a_region_that_no_machine_can_address_is_told() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 40, 0o666);
    // A file of that size without its space is another finding.
    let named = |visit: Visit, name: &str| visit.names.iter().any(|known| known == name);
    assert!(named(visit(&target, &[]), "address-width"));
    assert!(!named(visit(&target, &["--phys-bits", "46"]), "address-width"));
}
