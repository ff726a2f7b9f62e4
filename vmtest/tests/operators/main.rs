//! The command `ivshmem` in guests: its findings there, and its setup.
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

/// The path of the command.
fn ivshmem() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped("ivshmem")).clone()
}

/// The path of the server, in the same directory.
fn ivshmem_server() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped("ivshmem-server")).clone()
}

/// A product, which cargo places one level above the tests of the same profile, without debugging information, because a
/// guest must load it.
fn stripped(name: &str) -> PathBuf {
    let path = checkout::built(name);
    let stripped = checkout::scratch().join(name);
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(path).status().unwrap();
    assert!(status.success(), "strip {path}");
    stripped
}
