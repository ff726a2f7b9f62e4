//! The command `ivshmem` in guests: what it finds wrong there, and what it sets up.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod devices;
mod doctor;
mod monitor;
mod ping;
mod plugged;
mod setup;
mod topology;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use ivshmem_conformance::checkout;

/// The command.
fn ivshmem() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped("ivshmem")).clone()
}

/// The server, in the same folder.
fn ivshmem_server() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped("ivshmem-server")).clone()
}

/// A product, which cargo puts above the tests of the same profile; without what debuggers need, for a guest has to load it.
fn stripped(name: &str) -> PathBuf {
    let path = checkout::built(name);
    let stripped = checkout::scratch().join(name);
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(path).status().unwrap();
    assert!(status.success(), "strip {path}");
    stripped
}
