//! The log: its levels, the format of its lines for each destination, and the proof that no client can fill it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use ivshmem::wire::Refusal;
use rustix::process::Signal;

use crate::client::{Client, eventually};
use crate::daemon::{Daemon, program};

/// The log of a server with these arguments when one client connects, one is refused, and both leave.
fn log_with(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
    let mut command = program();
    command.args(["-F", "--max-clients", "1"]).args(arguments).arg("-S").arg(&socket).arg("--log").arg(&log);
    let daemon = Daemon::start(command, &socket);
    one_of_each(&socket);
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
    fs::read_to_string(log).unwrap()
}

fn one_of_each(socket: &Path) {
    let mut only = None;
    // The harness has connected too, and may not have disconnected yet.
    eventually("there is room", || {
        let mut client = Client::connect(socket);
        let admitted = client.raw().unwrap().value == 0;
        only = admitted.then_some(client);
        admitted
    });
    let mut only = only.unwrap();
    // Id, memory, and its own vector.
    (0..3).for_each(|_| drop(only.raw().unwrap()));
    assert_eq!(Client::connect(socket).raw().unwrap().value, Refusal::TooManyClients.version());
}

#[test]
fn each_level_has_its_own_lines_and_those_of_the_worse_ones() {
    let all = ["listening", "client connected", "client refused", "client greeted"];
    for (arguments, expected) in [
        (&["--log-level", "error"][..], [false, false, false, false]),
        (&["--log-level", "warn"], [false, false, true, false]),
        (&["--log-level", "info"], [true, true, true, false]),
        (&[], [true, true, true, false]),
        (&["--log-level", "debug"], [true, true, true, true]),
        (&["-v"], [true, true, true, true]),
    ] {
        let log = log_with(arguments);
        assert_eq!(all.map(|text| log.contains(text)), expected, "{arguments:?}: {log}");
    }
}

#[test]
fn lines_for_the_journal_begin_with_their_priority_and_others_with_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, path) = (dir.path().join("s"), dir.path().join("log"));
    for is_journal in [true, false] {
        let file = File::create(&path).unwrap();
        let metadata = file.metadata().unwrap();
        // A service's child process inherits the variable, but its standard error may be something else.
        let inode = metadata.ino() + u64::from(!is_journal);
        let mut command = program();
        command.args(["-F", "-v", "--max-clients", "1"]).arg("-S").arg(&socket);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()));
        // The harness uses standard error itself, so a shell redirects that of the server.
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" 2>>\"$LOG\""])
            .arg(command.get_program())
            .args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("LOG", &path).stdin(Stdio::null());
        let daemon = Daemon::start(shell, &socket);
        one_of_each(&socket);
        assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
        let log = fs::read_to_string(&path).unwrap();
        for (text, prefix) in [
            ("listening", "<6>"),
            ("client connected", "<6>"),
            ("client refused", "<4>"),
            ("client greeted", "<7>"),
        ] {
            let line =
                log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {log}"));
            assert_eq!(line.starts_with(prefix), is_journal, "{line}");
            assert_eq!(line.starts_with("20"), !is_journal, "{line}");
        }
    }
}

#[test]
fn a_flood_of_refusals_gives_few_lines_and_their_sum_and_hides_no_other_line() {
    const FLOOD: usize = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
    let mut command = program();
    command.args(["-F", "--max-clients", "1"]).arg("-S").arg(&socket).arg("--log").arg(&log);
    let _daemon = Daemon::start(command, &socket);
    let mut only = None;
    eventually("there is room", || {
        let mut client = Client::connect(&socket);
        let admitted = client.raw().unwrap().value == 0;
        only = admitted.then_some(client);
        admitted
    });
    for _ in 0..FLOOD {
        assert!(Client::connect(&socket).raw().unwrap().value < 0);
    }
    drop(only);
    let text = || fs::read_to_string(&log).unwrap();
    eventually("the leave of the only client is logged", || text().contains("client left"));
    eventually("the sum is logged", || text().contains("more="));
    let text = text();
    let lines = text.lines().filter(|line| line.contains("refused")).count();
    assert!((50..60).contains(&lines), "{lines} lines for {FLOOD} refusals");
    let told: usize =
        text.lines().filter_map(|line| line.rsplit_once("more=")?.1.parse::<usize>().ok()).sum();
    let single = text.lines().filter(|line| line.contains("client refused")).count();
    assert!(told + single >= FLOOD, "{single} lines and {told} more");
}
