use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ivshmem_wintest::can_run;

use crate::bench::{BOTH, Bench, Bits, Place, bad, ended, good};
use crate::program::Program;

const VECTORS: u16 = 2;

#[test]
fn every_verb_does_on_windows_what_it_does_on_linux() {
    if !can_run("every_verb_does_on_windows_what_it_does_on_linux") {
        return;
    }
    let place = Place::new(1 << 20, VECTORS);
    let bench = Bench::start(&[&place.device(VECTORS)]);
    let host = place.host(VECTORS);
    let own = host.own_id().unwrap().to_string();
    for bits in BOTH {
        let ivshmem = |words: &[&str]| {
            bench.until_closed(0);
            bench.ivshmem(bits, words)
        };
        let info: serde_json::Value =
            serde_json::from_str(&good(&mut ivshmem(&["info", "auto", "--json"]))).unwrap();
        assert_eq!(
            info,
            serde_json::json!({ "kind": "windows", "size": 1 << 20, "id": 0, "vectors": 2 }),
            "{bits:?}"
        );

        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        pour(&mut ivshmem(&["write", "windows:0?cache=wc", "0x100"]), &bytes);
        let mut there = vec![0; bytes.len()];
        host.memory().read(0x100, &mut there).unwrap();
        assert!(there == bytes, "{bits:?}: what was written is not there");
        let read = ended(&mut ivshmem(&["read", "auto", "0x100", "5000"]));
        assert!(read.status.success() && read.stdout == bytes, "{bits:?}: what is read is not what is there");

        silent(&mut ivshmem(&["fill", "auto", "0x5a", "4096", "64"]));
        assert_eq!(host.memory().read_word::<u64>(4096 + 56).unwrap(), 0x5a5a_5a5a_5a5a_5a5a);
        let dumped = good(&mut ivshmem(&["dump", "auto", "4096", "32"]));
        assert!(dumped.contains("5a 5a 5a 5a") && dumped.contains("ZZZZ"), "{dumped}");

        silent(&mut ivshmem(&["ring", "auto", &own, "1"]));
        assert!(host.wait(1, Some(Instant::now() + Duration::from_secs(60))).unwrap());

        let (mut listening, line) =
            Program::begun(&mut ivshmem(&["listen", "auto", "--count", "3", "--timeout", "60"]));
        assert!(line.starts_with("listening"), "{line}");
        for _ in 0..3 {
            host.ring(0, 1).unwrap();
            listening.expect("interrupt on vector 1");
        }
        let end = listening.end();
        assert!(end.success(), "{bits:?}: listen: {end}");

        let mut watching = Program::start(&mut ivshmem(&[
            "watch",
            "auto",
            "8192",
            "16",
            "--count",
            "1",
            "--timeout",
            "60",
            "--interval",
            "0.01",
        ]));
        let limit = Instant::now() + Duration::from_secs(60);
        let mut value = 0_u32;
        // The command reports changes since its first examination, whose time is not visible here.
        while watching.is_silent() {
            assert!(Instant::now() < limit);
            value += 1;
            host.memory().write_word(8192, value).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let end = watching.end();
        assert!(end.success(), "{bits:?}: watch: {end}");

        let answered = std::thread::scope(|scope| {
            let answer = scope.spawn(|| {
                while host.wait(0, Some(Instant::now() + Duration::from_secs(60))).unwrap() {
                    host.ring(0, 0).unwrap();
                    if host.memory().read_word::<u32>(12288).unwrap() == 1 {
                        break;
                    }
                }
            });
            let told = good(&mut ivshmem(&["ping", "auto", &own, "--count", "100", "--timeout", "60"]));
            host.memory().write_word(12288, 1_u32).unwrap();
            host.ring(host.own_id().unwrap(), 0).unwrap();
            answer.join().unwrap();
            host.memory().write_word(12288, 0_u32).unwrap();
            told
        });
        assert!(answered.contains("100 of 100 round trips"), "{answered}");

        let well = good(&mut ivshmem(&["doctor"]));
        assert_eq!(well.trim(), "nothing is wrong, as far as can be seen from here");
        let (code, _) = bad(&mut ivshmem(&["doctor", "auto", "--size", "2M", "--vectors", "5"]));
        assert_eq!(code, 4);
    }
}

#[test]
fn what_belongs_to_linux_says_so_and_bad_words_are_refused() {
    if !can_run("what_belongs_to_linux_says_so_and_bad_words_are_refused") {
        return;
    }
    let place = Place::new(1 << 16, 1);
    let bench = Bench::start(&[&place.device(1)]);
    for (words, code, text) in [
        (
            &["serve", "x.sock", "--size", "4M"][..],
            1,
            "there is no serve on Windows: servers run on the Linux host",
        ),
        (&["bind", "auto"], 1, "there is no bind on Windows"),
        (&["status", "x.sock"], 1, "there is no status on Windows"),
        (&["info", "plain:C:\\x"], 1, "not supported on this system; targets are windows:NUMBER and auto"),
        (
            &["info", "pci:00:05.0?colour"],
            1,
            "not supported on this system; targets are windows:NUMBER and auto",
        ),
        (&["info", "00:05.0"], 1, "write windows:00:05.0"),
        (&["info", "windows:7"], 1, "no ivshmem device is that; there are \\\\?\\pci#"),
        (&["read", "auto", "0", "65537"], 1, "beyond the memory"),
        (&["info", "auto", "--no-such"], 2, "--help"),
        (&["peers", "auto"], 1, "cannot tell who else is there"),
    ] {
        let (status, told) = bad(&mut bench.ivshmem(Bits::B64, words));
        assert!(status == code && told.contains(text), "{words:?}: {status} {told}");
        bench.until_closed(0);
    }
}

#[test]
fn doctor_says_what_to_do_where_there_is_no_device() {
    if !can_run("doctor_says_what_to_do_where_there_is_no_device") {
        return;
    }
    let place = Place::new(1 << 16, 1);
    let bench = Bench::start(&[&place.device(1)]);
    good(bench.wine().args(["net", "stop", "IvshmemDouble"]));
    let output = ended(&mut bench.ivshmem(Bits::B64, &["doctor"]));
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("no-device") && told.contains("0.1-161 or later"), "{told}");
}

/// Runs a command that must succeed without output.
fn silent(command: &mut Command) {
    let output = ended(command);
    assert!(output.status.success() && output.stdout.is_empty(), "{command:?}: {output:?}");
}

/// Runs a command with these bytes as its input.
fn pour(command: &mut Command, bytes: &[u8]) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}
