//! A separate Wine with the driver double.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ivshmem::device::Device;
use ivshmem_conformance::checkout;
use ivshmem_server::Server;
use tempfile::TempDir;

use crate::program::Program;

/// The two kinds of Windows programs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bits {
    B32,
    B64,
}

pub(crate) const BOTH: [Bits; 2] = [Bits::B64, Bits::B32];

/// A running Wine, which ends on drop.
pub(crate) struct Bench {
    keeper: Program,
    environment: Vec<(String, String)>,
}

impl Bench {
    /// Starts a Wine with these devices, in the syntax of `scripts/wine`.
    pub(crate) fn start(words: &[&str]) -> Self {
        const NAMES: [&str; 5] = ["WINE", "WINEPREFIX", "WINEDLLPATH", "WINEDEBUG", "WINEDLLOVERRIDES"];
        let script = NAMES.map(|name| format!("echo \"${name}\";")).concat() + "exec cat";
        let mut command = Command::new(root().join("scripts/wine"));
        let keeper = Program::start(command.args(words).args(["--", "sh", "-c", &script]));
        let value = |name: &str| {
            (name.to_owned(), keeper.line().unwrap_or_else(|| panic!("scripts/wine {words:?} failed")))
        };
        let environment = NAMES.map(value).to_vec();
        Self { keeper, environment }
    }

    /// The command that runs programs in this Wine.
    pub(crate) fn wine(&self) -> Command {
        let mut command = Command::new(&self.environment[0].1);
        command.envs(self.environment.iter().cloned()).env_remove("DISPLAY");
        command
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.environment[1].1
    }

    /// Starts the program for the guest's side with a target.
    pub(crate) fn guest(&self, bits: Bits, target: &str, words: &[&str]) -> Program {
        let mut command = self.wine();
        Program::start(command.arg(built(bits, "wintest-guest.exe")).arg(target).args(words))
    }

    /// Runs the same program to its end, and requires success and some output: a program that Wine cannot run exits
    /// successfully without output.
    pub(crate) fn run(&self, bits: Bits, target: &str, words: &[&str]) -> String {
        let mut command = self.wine();
        good(command.arg(built(bits, "wintest-guest.exe")).arg(target).args(words))
    }

    /// The command `ivshmem`.
    pub(crate) fn ivshmem(&self, bits: Bits, words: &[&str]) -> Command {
        let mut command = self.wine();
        command.arg(built(bits, "ivshmem.exe")).args(words);
        command
    }

    /// The double's report of its state, one line for each device. While a program's mapping is being removed, Wine may
    /// refuse to open the control device, and `cmd` prints its own error for that.
    pub(crate) fn double(&self) -> String {
        let mut command = self.wine();
        command.args(["cmd", "/c", "type", r"\\.\IvshmemDouble"]);
        for _ in 1..3 {
            let output = command.output().unwrap();
            if output.status.success() && !output.stdout.is_empty() {
                return text(&output.stdout);
            }
            println!("Wine failed to show the double, and is asked again: {output:?}");
        }
        good(&mut command)
    }

    /// Waits until a device has no open handle: Wine completes a close some time after CloseHandle.
    pub(crate) fn until_closed(&self, device: usize) {
        let limit = Instant::now() + Duration::from_secs(60);
        let begin = format!("device={device} ");
        loop {
            let told = self.double();
            let line = told.lines().find(|line| line.starts_with(&begin)).unwrap();
            if line.contains("handles=0") {
                return;
            }
            assert!(Instant::now() < limit, "{line}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // scripts/wine ends with its command and removes what it created.
        self.keeper.end();
    }
}

/// A server on this host, and the directory of its socket.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    server: Option<Server>,
}

impl Place {
    pub(crate) fn new(size: u64, vectors: u16) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let server = Server::builder(folder.path().join("server")).size(size).vectors(vectors.into());
        Self { server: Some(server.start().unwrap()), folder }
    }

    /// The argument with which `scripts/wine` creates a device of this server.
    pub(crate) fn device(&self, vectors: u16) -> String {
        format!("socket={},vectors={vectors}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    /// A peer on this host.
    pub(crate) fn host(&self, vectors: u16) -> Device {
        ivshmem::doorbell(self.socket()).vectors(vectors).connect().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().unwrap();
        }
    }
}

/// Creates a file of `size` bytes, for a device without a server.
pub(crate) fn file(folder: &Path, name: &str, size: u64) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

/// Runs a program to its end. On a busy machine Wine itself sometimes fails: it does not start a program, with or without
/// an error, or refuses to open a device with error 998, which the driver does not return. Only then the run is repeated.
/// Output or an error of one of the project's programs is never discarded: they always print a reason.
pub(crate) fn ended(command: &mut Command) -> Output {
    for _ in 1..3 {
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        let by_wine =
            said.is_empty() || said.contains("ShellExecuteEx failed") || said.contains("os error 998");
        if output.status.success() || !output.stdout.is_empty() || !by_wine {
            return output;
        }
        println!("Wine failed, and is asked again: {command:?}: {} {said}", output.status);
    }
    command.output().unwrap()
}

/// The output of a command that must succeed and print something.
pub(crate) fn good(command: &mut Command) -> String {
    let output = ended(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert!(!output.stdout.is_empty(), "{command:?} said nothing");
    text(&output.stdout)
}

/// The exit status and the error output of a command that must fail.
pub(crate) fn bad(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = ended(command);
    assert!(!status.success(), "{command:?} succeeded");
    (status.code().unwrap(), text(&stderr).trim_end().to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// The path of a program that wintest/build-guest has built.
pub(crate) fn built(bits: Bits, name: &str) -> PathBuf {
    let target = match bits {
        Bits::B64 => "x86_64-pc-windows-gnu",
        Bits::B32 => "i686-pc-windows-gnu",
    };
    let path = root().join("target/cross").join(target).join("release").join(name);
    assert!(path.exists(), "{} is missing: run wintest/build-guest", path.display());
    path
}

fn root() -> PathBuf {
    checkout::root()
}
