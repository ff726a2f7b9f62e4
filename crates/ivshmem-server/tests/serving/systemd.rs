//! The server under a service manager: the units, the inherited socket, and the notifications.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ivshmem_conformance::{checkout, skip};
use rustix::process::Signal;

use crate::client::{Client, HANG, eventually};
use crate::daemon::{Daemon, program};

const UNITS: [&str; 2] = ["ivshmem-server@.socket", "ivshmem-server@.service"];

fn packaging() -> PathBuf {
    checkout::root().join("packaging")
}

/// Runs a command of systemd; `None` when this machine does not have it.
fn systemd(test: &str, command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            skip(test, &format!("no {} here", command.get_program().display()));
            None
        }
        Err(e) => panic!("{command:?}: {e}"),
    }
}

/// The units for one instance, with the path of the built program.
fn instance(dir: &Path) -> [PathBuf; 2] {
    UNITS.map(|unit| {
        let text = fs::read_to_string(packaging().join(unit)).unwrap();
        let program = checkout::built("ivshmem-server");
        let text = text.replace("/usr/local/bin/ivshmem-server", program);
        let path = dir.join(unit.replace('@', "@test"));
        fs::write(&path, text).unwrap();
        path
    })
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=one"]).args(instance(dir.path()));
    let Some(output) = systemd("systemd_finds_nothing_wrong_with_the_units", &mut verify) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ivshmem"), "{said}");
}

#[test]
fn systemd_counts_the_service_among_the_well_confined() {
    let dir = tempfile::tempdir().unwrap();
    let [_, service] = instance(dir.path());
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--no-pager", "--offline=true", "--threshold=20"]).arg(service);
    let Some(output) = systemd("systemd_counts_the_service_among_the_well_confined", &mut security) else {
        return;
    };
    let table = String::from_utf8_lossy(&output.stdout);
    println!("{}", table.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_option_in_the_service_is_one_of_the_program_and_its_settings_reach_it() {
    let service = fs::read_to_string(packaging().join(UNITS[1])).unwrap();
    let line = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (socket, status) = (dir.path().join("s"), dir.path().join("status"));
    let line = line.replace("${SIZE}", "64K").replace("${VECTORS}", "3");
    let words = line.split_whitespace().skip(1).map(|word| match word {
        "$OPTIONS" => "--max-clients=64".to_owned(),
        path if path.starts_with("/run/") => status.to_str().unwrap().to_owned(),
        word => word.to_owned(),
    });
    let mut command = program();
    command.args(words).arg("-S").arg(&socket);
    let _daemon = Daemon::start(command, &socket);
    let client = Client::greeted(&socket, 3);
    assert_eq!(client.size(), 64 << 10);
    assert!(status.exists());
}

#[test]
fn a_socket_that_is_handed_over_is_served_and_left_to_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, status, log) = (dir.path().join("s"), dir.path().join("status"), dir.path().join("log"));
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg("-l").arg(&socket).arg(program().get_program());
    activate
        .args(["-F", "-n", "2", "-S", "/nonexistent/socket", "--log"])
        .arg(&log)
        .arg("--status")
        .arg(&status);
    let version = Command::new("systemd-socket-activate").arg("--version").output();
    if version.is_err() {
        return skip(
            "a_socket_that_is_handed_over_is_served_and_left_to_its_owner",
            "no systemd-socket-activate here",
        );
    }
    // The first connection, which the harness makes, starts the server.
    let daemon = Daemon::start(activate, &socket);
    let mut first = Client::greeted(&socket, 2);
    let second = Client::greeted(&socket, 2);
    first.read_until(|first| first.peers.contains_key(&second.id));
    eventually("the status is there", || status.exists());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::os::unix::net::UnixStream::connect(&status).unwrap(), &mut text)
        .unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["server"]["socket"], socket.to_str().unwrap());
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0), "{}", fs::read_to_string(&log).unwrap());
    assert!(socket.exists(), "it is the manager's");
    assert!(!status.exists());
}

#[test]
fn sockets_that_cannot_be_served_are_refused_with_the_remedy() {
    // A shell passes its open descriptors 3 and above.
    for (redirections, count, remedy) in [
        ("3</dev/null", "1", "not a listening Unix stream socket"),
        ("3</dev/null 4</dev/null", "2", "socket unit"),
    ] {
        let script = format!("export LISTEN_PID=$$ LISTEN_FDS={count}; exec \"$0\" -F {redirections}");
        let output = Command::new("sh").arg("-c").arg(script).arg(program().get_program()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn the_manager_is_told_when_the_server_is_ready_and_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, manager) = (dir.path().join("s"), dir.path().join("notify"));
    let told = UnixDatagram::bind(&manager).unwrap();
    told.set_read_timeout(Some(HANG)).unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let length = told.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = program();
    command.arg("-F").arg("-S").arg(&socket).env("NOTIFY_SOCKET", &manager);
    let daemon = Daemon::start(command, &socket);
    assert_eq!(next().trim_end(), "READY=1");
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
    assert_eq!(next().trim_end(), "STOPPING=1");

    // A missing manager does not prevent serving.
    drop(told);
    let mut command = program();
    command.arg("-F").arg("-S").arg(&socket).env("NOTIFY_SOCKET", dir.path().join("nobody"));
    let daemon = Daemon::start(command, &socket);
    Client::greeted(&socket, 1);
    assert_eq!(daemon.stop(Signal::TERM).0, Some(0));
}
