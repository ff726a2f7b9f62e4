//! `dump`, `watch`, `fill` and `status`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ivshmem::sys::linux::foreign::ForeignFd;
use ivshmem_conformance::bare_server::send;
use ivshmem_conformance::checkout;
use ivshmem_conformance::linger::Lingering;
use tempfile::TempDir;

use crate::{bad, good, ivshmem, region, run};

#[test]
fn a_dump_is_what_hexdump_prints() {
    let (_dir, target, path) = region(8192);
    good(&run(&["fill", &target, "0x41", "0x100", "0x123"]));
    let dump = run(&["dump", &target]);
    good(&dump);
    let hexdump = Command::new("hexdump").arg("-C").arg(&path).output();
    match hexdump {
        Ok(hexdump) => assert_eq!(dump.stdout, hexdump.stdout),
        Err(_) => println!("SKIP a_dump_is_what_hexdump_prints: no hexdump here"),
    }
    let all = run(&["dump", &target, "0x100", "0x20", "--all"]);
    good(&all);
    assert_eq!(String::from_utf8(all.stdout).unwrap().lines().count(), 3);
}

#[test]
fn a_dump_goes_into_a_file_which_is_left_alone_when_nothing_can_be_read() {
    let (dir, target, _path) = region(4096);
    let file = dir.path().join("dump");
    let file = file.to_str().unwrap();
    let output = run(&["dump", &target, "0", "16", "--output", file]);
    good(&output);
    assert!(output.stdout.is_empty());
    let text = fs::read_to_string(file).unwrap();
    assert!(text.starts_with("00000000  00 ") && text.ends_with("\n00000010\n"), "{text}");
    bad(&run(&["dump", &target, "1M", "-o", file]), 1);
    assert_eq!(fs::read_to_string(file).unwrap(), text);
    assert!(bad(&run(&["dump", &target, "-o", "/nonexistent/file"]), 1).contains("/nonexistent/file"));
    assert!(bad(&run(&["dump", &target, "-o", "/dev/full"]), 1).contains("/dev/full"));
}

#[test]
fn json_carries_every_byte() {
    let (_dir, target, path) = region(10_000);
    let content: Vec<u8> = (0..10_000_u32).map(|i| (i % 253).to_le_bytes()[0]).collect();
    fs::write(&path, &content).unwrap();
    for verb in ["read", "dump"] {
        let output = run(&[verb, &target, "1", "--json"]);
        good(&output);
        let mut copy = Vec::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let part: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(part["offset"], 1 + copy.len());
            let hex = part["hex"].as_str().unwrap().as_bytes().chunks(2);
            copy.extend(hex.map(|byte| u8::from_str_radix(str::from_utf8(byte).unwrap(), 16).unwrap()));
        }
        assert_eq!(copy, content[1..]);
    }
}

#[test]
fn a_fill_touches_its_range_only() {
    let (_dir, target, path) = region(4096);
    good(&run(&["fill", &target, "0xff", "1", "4094"]));
    let content = fs::read(&path).unwrap();
    assert_eq!((content[0], content[4095]), (0, 0));
    assert!(content[1..4095].iter().all(|byte| *byte == 0xff));
    let text = bad(&run(&["fill", &target, "0", "1", "4096"]), 1);
    assert!(text.contains("4096 bytes from offset 1"), "{text}");
    good(&run(&["fill", &target, "7"]));
    assert_eq!(fs::read(&path).unwrap(), [7; 4096]);
    bad(&run(&["fill", &format!("{target}?readonly"), "7"]), 1);
}

#[test]
fn what_changes_is_told_with_old_and_new_bytes() {
    let (_dir, target, _path) = region(4096);
    let mut child = ivshmem()
        .args(["watch", &target, "0x100", "256", "--interval", "0.01", "--count", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&first["event"], &first["offset"]), (&"watching".into(), &256.into()));
    good(&run(&["fill", &target, "0x55", "0xff", "3"])); // one byte before the range, two in it
    let change: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        change,
        serde_json::json!({ "event": "changed", "offset": 256, "old": "0000", "new": "5555" })
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watch_without_changes_ends_in_time_and_one_of_too_much_is_refused() {
    let (_dir, target, path) = region(4096);
    good(&run(&["watch", &target, "--timeout", "0.05"]));
    let text = bad(&run(&["watch", &target, "--timeout", "0.05", "--count", "1"]), 3);
    assert!(text.contains("0 of 1 changes"), "{text}");
    fs::File::options().write(true).open(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    let text = bad(&run(&["watch", &target, "--timeout", "0"]), 1);
    assert!(text.contains("67108864") && text.contains("LENGTH"), "{text}");
}

#[test]
fn on_a_terminal_the_range_is_painted_again_and_in_colour_only_if_wanted() {
    for (no_colour, in_colour) in [("", true), ("1", false)] {
        let (dir, target, _path) = region(4096);
        let typescript = dir.path().join("typescript");
        let watch = format!("{} watch {target} 0 32 --count 1 --interval 0.01", checkout::built("ivshmem"));
        let mut child = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &watch, typescript.to_str().unwrap()])
            .env("NO_COLOR", no_colour)
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !fs::read_to_string(&typescript).is_ok_and(|text| text.contains("00000010 ")) {
            thread::yield_now();
        }
        good(&run(&["fill", &target, "0x55", "3", "1"]));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let text = fs::read_to_string(&typescript).unwrap();
        assert!(text.contains("\x1b[2F\x1b[J") && text.contains("55"), "{text:?}");
        assert_eq!(text.contains("\x1b[31m"), in_colour, "{text:?}");
    }
}

#[test]
fn a_status_is_a_table_for_people_and_whole_for_programs() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("status");
    let listener = UnixListener::bind(&socket).unwrap();
    let answers = [
        r#"{"size": 4096, "clients": [{"id": 0, "uid": 1000}, {"id": 17, "uid": 0}], "note": "a\u001b[2Jb"}"#,
        r#"{"size": 4096}"#,
        "[1]",
        "no json",
    ];
    thread::spawn(move || {
        for answer in answers {
            listener.accept().unwrap().0.write_all(answer.as_bytes()).unwrap();
        }
    });
    let socket = socket.to_str().unwrap();
    let text = run(&["status", socket]);
    good(&text);
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text, "size     4096\nclients\n  id   uid\n   0  1000\n  17     0\nnote     a?[2Jb\n");
    let json = run(&["status", socket, "--json"]);
    good(&json);
    assert_eq!(json.stdout, b"{\"size\":4096}\n");
    assert!(bad(&run(&["status", socket]), 1).contains("--status"));
    assert!(bad(&run(&["status", socket]), 1).contains("--status"));
}

#[test]
fn a_real_server_tells_its_clients() {
    let dir = TempDir::new().unwrap();
    let (socket, status) = (dir.path().join("s.sock"), dir.path().join("status"));
    let _server = ivshmem_server::Server::builder(&socket)
        .size(1 << 20)
        .vectors(2)
        .status_socket(&status)
        .start()
        .unwrap();
    let client = ivshmem::doorbell(&socket).connect().unwrap();
    let status = status.to_str().unwrap();
    let json = run(&["status", status, "--json"]);
    good(&json);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["format"], &json["clients"]), (&1.into(), &1.into()));
    assert_eq!(json["peers"][0]["id"], client.own_id().unwrap().0);
    let text = run(&["status", status]);
    good(&text);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("clients") && text.contains("greeted") && text.contains("counters"), "{text}");
}

#[test]
fn the_socket_for_clients_and_the_one_for_the_status_are_told_apart_at_once() {
    let dir = TempDir::new().unwrap();
    let (socket, status) = (dir.path().join("s.sock"), dir.path().join("status"));
    let server = |clients| {
        let server = ivshmem_server::Server::builder(&socket).status_socket(&status).max_clients(clients);
        server.start().unwrap()
    };
    let (asked, wanted) =
        (socket.display().to_string(), format!("ivshmem info doorbell:{}", socket.display()));
    let begin = Instant::now();
    let running = server(1);
    let text = bad(&run(&["status", &asked]), 1);
    assert!(text.contains("socket for clients") && text.contains(&wanted), "{text}");
    // A server that refuses clients sends the reason instead of its version.
    let _client = ivshmem::doorbell(&socket).connect().unwrap();
    let text = bad(&run(&["status", &asked]), 1);
    assert!(text.contains("socket for clients") && text.contains(&wanted), "{text}");
    let text = bad(&run(&["info", &format!("doorbell:{}", status.display())]), 1);
    assert!(text.contains("status socket of a server") && text.contains("`ivshmem status`"), "{text}");
    // Waiting for data that the wrong socket never sends would take 5 seconds each time.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    drop(running);
}

#[test]
fn a_status_that_never_ends_or_brings_descriptors_is_given_up_in_time() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("status");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = thread::spawn(move || {
        let mut slow = listener.accept().unwrap().0;
        while slow.write_all(b"{").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
        let stream = listener.accept().unwrap().0;
        let Lingering { socket: bait, reader } = Lingering::new(Duration::from_secs(60)).unwrap();
        send(&stream, 7, Some(&bait)).unwrap();
        drop(ForeignFd::from(bait));
        // Until the command has disconnected.
        let _ = (&stream).read(&mut [0; 1]);
        reader
    });
    let socket = socket.to_str().unwrap();
    let begin = Instant::now();
    let text = bad(&run(&["status", socket]), 1);
    assert!(text.contains("--status") && text.contains("not ended within 5 s"), "{text}");
    let text = bad(&run(&["status", socket]), 1);
    assert!(text.contains("--status") && text.contains("sends descriptors"), "{text}");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    drop(server.join().unwrap());
}
