//! The command `ivshmem` in guests: what it finds wrong there, and what it sets up.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod devices;
mod doctor;
mod ping;
mod setup;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The command, which cargo puts above the tests of the same profile; without what debuggers need, for a guest has to
/// load it.
fn ivshmem() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    let stripped = STRIPPED.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let path = own.ancestors().nth(2).unwrap().join("ivshmem");
        assert!(path.exists(), "no {}: run cargo build --package ivshmem-cli", path.display());
        let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ivshmem");
        let status = Command::new("strip").arg("-o").args([&stripped, &path]).status().unwrap();
        assert!(status.success(), "strip {}", path.display());
        stripped
    });
    stripped.clone()
}
