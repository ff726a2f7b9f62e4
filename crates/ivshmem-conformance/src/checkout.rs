//! Paths of files in a test's checkout. `env!` would name the checkout in which the test was built: in a moved or copied
//! checkout cargo considers the test up to date, and the test would run programs of the other checkout.

use std::env;
use std::path::PathBuf;

/// The directory of the package of this test or benchmark.
///
/// # Panics
/// When cargo did not start the test.
#[must_use]
pub fn package() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").expect("cargo, which starts tests, says where their package is").into()
}

/// The root of the checkout: the parent directory of the package that contains the workspace's lock file.
///
/// # Panics
/// Like [`package`], and when there is no such directory.
#[must_use]
pub fn root() -> PathBuf {
    let package = package();
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.expect("a package lies in the workspace").to_path_buf()
}

/// The path of a program that cargo built together with this test.
///
/// # Panics
/// When there is no program of this name.
#[must_use]
pub fn built(name: &str) -> &'static str {
    let program = above(2).join(name);
    assert!(program.exists(), "no {}: `cargo build` makes it", program.display());
    program.into_os_string().into_string().expect("a path that a shell can type").leak()
}

/// A directory on the disk of the build's output that tests may use. All tests share it.
///
/// # Panics
/// When it cannot be created.
#[must_use]
pub fn scratch() -> PathBuf {
    let folder = above(3).join("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Cargo places a test in `target/PROFILE/deps`.
fn above(levels: usize) -> PathBuf {
    let own = env::current_exe().unwrap();
    own.ancestors().nth(levels).expect("a test is deep in the output of a build").to_path_buf()
}
