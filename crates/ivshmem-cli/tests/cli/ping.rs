//! `ping` and `peers`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::serve::Served;
use crate::{bad, good, ivshmem, region, run};

/// A running `ping --answer` and its id. Killed on drop.
struct Answering {
    child: Child,
    id: String,
}

impl Answering {
    fn start(target: &str, options: &[&str]) -> Self {
        let mut child = ivshmem()
            .args(["ping", target, "--answer"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let id = line.strip_prefix("answering as peer ").unwrap().split(' ').next().unwrap().to_owned();
        Self { child, id }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn round_trips_are_counted_and_their_percentiles_rise() {
    let server = Served::start(&["--vectors", "2"]);
    let answering = Answering::start(&server.target(), &["--vector", "1"]);
    let output = run(&["ping", &server.target(), "--vector", "1", "--count", "200", "--json"]);
    good(&output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["peer"].to_string(), answering.id);
    assert_eq!(
        (&report["sent"], &report["answered"], &report["unit"]),
        (&200.into(), &200.into(), &"us".into())
    );
    let figures = ["min", "median", "p90", "p99", "max"].map(|name| report[name].as_f64().unwrap());
    assert!(figures[0] > 0.0 && figures.is_sorted(), "{figures:?}");

    let text = run(&["ping", &server.target(), &answering.id, "--vector", "1", "--count", "5"]);
    good(&text);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("5 of 5 round trips") && text.contains("median"), "{text}");
}

#[test]
fn who_does_not_answer_ends_with_3() {
    let server = Served::start(&["--vectors", "2"]);
    let answering = Answering::start(&server.target(), &["--vector", "1"]);
    let text = bad(&run(&["ping", &server.target(), &answering.id, "--timeout", "0.1"]), 3);
    assert!(text.contains("does not answer on vector 0") && text.contains("ping TARGET --answer"), "{text}");
}

#[test]
fn whom_to_ping_must_be_clear() {
    let server = Served::start(&[]);
    assert!(bad(&run(&["ping", &server.target()]), 1).contains("0 peers"));
    let _two = [Answering::start(&server.target(), &[]), Answering::start(&server.target(), &[])];
    assert!(bad(&run(&["ping", &server.target()]), 1).contains("2 peers"));
    assert!(bad(&run(&["ping", &server.target(), "777"]), 1).contains("777"));
    let (_dir, plain, _path) = region(4096);
    for options in [&["--answer"][..], &["0"], &[]] {
        assert!(bad(&run(&[&["ping", plain.as_str()], options].concat()), 1).contains("no interrupts"));
    }
}

#[test]
fn peers_are_listed_with_their_vectors() {
    let server = Served::start(&["--vectors", "3"]);
    let answering = Answering::start(&server.target(), &[]);
    let text = run(&["peers", &server.target()]);
    good(&text);
    let text = String::from_utf8(text.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["peer", "vectors", &answering.id, "3"]);
    let json = run(&["peers", &server.target(), "--json"]);
    good(&json);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["peers"][0]["vectors"], 3);
    assert_eq!(json["peers"][0]["id"].to_string(), answering.id);
}
