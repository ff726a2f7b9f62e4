//! `read`, `write` and `info` on plain memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ivshmem_conformance::checkout;
use tempfile::TempDir;

use crate::{bad, good, ivshmem, region, run, run_with_input};

#[test]
fn what_was_written_is_read_back() {
    let (_dir, target, path) = region(1 << 20);
    good(&run_with_input(&["write", &target, "0x100"], b"Hello World!"));
    assert_eq!(&fs::read(&path).unwrap()[0x100..0x10c], b"Hello World!");
    let read = run(&["read", &target, "256", "12"]);
    good(&read);
    assert_eq!(read.stdout, b"Hello World!");
    let picture = run(&["dump", &target, "256", "12"]);
    good(&picture);
    let text = String::from_utf8(picture.stdout).unwrap();
    assert!(text.starts_with("00000100  48 65 6c 6c 6f 20 57 6f  72 6c 64 21"), "{text}");
    assert!(text.ends_with("|Hello World!|\n0000010c\n"), "{text}");
}

#[test]
fn a_size_in_the_target_creates_the_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new");
    let target = format!("plain:{}?size=64K", path.display());
    good(&run_with_input(&["write", &target], b"x"));
    assert_eq!(fs::metadata(&path).unwrap().len(), 64 << 10);
}

#[test]
fn a_large_memory_is_read_through_a_small_heap() {
    let (_dir, target, _path) = region(256 << 20);
    // 32 MiB of data segment: a shared mapping does not count, a buffer of the memory's size would.
    let script = "ulimit -d 32768; exec \"$0\" read \"$1\" | wc -c";
    let output =
        Command::new("bash").args(["-c", script, checkout::built("ivshmem"), &target]).output().unwrap();
    good(&output);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), (256 << 20).to_string());
}

#[test]
fn reading_outside_the_memory_fails_and_prints_nothing() {
    let (_dir, target, _path) = region(4096);
    for (offset, length) in [("4097", "0"), ("0", "4097"), ("4095", "2"), ("0xffffffffffffffff", "1")] {
        let text = bad(&run(&["read", &target, offset, length]), 1);
        assert!(text.contains("4096"), "the limit is missing: {text}");
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_before_anything_is_written() {
    let (dir, target, path) = region(4096);
    let input = dir.path().join("input");
    fs::write(&input, vec![7; 4097]).unwrap();
    let output = ivshmem().args(["write", &target, "0"]).stdin(File::open(&input).unwrap()).output().unwrap();
    assert!(bad(&output, 1).contains("nothing was written"));
    assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn a_pipe_that_is_too_long_fills_the_memory_and_says_so() {
    let (_dir, target, path) = region(4096);
    let text = bad(&run_with_input(&["write", &target, "4000"], &[7; 5000]), 1);
    assert!(text.contains("first 96 bytes"), "{text}");
    assert_eq!(fs::read(&path).unwrap()[4000..], [7; 96]);
}

#[test]
fn writing_outside_the_memory_fails() {
    let (_dir, target, _path) = region(4096);
    let text = bad(&run_with_input(&["write", &target, "5K"], b"x"), 1);
    assert!(text.contains("5120") && text.contains("4096"), "{text}");
}

#[test]
fn a_closed_standard_input_is_the_end_of_the_input() {
    let (_dir, target, path) = region(4096);
    let status = shell("exec \"$0\" write \"$1\" <&-", &target);
    assert_eq!(status, Some(0));
    assert_eq!(fs::read(&path).unwrap(), [0; 4096]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (_dir, target, _path) = region(64 << 20);
    assert_eq!(shell("set -o pipefail; \"$0\" dump \"$1\" | head -1 >/dev/null", &target), Some(0));
    assert_eq!(shell("set -o pipefail; \"$0\" info \"$1\" | true", &target), Some(0));
}

#[test]
fn a_file_at_the_limit_of_the_process_is_a_failure_and_not_the_end() {
    let (dir, target, path) = region(1 << 20);
    // No two of its lines are equal.
    fs::write(&path, (0..1_u32 << 18).flat_map(u32::to_ne_bytes).collect::<Vec<_>>()).unwrap();
    let output = dir.path().join("output");
    for words in [format!("read {target}"), format!("dump {target}"), "completions bash".to_owned()] {
        let ended = limited(&format!("$IVSHMEM {words} >$OUT"), &output);
        let text = bad(&ended, 1);
        assert!(
            text.contains("this process may make files of 8192 bytes: raise its limit (ulimit -f)"),
            "{text}"
        );
    }
    let new = dir.path().join("new");
    let ended = limited(&format!("$IVSHMEM create plain:{} 64M", new.display()), &output);
    let text = bad(&ended, 1);
    assert!(
        text.contains("a size of 67108864 bytes is above the 8192 bytes that this process may"),
        "{text}"
    );
    assert!(!new.exists());
    let ended = limited(&format!("$IVSHMEM serve {}", dir.path().join("socket").display()), &output);
    let text = bad(&ended, 1);
    assert!(text.contains("8192 are the most that this process may give a file"), "{text}");
}

/// Runs words in a shell, with a limit of 8 KiB for files.
fn limited(words: &str, output: &Path) -> Output {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("ulimit -f 8; {words}")).env("IVSHMEM", checkout::built("ivshmem"));
    shell.env("OUT", output).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn memory_is_never_emptied_to_dump_it_into_itself() {
    let (dir, target, path) = region(4096);
    fs::write(&path, [7; 4096]).unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for output in [&path, &link] {
        let text = bad(&run(&["dump", &target, "--output", output.to_str().unwrap()]), 1);
        assert!(text.contains("is the memory itself"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), [7; 4096]);
    }
    let other = dir.path().join("other");
    for _ in 0..2 {
        good(&run(&["dump", &target, "--output", other.to_str().unwrap()]));
        assert!(fs::read_to_string(&other).unwrap().starts_with("00000000  07 07"));
    }
}

#[test]
fn a_full_disk_is_a_failure_and_not_a_panic() {
    let (_dir, target, _path) = region(4096);
    for verb in ["read", "info"] {
        let output = ivshmem()
            .args([verb, &target])
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert!(bad(&output, 1).contains("standard output"));
    }
    assert_eq!(shell("exec \"$0\" read \"$1\" >/dev/full 2>&-", &target), Some(1));
}

fn shell(script: &str, target: &str) -> Option<i32> {
    let mut child = Command::new("bash");
    child.args(["-c", script, checkout::built("ivshmem"), target]);
    child.status().unwrap().code()
}

#[test]
fn info_tells_kind_and_size_to_people_and_machines() {
    let (_dir, target, _path) = region(1 << 20);
    let text = run(&["info", &target]);
    good(&text);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("plain") && text.contains("1048576 bytes (1M)"), "{text}");
    let json = run(&["info", &target, "--json"]);
    good(&json);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["kind"], &json["size"]), (&"plain".into(), &1_048_576.into()));
}
