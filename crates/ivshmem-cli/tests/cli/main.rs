//! Every verb through the real binary: what a user of a shell sees, with good and bad input.
#![expect(clippy::disallowed_methods, reason = "the folders of tests are changed by nobody else")]
#![expect(clippy::unwrap_used, reason = "this is test code")]

mod advice;
mod arguments;
mod create;
mod doctor;
mod every_verb;
mod guests;
mod holes;
mod interrupts;
mod looking;
mod memory;
mod ping;
mod serve;
mod terminal;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use ivshmem_conformance::checkout;
use tempfile::TempDir;

fn ivshmem() -> Command {
    Command::new(checkout::built("ivshmem"))
}

fn run(args: &[&str]) -> Output {
    ivshmem().args(args).stdin(Stdio::null()).output().unwrap()
}

fn run_with_input(args: &[&str], input: &[u8]) -> Output {
    fed(ivshmem().args(args), input)
}

/// The output of a command with this input.
fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The command may end without reading its input; the caller checks that.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// A directory, and the target and path of a file in it that has `size` bytes.
fn region(size: u64) -> (TempDir, String, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("region");
    File::create(&path).unwrap().set_len(size).unwrap();
    let target = format!("plain:{}", path.display());
    (dir, target, path)
}

#[track_caller]
fn good(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// The only line on standard error of a command that must fail with this status.
#[track_caller]
fn bad(output: &Output, status: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}");
    if status != 2 {
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("ivshmem: "), "{text}");
    }
    assert!(output.stdout.is_empty());
    text
}
