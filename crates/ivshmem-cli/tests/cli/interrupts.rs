//! `ring` and `listen`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use ivshmem_conformance::checkout;
use tempfile::TempDir;

use crate::serve::Served;
use crate::{bad, good, ivshmem, region, run, run_with_input};

/// A running `ivshmem listen`, whose lines are read one by one. Killed on drop.
struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    fn start(target: &str, options: &[&str]) -> Self {
        let mut child = ivshmem()
            .args(["listen", target])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line that contains `word`; peers connect and disconnect between the relevant lines.
    #[track_caller]
    fn line_with(&mut self, word: &str) -> String {
        loop {
            let line = self.line();
            assert_ne!(line, "", "the output ended before {word}");
            if line.contains(word) {
                return line;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_ring_is_heard_on_its_vector() {
    let server = Served::start(&["--vectors", "3"]);
    let mut listener = Listener::start(&server.target(), &[]);
    let first = listener.line();
    assert!(first.ends_with("on vectors 0, 1, 2"), "{first}");
    let id = first.split_whitespace().nth(3).unwrap();
    good(&run(&["ring", &server.target(), id, "2"]));
    assert_eq!(listener.line_with("interrupt"), "interrupt on vector 2");
    good(&run(&["ring", &server.target(), id, "0", "--count", "5"]));
    assert_eq!(listener.line_with("interrupt"), "interrupt on vector 0");
}

/// Each command that connects is a client itself, with the lowest free id.
#[test]
fn ringing_oneself_needs_an_option() {
    let server = Served::start(&["--vectors", "2"]);
    let target = server.target();
    let own = || {
        let info = run(&["info", &target, "--json"]);
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        info["id"].to_string()
    };
    assert_eq!((own(), own()), ("0".into(), "0".into()));
    let text = bad(&run(&["ring", &target, "0", "1"]), 1);
    assert!(text.contains("peer 0 is this side itself") && text.contains("ivshmem peers"), "{text}");
    for words in [&["ping", &target, "0"][..], &["ping", &target, "0", "--answer"]] {
        let text = bad(&run(words), 1);
        assert!(text.contains("peer 0 is this side itself"), "{words:?}: {text}");
    }
    good(&run(&["ring", &target, "0", "1", "--self"]));
    let text = bad(&run(&["ring", &target, "7", "1"]), 1);
    assert!(text.contains("no peer 7 is connected; `ivshmem peers TARGET` lists"), "{text}");
}

#[test]
fn an_honest_server_is_one_where_proc_is_not_mounted() {
    let server = Served::start(&["--vectors", "2"]);
    let mut listener = Listener::start(&server.target(), &[]);
    let id = listener.line().split_whitespace().nth(3).unwrap().to_owned();
    let words = format!("{0} info {1} && {0} ring {1} {id} 1", checkout::built("ivshmem"), server.target());
    let script = format!("umount -l /proc || exit 99; {words}");
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    if why.starts_with("unshare") || output.status.code() == Some(99) {
        println!("SKIP an_honest_server_is_one_where_proc_is_not_mounted: {why}");
        return;
    }
    good(&output);
    assert_eq!(listener.line_with("interrupt"), "interrupt on vector 1");
}

#[test]
fn what_is_heard_has_its_time() {
    let server = Served::start(&[]);
    for (options, in_json) in [(&["--time"][..], false), (&["--json"], true)] {
        let mut listener = Listener::start(&server.target(), options);
        let lines = [listener.line(), {
            let peers = run(&["peers", &server.target(), "--json"]);
            let peers: serde_json::Value = serde_json::from_slice(&peers.stdout).unwrap();
            let id = peers["peers"][0]["id"].to_string();
            good(&run(&["ring", &server.target(), &id, "0"]));
            listener.line_with("interrupt")
        }];
        let before = utc_now();
        let times = lines.map(|line| {
            let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["time"].clone();
            if in_json { json(&line).as_str().unwrap().to_owned() } else { line[..27].to_owned() }
        });
        assert!(times[0] <= times[1] && times[1][..16] <= *before, "{times:?} {before}");
        assert!(times.iter().all(|time| time.ends_with('Z') && time.len() == 27), "{times:?}");
    }
}

/// The minute, as `date` prints it.
fn utc_now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn who_is_alone_is_told_so() {
    let server = Served::start(&[]);
    let output = run(&["peers", &server.target()]);
    good(&output);
    assert_eq!(output.stdout, b"nobody else is connected\n");
}

#[test]
fn the_count_of_interrupts_ends_listening() {
    let server = Served::start(&[]);
    let mut listener = Listener::start(&server.target(), &["--count", "2"]);
    let first = listener.line();
    let id = first.split_whitespace().nth(3).unwrap();
    good(&run(&["ring", &server.target(), id, "0"]));
    listener.line_with("interrupt on vector 0");
    // One ring at a time: of several at once, the first one may end the listener before the others arrive.
    good(&run(&["ring", &server.target(), id, "0"]));
    listener.line_with("interrupt on vector 0");
    assert_eq!(listener.child.wait().unwrap().code(), Some(0));
}

#[test]
fn peers_that_come_and_go_are_told_in_json() {
    let server = Served::start(&["--vectors", "2"]);
    let mut listener = Listener::start(&server.target(), &["1", "--json"]);
    let first: serde_json::Value = serde_json::from_str(&listener.line()).unwrap();
    assert_eq!(first["event"], "listening");
    assert_eq!(first["vectors"], serde_json::json!([1]));
    let mut other = Listener::start(&server.target(), &["--json"]);
    let other_first: serde_json::Value = serde_json::from_str(&other.line()).unwrap();
    let came: serde_json::Value = serde_json::from_str(&listener.line_with("connected")).unwrap();
    assert_eq!((&came["event"], &came["peer"]), (&"connected".into(), &other_first["id"]));
    drop(other);
    let left: serde_json::Value = serde_json::from_str(&listener.line_with("disconnected")).unwrap();
    assert_eq!(left["peer"], other_first["id"]);
    let id = first["id"].to_string();
    good(&run(&["ring", &server.target(), &id, "1"]));
    let rung: serde_json::Value = serde_json::from_str(&listener.line_with("interrupt")).unwrap();
    assert_eq!(rung["vector"], 1);
}

#[test]
fn a_server_that_goes_is_told_and_listening_goes_on() {
    let server = Served::start(&[]);
    let mut listener = Listener::start(&server.target(), &[]);
    listener.line();
    drop(server);
    assert!(listener.line_with("server is gone").contains("go on working"));
    assert!(listener.child.try_wait().unwrap().is_none());
}

#[test]
fn the_options_of_a_servers_target_make_it_read_only_and_reconnect() {
    let place = TempDir::with_prefix_in("ivshmem-target.", "/dev/shm").unwrap();
    let dir = place.path().display().to_string();
    good(&run(&["create", &format!("plain:{dir}/memory"), "64K"]));
    let options = ["--size", "64K", "--memory-dir", &dir, "--memory-name", "memory"];
    let server = Served::start(&options);
    let target = |options: &str| format!("{}{options}", server.target());
    good(&run_with_input(&["write", &target(""), "0"], b"Hello World!"));
    let text = bad(&run_with_input(&["write", &target("?readonly"), "0"], b"x"), 1);
    assert!(text.contains("open for reading only"), "{text}");
    let read = run(&["read", &target("?readonly&reconnect"), "0", "12"]);
    good(&read);
    assert_eq!(read.stdout, b"Hello World!");
    for (options, remedy) in [
        ("?colour=red", "there are readonly and reconnect"),
        ("?memory-only", "there are readonly and reconnect"),
        ("?reconnect&reconnect", "twice"),
    ] {
        for verb in ["info", "doctor"] {
            let text = bad(&run(&[verb, &target(options)]), 1);
            assert!(text.contains(&target(options)) && text.contains(remedy), "{text}");
        }
    }

    let mut listener = Listener::start(&target("?reconnect"), &[]);
    let mut in_json = Listener::start(&target("?readonly&reconnect"), &["--json"]);
    listener.line();
    in_json.line();
    let server = server.restart(&options);
    listener.line_with("server is gone");
    let again = listener.line_with("connected again, as peer ");
    let again = again.rsplit(' ').next().unwrap();
    good(&run(&["ring", &server.target(), again, "0"]));
    assert_eq!(listener.line_with("interrupt"), "interrupt on vector 0");
    let again: serde_json::Value = serde_json::from_str(&in_json.line_with("reconnected")).unwrap();
    assert!(again["id"].is_u64(), "{again}");
    let _stranger = server.restart(&["--size", "64K"]);
    listener.line_with("other memory");
    in_json.line_with("memory-replaced");
}

#[test]
fn a_time_without_the_interrupts_asked_for_ends_with_3() {
    let server = Served::start(&[]);
    let output = run(&["listen", &server.target(), "--count", "1", "--timeout", "0.05"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "ivshmem: 0 of 1 interrupts came in time\n");
    let output = run(&["listen", &server.target(), "--timeout", "0.05"]);
    good(&output);
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("listening as peer"));
}

#[test]
fn whoever_is_not_there_cannot_be_rung() {
    let server = Served::start(&["--vectors", "2"]);
    assert!(bad(&run(&["ring", &server.target(), "777", "0"]), 1).contains("777"));
    let mut listener = Listener::start(&server.target(), &[]);
    let first = listener.line();
    let id = first.split_whitespace().nth(3).unwrap();
    let text = bad(&run(&["ring", &server.target(), id, "2"]), 1);
    assert!(text.contains("no vector 2") && text.contains("has 2"), "{text}");
    let text = bad(&run(&["listen", &server.target(), "9"]), 1);
    assert!(text.contains("no vector 9"), "{text}");
}

#[test]
fn plain_memory_has_no_interrupts_and_says_so() {
    let (_dir, target, _path) = region(4096);
    assert!(bad(&run(&["ring", &target, "0", "0"]), 1).contains("interrupt"));
    assert!(bad(&run(&["listen", &target]), 1).contains("interrupt"));
}

#[test]
fn a_reader_that_has_seen_enough_ends_listening() {
    let server = Served::start(&[]);
    let mut child = ivshmem().args(["listen", &server.target()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines);
    // The line about a new client cannot be written any more. Several tries, because a process that another test is just
    // starting holds a copy of the pipe's other end for a moment.
    for _ in 0..1000 {
        good(&run(&["info", &server.target()]));
        if let Some(status) = child.try_wait().unwrap() {
            return assert_eq!(status.code(), Some(0));
        }
    }
    let _ = child.kill();
    panic!("it goes on listening, though nobody reads");
}
