use std::fs;
use std::process::Command;

use ivshmem_wintest::can_run;

use crate::bench::{BOTH, Bench, Bits, file, good};
use crate::program::Program;

fn bench_of_one_file() -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},vectors=2,peer=3", file(folder.path(), "m", 1 << 16).display());
    let bench = Bench::start(&[&device]);
    (folder, bench)
}

fn holder(bench: &Bench, bits: Bits) -> Program {
    let program = bench.guest(bits, "auto", &["hold"]);
    program.expect("open, 65536 bytes");
    program
}

/// Checks that the next program can map and be rung.
fn serves_the_next(bench: &Bench, bits: Bits) {
    bench.until_closed(0);
    let mut next = holder(bench, bits);
    assert_eq!(next.ask("ring 3 1"), "rung");
    assert_eq!(next.ask("wait 1 30000"), "rung");
    assert!(next.end().success());
    bench.until_closed(0);
}

#[test]
fn after_a_killed_program_the_next_one_maps() {
    if !can_run("after_a_killed_program_the_next_one_maps") {
        return;
    }
    let (_folder, bench) = bench_of_one_file();
    for bits in BOTH {
        let program = holder(&bench, bits);
        program.kill();
        serves_the_next(&bench, bits);
    }
}

#[test]
fn a_driver_that_stops_is_a_typed_error_and_no_hang() {
    if !can_run("a_driver_that_stops_is_a_typed_error_and_no_hang") {
        return;
    }
    let (_folder, bench) = bench_of_one_file();
    let mut program = holder(&bench, Bits::B64);
    good(bench.wine().args(["net", "stop", "IvshmemDouble"]));
    gone(&mut program);
    assert_eq!(program.ask("drop"), "dropped");
    let nobody = program.ask("open");
    assert!(nobody.starts_with("NotFound: "), "{nobody}");
    good(bench.wine().args(["net", "start", "IvshmemDouble"]));
    assert_eq!(program.ask("open"), "open, 65536 bytes");
    assert!(program.end().success());
    serves_the_next(&bench, Bits::B32);
}

#[test]
fn a_killed_driver_is_a_typed_error_and_no_hang() {
    if !can_run("a_killed_driver_is_a_typed_error_and_no_hang") {
        return;
    }
    let (_folder, bench) = bench_of_one_file();
    let mut program = holder(&bench, Bits::B64);
    // Wine runs a driver in a process, so the driver can be killed, which is impossible on Windows.
    let hosts = hosts_of_drivers(bench.prefix());
    assert!(!hosts.is_empty());
    for host in hosts {
        assert!(Command::new("kill").args(["-KILL", &host]).status().unwrap().success());
    }
    gone(&mut program);
    assert_eq!(program.ask("drop"), "dropped");
    assert!(program.end().success());
}

/// Checks that memory stays as long as the program has it, that waits end in time, and that ringing reports the reason.
fn gone(program: &mut Program) {
    assert_eq!(program.ask("read 0"), "0");
    let refused = program.ask("ring 3 0");
    assert!(refused.starts_with("NotFound: the device is gone (error "), "{refused}");
    assert_eq!(program.ask("wait 0 50"), "not rung");
}

/// The processes of this Wine that run drivers.
fn hosts_of_drivers(prefix: &str) -> Vec<String> {
    let own = format!("WINEPREFIX={prefix}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let has = |process: &str, file: &str, text: &str| {
        fs::read(format!("/proc/{process}/{file}"))
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    };
    processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|process| process.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|process| has(process, "cmdline", "winedevice.exe") && has(process, "environ", &own))
        .collect()
}
