//! Java virtual machines of Windows and of this system, with the Java library of this tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use ivshmem_conformance::checkout;
use ivshmem_wintest::can_run;

use crate::bench::Bench;
use crate::program::Program;

/// The versions of Windows JVMs: with java.lang.foreign, the most used one, and the oldest there is.
pub(crate) const VERSIONS: [&str; 3] = ["25", "17", "11"];

const PEER: &str = "io.github.alexanderschuetz97.ivshmem4j.vmtest.Peer";
const JARS: [&str; 2] =
    ["ivshmem4j/target/ivshmem4j-2.0.0-SNAPSHOT.jar", "vmtest/target/ivshmem4j-vmtest-2.0.0-SNAPSHOT.jar"];

/// Whether there are Wine, the jars and the JVMs; otherwise says that `test` is skipped, and why.
pub(crate) fn can_run_java(test: &str) -> bool {
    if !can_run(test) {
        return false;
    }
    if !java_folder().join(JARS[1]).exists() {
        ivshmem_conformance::skip(test, "the jar is not there; scripts/java-jar 32 windows makes it");
        return false;
    }
    let missing = VERSIONS.iter().find(|version| jre(version, "windows").is_none());
    if let Some(version) = missing {
        ivshmem_conformance::skip(test, &format!("scripts/jre {version} windows could not get it"));
    }
    missing.is_none()
}

/// A JVM of Windows with options behind; its caches are in the Wine, too, which is of one bench alone.
pub(crate) fn windows_jvm(bench: &Bench, version: &str) -> Command {
    let mut command = bench.wine();
    command.arg(jre(version, "windows").expect("looked for by can_run_java").join("bin/java.exe"));
    // Its warnings about Wine are no output of the program.
    command.arg("-XX:+DisplayVMOutputToStderr");
    if version == "25" {
        command.arg("--enable-native-access=ALL-UNNAMED");
    }
    command
}

/// A JVM of this system.
pub(crate) fn linux_jvm() -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Duser.home={}", root().join("target").display()));
    // Cargo names its folders there, where a JVM looks before it takes the jar's library.
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// A program of java/vmtest that executes commands, on Windows. Wine does not start each at once.
pub(crate) fn windows_peer(bench: &Bench, version: &str) -> Program {
    for _ in 0..3 {
        let mut command = windows_jvm(bench, version);
        let mut peer =
            Program::start(command.args(["-XX:TieredStopAtLevel=1", "-cp", &windows_jars(), PEER]));
        if peer.try_ask("hello").is_some() {
            return peer;
        }
    }
    panic!("the JVM {version} ended three times without a word");
}

/// The same on this system.
pub(crate) fn linux_peer() -> Program {
    let jars = JARS.map(|jar| java_folder().join(jar).display().to_string()).join(":");
    Program::start(linux_jvm().args(["-XX:TieredStopAtLevel=1", "-cp", &jars, PEER]))
}

/// The class path with the library and the programs for tests.
pub(crate) fn windows_jars() -> String {
    JARS.map(|jar| windows_path(&java_folder().join(jar))).join(";")
}

/// The library.
pub(crate) fn jar() -> PathBuf {
    java_folder().join(JARS[0])
}

pub(crate) fn java_folder() -> PathBuf {
    root().join("java")
}

/// What Windows programs call a file of this system.
pub(crate) fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

/// The home of a JVM that scripts/jre brings.
pub(crate) fn jre(version: &str, system: &str) -> Option<PathBuf> {
    let output = Command::new(root().join("scripts/jre")).args([version, system]).output().unwrap();
    let home = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| PathBuf::from(home.trim_end()))
}

pub(crate) fn root() -> PathBuf {
    checkout::root()
}
