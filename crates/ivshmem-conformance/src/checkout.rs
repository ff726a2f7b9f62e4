//! Where a test finds files of its checkout. What `env!` says was true where the test was built: in a checkout that has been
//! moved or copied since, cargo takes the test for fresh, and it would run the programs of the other place.

use std::env;
use std::path::PathBuf;

/// The folder of the package whose test or benchmark this is.
///
/// # Panics
/// When cargo did not start it.
#[must_use]
pub fn package() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").expect("cargo, which starts tests, says where their package is").into()
}

/// The root of the checkout: the folder above the package with the workspace's lock file.
///
/// # Panics
/// As [`package`], and where there is none.
#[must_use]
pub fn root() -> PathBuf {
    let package = package();
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.expect("a package lies in the workspace").to_path_buf()
}

/// The path of a program that cargo built with this test.
///
/// # Panics
/// When there is none of this name.
#[must_use]
pub fn built(name: &str) -> &'static str {
    let program = above(2).join(name);
    assert!(program.exists(), "no {}: `cargo build` makes it", program.display());
    program.into_os_string().into_string().expect("a path that a shell can type").leak()
}

/// A folder on the disk of the build's output, which tests may use; those of different tests are not kept apart.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch() -> PathBuf {
    let folder = above(3).join("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Cargo puts a test into `target/PROFILE/deps`.
fn above(levels: usize) -> PathBuf {
    let own = env::current_exe().unwrap();
    own.ancestors().nth(levels).expect("a test is deep in the output of a build").to_path_buf()
}
