//! `create`: memory that is a file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use ivshmem_conformance::checkout;
use tempfile::TempDir;

use crate::{bad, good, run};

#[test]
fn memory_is_created_with_its_space_its_mode_and_its_owner() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("x");
    let target = format!("plain:{}", path.display());
    let output = run(&["create", &target, "64K", "--mode", "640"]);
    good(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, format!("{} has 65536 bytes (64K)\n", path.display()));
    let facts = fs::metadata(&path).unwrap();
    assert_eq!(
        (facts.len(), facts.blocks() * 512, facts.permissions().mode() & 0o777),
        (65536, 65536, 0o640)
    );
    good(&run(&["doctor", &target, "--size", "64K"]));
    fs::remove_file(&path).unwrap();
    let gid = facts.gid().to_string();
    let output = run(&["create", &target, "4K", "--owner", &format!(":{gid}"), "--json"]);
    good(&output);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, serde_json::json!({ "path": path.display().to_string(), "size": 4096 }));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_there_stays_unless_it_may_grow() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x");
    let target = format!("plain:{}", path.display());
    fs::write(&path, b"here").unwrap();
    let text = bad(&run(&["create", &target, "4K"]), 1);
    assert!(text.contains("exists already") && text.contains("--grow"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), b"here");
    good(&run(&["create", &target, "4K", "--grow"]));
    good(&run(&["create", &target, "4K", "--grow"]));
    assert_eq!((&fs::read(&path).unwrap()[..5], fs::metadata(&path).unwrap().len()), (&b"here\0"[..], 4096));
    good(&run(&["create", &target, "8K", "--grow"]));
    let text = bad(&run(&["create", &target, "4K", "--grow"]), 1);
    assert!(text.contains("8192 bytes already, more than 4096"), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 8192);
}

#[test]
fn no_file_grows_that_only_a_link_leads_to() {
    let dir = TempDir::new().unwrap();
    let (link, other) = (dir.path().join("link"), dir.path().join("other"));
    fs::write(&other, b"other").unwrap();
    for target in [&other, &dir.path().join("nothing")] {
        std::os::unix::fs::symlink(target, &link).unwrap();
        let text = bad(&run(&["create", &format!("plain:{}", link.display()), "4K", "--grow"]), 1);
        assert!(text.contains(&format!("link to {}", target.display())), "{text}");
        assert!(text.contains("name its target, or remove the link"), "{text}");
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read(&other).unwrap(), b"other");
    // A file that is named itself grows, also in a directory that is reached through a link.
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    good(&run(&["create", &format!("plain:{}/other", link.display()), "4K", "--grow"]));
    assert_eq!(fs::metadata(&other).unwrap().len(), 4096);
}

#[test]
fn what_cannot_be_memory_is_refused_before_anything_is_there() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x");
    let target = format!("plain:{}", path.display());
    let sized = format!("{target}?size=4K");
    let cases: &[(&[&str], &str)] = &[
        (&[&target, "3M"], "4M, for one"),
        (&[&target, "2K"], "4K to 1T"),
        (&[&target, "2T"], "4K to 1T"),
        (&[&target, "0"], "4K to 1T"),
        (&[&target], "SIZE"),
        (&[&target, "4K", "--mode", "1000"], "octal"),
        (&[&target, "4K", "--owner", "nobody-there"], "getent"),
        (&[&sized, "4K"], "plain:PATH SIZE"),
        (&["doorbell:/run/x", "4K"], "ivshmem serve"),
        (&["auto", "4K"], "plain:PATH"),
        (&["/dev/shm/x", "4K"], "plain:PATH"),
        (&["plain:", "4K"], "plain:PATH"),
    ];
    for (words, word) in cases {
        let text = bad(&run(&[&["create"], *words].concat()), 2);
        assert!(text.contains(word), "{words:?}: {text}");
        assert!(!path.exists());
    }
    let text = bad(&run(&["create", "plain:/nonexistent/x", "4K"]), 1);
    assert!(text.contains("/nonexistent"), "{text}");
}

#[test]
fn memory_of_a_size_that_no_machine_takes_is_made_by_what_is_advised_and_is_open_to_nobody_else() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x");
    let text = bad(&run(&["create", &format!("plain:{}", path.display()), "5000"]), 2);
    let command = text.split('`').nth(1).unwrap().replace("PATH", &path.display().to_string());
    let programs = Path::new(checkout::built("ivshmem")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask 0; {command}")]).current_dir(dir.path());
    shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    assert!(shell.status().unwrap().success(), "{command}");
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.len(), facts.mode() & 0o777), (5000, 0o600), "{command}");
}
