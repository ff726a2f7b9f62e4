//! Common behaviour of all verbs: wrong arguments, missing targets, closed or full standard streams, JSON.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use ivshmem_conformance::checkout;
use tempfile::TempDir;

use crate::serve::Served;
use crate::{ivshmem, region, run};

/// One verb with its arguments. The [`World`] replaces `{plain}` and similar placeholders.
struct Row {
    verb: &'static str,
    /// Ends with 0, whatever standard input is.
    good: &'static str,
    /// Ends with 2.
    wrong: &'static str,
    /// Names something that does not exist, and ends with 1.
    missing: &'static str,
    prints: Prints,
}

#[derive(PartialEq)]
enum Prints {
    /// Text, or objects with --json.
    Facts,
    /// Nothing, or an object with --json.
    JsonOnly,
    /// Text that is not data: the verb has no --json.
    Text,
    Nothing,
}

const NO_FILE: &str = "plain:/nonexistent/memory";
const NO_SERVER: &str = "doorbell:/nonexistent/socket";

const ROWS: &[Row] = &[
    Row { verb: "info", good: "{doorbell}", wrong: "", missing: NO_SERVER, prints: Prints::Facts },
    Row {
        verb: "create",
        good: "{plain} 4K --grow",
        wrong: "{plain} 3M",
        missing: "plain:/nonexistent/memory 4K",
        prints: Prints::Facts,
    },
    Row {
        verb: "peers",
        good: "{doorbell}",
        wrong: "{doorbell} 1",
        missing: NO_SERVER,
        prints: Prints::Facts,
    },
    Row { verb: "read", good: "{plain} 0 16", wrong: "{plain} x", missing: NO_FILE, prints: Prints::Facts },
    Row {
        verb: "dump",
        good: "{plain} 0 16",
        wrong: "{plain} 0 -1",
        missing: NO_FILE,
        prints: Prints::Facts,
    },
    Row { verb: "write", good: "{plain} 8", wrong: "{plain} 1Z", missing: NO_FILE, prints: Prints::JsonOnly },
    Row {
        verb: "fill",
        good: "{plain} 0x41 0 16",
        wrong: "{plain} 256",
        missing: "plain:/nonexistent/memory 0",
        prints: Prints::JsonOnly,
    },
    Row {
        verb: "watch",
        good: "{plain} 0 64 --interval 0.01 --timeout 0.05",
        wrong: "{plain} --interval never",
        missing: NO_FILE,
        prints: Prints::JsonOnly,
    },
    Row {
        verb: "ring",
        good: "{doorbell} {peer} 0",
        wrong: "{doorbell} 65536 0",
        missing: "doorbell:/nonexistent/socket 0 0",
        prints: Prints::JsonOnly,
    },
    Row {
        verb: "listen",
        good: "{doorbell} --timeout 0.05",
        wrong: "{doorbell} --count 0",
        missing: NO_SERVER,
        prints: Prints::Facts,
    },
    Row {
        verb: "ping",
        good: "{doorbell} {peer} --count 3",
        wrong: "{doorbell} --answer --count 3",
        missing: NO_SERVER,
        prints: Prints::Facts,
    },
    Row {
        verb: "status",
        good: "{status}",
        wrong: "{status} more",
        missing: "/nonexistent/socket",
        prints: Prints::Facts,
    },
    Row {
        verb: "doctor",
        good: "{doorbell}",
        wrong: "{doorbell} --phys-bits 64",
        missing: "other:/nonexistent",
        prints: Prints::Facts,
    },
    Row { verb: "setup", good: "--dry-run", wrong: "--group A", missing: "", prints: Prints::Facts },
    Row { verb: "completions", good: "zsh", wrong: "tcsh", missing: "", prints: Prints::Text },
    Row { verb: "manual", good: "{dir}", wrong: "", missing: "/nonexistent/dir", prints: Prints::Nothing },
];

/// Verbs that do not fit into a row; each has separate tests.
const ELSEWHERE: &[&str] = &["serve", "list", "bind", "help"];

#[test]
fn every_verb_has_a_row() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // Lines with a larger indent continue the text of the previous verb.
    let verbs = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    for verb in verbs {
        let known = ELSEWHERE.contains(&verb) || ROWS.iter().any(|row| row.verb == verb);
        assert!(known, "no row for the verb {verb}");
    }
}

#[test]
fn what_is_right_ends_with_0() {
    let world = World::new();
    for row in ROWS {
        let end = world.run(row.verb, row.good, "");
        assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{}", end.command);
        let is_silent = matches!(row.prints, Prints::JsonOnly | Prints::Nothing);
        assert_eq!(end.stdout.is_empty(), is_silent, "{}: {}", end.command, end.stdout);
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_why() {
    let world = World::new();
    for row in ROWS {
        let end = world.run(row.verb, row.wrong, "");
        assert_eq!((end.code, end.stdout.as_str()), (2, ""), "{}", end.command);
        assert!(end.stderr.starts_with("error: "), "{}: {}", end.command, end.stderr);
        let end = world.run(row.verb, &format!("{} --no-such-option", row.good), "");
        assert_eq!((end.code, end.stdout.as_str()), (2, ""), "{}", end.command);
        assert!(end.stderr.contains("--no-such-option"), "{}: {}", end.command, end.stderr);
    }
}

#[test]
fn what_is_not_there_ends_with_1_and_is_named_in_one_line() {
    let world = World::new();
    for row in ROWS.iter().filter(|row| !row.missing.is_empty()) {
        let end = world.run(row.verb, row.missing, "");
        assert_eq!((end.code, end.stdout.as_str()), (1, ""), "{}: {}", end.command, end.stderr);
        end.has_one_line_with("/nonexistent");
        // If nothing can be written, the exit status alone reports the failure.
        assert_eq!(world.run(row.verb, row.missing, "2>&-").code, 1);
        assert_eq!(world.run(row.verb, row.missing, "2>/dev/full").code, 1);
    }
}

#[test]
fn a_closed_standard_input_or_output_disturbs_nobody() {
    let world = World::new();
    for row in ROWS {
        for streams in ["<&-", ">&-", "<&- >&- 2>&-"] {
            let end = world.run(row.verb, row.good, streams);
            assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{}", end.command);
        }
    }
}

#[test]
fn a_full_output_ends_with_1_and_a_line() {
    let world = World::new();
    for row in ROWS {
        if matches!(row.prints, Prints::Facts | Prints::Text) {
            let end = world.run(row.verb, row.good, ">/dev/full");
            assert_eq!(end.code, 1, "{}", end.command);
            end.has_one_line_with("standard output");
        }
        if matches!(row.prints, Prints::Facts | Prints::JsonOnly) {
            let end = world.run(row.verb, &format!("{} --json", row.good), ">/dev/full");
            assert_eq!(end.code, 1, "{}", end.command);
            end.has_one_line_with("standard output");
        }
        let end = world.run(row.verb, "--help", ">/dev/full");
        assert_eq!(end.code, 1, "{}", end.command);
        end.has_one_line_with("standard output");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let world = World::new();
    for row in ROWS {
        // The reader is gone before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let end = world.run_into(row.verb, row.good, "", writer.into());
        assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{}", end.command);
    }
}

#[test]
fn with_json_each_line_is_an_object() {
    let world = World::new();
    for row in ROWS {
        let end = world.run(row.verb, &format!("{} --json", row.good), "");
        if matches!(row.prints, Prints::Text | Prints::Nothing) {
            assert_eq!(end.code, 2, "{}", end.command);
            continue;
        }
        assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{}", end.command);
        assert!(!end.stdout.is_empty(), "{}", end.command);
        for line in end.stdout.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value.is_object(), "{}: {line}", end.command);
        }
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for args in [&["--help"][..], &["help"], &["--version"], &["help", "read"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

/// The targets of the table's verbs: a file, a server with a peer that answers, and a status socket.
struct World {
    dir: TempDir,
    _region: TempDir,
    plain: String,
    server: Served,
    answering: Child,
    peer: String,
}

impl World {
    fn new() -> Self {
        let (region, plain, _path) = region(4096);
        let server = Served::start(&["--size", "4K"]);
        let mut answering = ivshmem()
            .args(["ping", &server.target(), "--answer", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(answering.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let first: serde_json::Value = serde_json::from_str(&line).unwrap();
        let dir = TempDir::new().unwrap();
        control_socket(&dir.path().join("status"));
        Self { dir, _region: region, plain, server, answering, peer: first["id"].to_string() }
    }

    /// Runs a verb in bash with these arguments and redirections. A time limit kills a verb that hangs. Status 101 is a
    /// panic.
    fn run(&self, verb: &str, words: &str, streams: &str) -> End {
        self.run_into(verb, words, streams, Stdio::piped())
    }

    fn run_into(&self, verb: &str, words: &str, streams: &str, stdout: Stdio) -> End {
        let words = words
            .replace("{plain}", &self.plain)
            .replace("{doorbell}", &self.server.target())
            .replace("{peer}", &self.peer)
            .replace("{status}", &self.dir.path().join("status").display().to_string())
            .replace("{dir}", &self.dir.path().display().to_string());
        let command = format!("{verb} {words} {streams}");
        let script = format!("timeout --signal=KILL 60 \"$0\" {command}");
        let output = Command::new("bash")
            .args(["-c", &script, checkout::built("ivshmem")])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        End {
            code: output.status.code().unwrap_or_else(|| panic!("{command}: {}", output.status)),
            command,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.answering.kill();
        let _ = self.answering.wait();
    }
}

/// How a command ended.
struct End {
    command: String,
    code: i32,
    stdout: String,
    stderr: String,
}

impl End {
    #[track_caller]
    fn has_one_line_with(&self, word: &str) {
        let Self { command, stderr, .. } = self;
        assert_eq!(stderr.lines().count(), 1, "{command}: {stderr}");
        assert!(stderr.starts_with("ivshmem: ") && stderr.contains(word), "{command}: {stderr}");
    }
}

/// A server that sends the same status to every client. Its thread ends with the test.
fn control_socket(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"{\"clients\": [{\"id\": 0, \"vectors\": 1}]}\n");
        }
    });
}
