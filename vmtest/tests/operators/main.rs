//! The command `ivshmem` in guests: what it finds wrong there, and what it sets up.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod devices;
mod doctor;
mod ping;
mod plugged;
mod setup;
mod topology;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The command.
fn ivshmem() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped("ivshmem", "ivshmem-cli")).clone()
}

/// The server, in the same folder.
fn ivshmem_server() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped("ivshmem-server", "ivshmem-server")).clone()
}

/// A product, which cargo puts above the tests of the same profile; without what debuggers need, for a guest has to load it.
fn stripped(name: &str, package: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "no {}: run cargo build --package {package}", path.display());
    let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new("strip").arg("-o").args([&stripped, &path]).status().unwrap();
    assert!(status.success(), "strip {}", path.display());
    stripped
}
