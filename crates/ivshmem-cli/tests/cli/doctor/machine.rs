//! The arguments that the doctor prints: real QEMU takes them.

use std::process::{Command, Stdio};

use ivshmem_conformance::skip;
use ivshmem_server::Server;
use tempfile::TempDir;

use super::{folder, make, visit};

/// Runs QEMU with these arguments up to its monitor, and leaves it there.
fn starts(words: &serde_json::Value) -> bool {
    let words = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let mut qemu = Command::new("timeout")
        .args(["60", "qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-monitor", "stdio"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut qemu.stdin.take().unwrap(), b"info pci\nquit\n").unwrap();
    let output = qemu.wait_with_output().unwrap();
    // PCI 1af4:1110
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1af4:1110")
}

#[test]
fn qemu_takes_what_is_printed_for_a_file_and_for_a_server() {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        return skip("qemu_takes_what_is_printed_for_a_file_and_for_a_server", "QEMU is not here");
    }
    let (dir, target) = folder("a,b");
    make(&dir.path().join("a,b"), 4 << 20, 0o666);
    assert!(starts(&visit(&target, &[]).report["qemu"]));

    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("s.sock");
    let _server = Server::builder(&socket).vectors(2).start().unwrap();
    assert!(starts(&visit(&format!("doorbell:{}", socket.display()), &[]).report["qemu"]));
}
