//! The tests of the Java library in JVMs on Windows: the same classes as on Linux, with the double's device.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, file};
use crate::jvm::{VERSIONS, can_run_java, jar, java_folder, linux_jvm, root, windows_jvm, windows_path};

const PACKAGE: &str = "io.github.alexanderschuetz97.ivshmem4j";
const CLASSES: [&str; 8] = [
    "memory.ValuesTest",
    "memory.RejectionTest",
    "memory.WaitingTest",
    "memory.ClosingTest",
    "internal.memory.CacheModeTest",
    "internal.memory.GuardTest",
    "internal.BridgeTest",
    "internal.device.OnWindows",
];

/// Tests that only one system runs; all others pass on both. EnabledOnOs in the tests selects them.
const ON_LINUX_ONLY: [&str; 5] = [
    "RejectionTest.noBytesAreNotWrittenToMemoryForReading",
    "RejectionTest.readOnlyMemoryRefusesToBeWritten",
    "RejectionTest.readOnlyMemoryCanBeRead",
    "ClosingTest.memoryThatIsForgottenOpenOrClosedLeavesNoMapping",
    "CacheModeTest.memoryOfAFileIsCachedAndSaysSoAfterClosingToo",
];
const ON_WINDOWS_ONLY: &str = "OnWindows.";

/// How often each test has passed: a parameterised one passes several times.
type Passed = BTreeMap<String, u32>;

#[test]
fn the_tests_of_the_java_library_pass_on_windows_as_on_linux() {
    if !can_run_java("the_tests_of_the_java_library_pass_on_windows_as_on_linux") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    // Before Java 22, memory on Windows has another class, which Linux uses in tests only.
    let linux = [None, Some("-Divshmem4j.memory=guarded")].map(|option| {
        let mut java = linux_jvm();
        java.args(option);
        let reports = folder.path().join(format!("linux{}", option.unwrap_or("")));
        let mut linux = passed(java, ":", &reports, |path| path.display().to_string());
        let all = linux.len();
        linux.retain(|name, _| !ON_LINUX_ONLY.contains(&name.as_str()));
        assert_eq!(all, linux.len() + ON_LINUX_ONLY.len(), "each of them has run on Linux");
        linux
    });

    // Some tests map the memory twice, which most builds of the driver refuse.
    let memory = format!("file={},vectors=4", file(folder.path(), "m", 8 << 20).display());
    let bench = Bench::start(&["--mapping-per-handle", &memory]);
    for version in VERSIONS {
        let mut java = windows_jvm(&bench, version);
        java.args(["-Divshmem4j.test.region=windows:0", "-Dstdout.encoding=UTF-8"]);
        let mut windows = passed(java, ";", &folder.path().join(version), windows_path);
        let before = windows.len();
        windows.retain(|name, _| !name.starts_with(ON_WINDOWS_ONLY));
        assert!(before > windows.len(), "none of the tests of Windows' devices has run");
        println!("{} tests of Windows' devices passed on Java {version}", before - windows.len());
        let linux = &linux[usize::from(version != "25")];
        for class in CLASSES.map(|class| class.rsplit('.').next().unwrap()) {
            if ON_WINDOWS_ONLY.starts_with(class) {
                continue;
            }
            let count = |of: &Passed| {
                let begin = format!("{class}.");
                of.iter().filter(|(name, _)| name.starts_with(&begin)).map(|(_, times)| times).sum::<u32>()
            };
            println!(
                "{class}: {} passed on Linux, {} on Java {version} of Windows",
                count(linux),
                count(&windows)
            );
        }
        assert_eq!(&windows, linux, "Java {version}");
    }
}

/// Runs the tests, which must succeed, and reads the report.
fn passed(mut java: Command, separator: &str, reports: &Path, name: impl Fn(&Path) -> String) -> Passed {
    fs::create_dir(reports).unwrap();
    let classes = java_folder().join("ivshmem4j/target/test-classes");
    let class_path = [console(), jar(), classes].map(|path| name(&path)).join(separator);
    java.args(["-cp", &class_path, "org.junit.platform.console.ConsoleLauncher", "execute"]);
    java.args(["--disable-banner", "--details=none", "--reports-dir", &name(reports)]);
    java.args(CLASSES.map(|class| format!("--select-class={PACKAGE}.{class}")));
    let report = reports.join("TEST-junit-jupiter.xml");
    for _ in 0..3 {
        let output = java.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // Wine does not always start a program; one with output was started.
        if !said.is_empty() {
            assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
            return read(&fs::read_to_string(&report).unwrap());
        }
        if output.status.success() && report.exists() {
            return read(&fs::read_to_string(&report).unwrap());
        }
    }
    panic!("{java:?} ended three times without a word");
}

/// The test cases of JUnit's report, except skipped ones.
fn read(report: &str) -> Passed {
    let mut passed = Passed::new();
    for case in report.split("<testcase ").skip(1) {
        let value = |key: &str| {
            let from = case.find(&format!("{key}=\"")).unwrap() + key.len() + 2;
            case[from..].split('"').next().unwrap()
        };
        let method = value("name").split(['(', '{']).next().unwrap();
        let class = value("classname").rsplit('.').next().unwrap();
        let body = case.split("</testcase>").next().unwrap();
        if !body.contains("<skipped") {
            *passed.entry(format!("{class}.{method}")).or_default() += 1;
        }
    }
    assert!(!passed.is_empty());
    passed
}

/// JUnit's console launcher, which scripts/test-wine fetches.
fn console() -> PathBuf {
    let folder = root().join("target/junit");
    let mut files = fs::read_dir(&folder).into_iter().flatten().map(|file| file.unwrap().path());
    let found = files.find(|file| file.extension().is_some_and(|extension| extension == "jar"));
    found.unwrap_or_else(|| panic!("{} has no jar: scripts/test-wine brings it", folder.display()))
}
