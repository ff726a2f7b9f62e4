//! Runs Windows programs with a double of virtio-win's driver in Wine, through `scripts/wine`, for tests.
//!
//! ```no_run
//! use ivshmem_wintest::{Bench, Device};
//!
//! let bench = Bench::new("example").device(Device::socket("/tmp/server.sock").vectors(2));
//! println!("{}", bench.run("target/x86_64-pc-windows-gnu/debug/ivshmem.exe", &["list"]));
//! ```

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A separate Wine with a driver and its devices. It exists while its program runs.
#[derive(Debug)]
pub struct Bench {
    name: String,
    options: Vec<String>,
    devices: Vec<Device>,
}

/// A device of the double.
#[derive(Clone, Debug)]
pub struct Device(String);

/// The result of a bench's program.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output, followed by its standard error.
    pub said: String,
    /// The log of the double.
    pub log: String,
}

/// A bench whose program is running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

/// Whether this machine can run Windows programs. If not, reports that `test` is skipped, and the reason.
pub fn can_run(test: &str) -> bool {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let reason = REASON.get_or_init(|| {
        let output = script().arg("--install").output().expect("scripts/wine is there");
        (!output.status.success()).then(|| {
            let text = String::from_utf8_lossy(&output.stderr);
            text.lines().last().unwrap_or("scripts/wine --install failed").to_owned()
        })
    });
    if let Some(reason) = reason {
        ivshmem_conformance::skip(test, reason);
    }
    reason.is_none()
}

/// The contract tests as a Windows program of 64 or 32 bits, which is built when a bench starts.
pub fn contract_program(bits: u32) -> PathBuf {
    root().join(format!("target/wintest/contract{bits}.exe"))
}

impl Device {
    /// Memory from a file, whose size is a power of two. Devices with the same file are peers of each other.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(format!("file={}", path.as_ref().display()))
    }

    /// A client of the server at this socket.
    pub fn socket(path: impl AsRef<Path>) -> Self {
        Self(format!("socket={}", path.as_ref().display()))
    }

    /// Sets the number of vectors; default 1.
    #[must_use]
    pub fn vectors(self, count: u16) -> Self {
        Self(format!("{},vectors={count}", self.0))
    }

    /// Sets the id, which only a device with a server gets assigned.
    #[must_use]
    pub fn peer(self, id: u16) -> Self {
        Self(format!("{},peer={id}", self.0))
    }

    /// Makes the device answer every request with "not ready".
    #[must_use]
    pub fn not_ready(self) -> Self {
        Self(format!("{},not-ready", self.0))
    }
}

impl Bench {
    /// A driver like virtio-win's for 64-bit Windows. `name` is the directory of its log in target/wintest/.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), options: Vec::new(), devices: Vec::new() }
    }

    /// Uses a driver of 32-bit Windows.
    #[must_use]
    pub fn bits_32(mut self) -> Self {
        self.options.extend(["--bits".to_owned(), "32".to_owned()]);
        self
    }

    /// Uses a driver like those builds that allow one mapping per handle.
    #[must_use]
    pub fn mapping_per_handle(mut self) -> Self {
        self.options.push("--mapping-per-handle".to_owned());
        self
    }

    /// Adds a device.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.devices.push(device);
        self
    }

    /// Runs a program to its end: a Windows program if its name ends in .exe, else a program of this system, which can run
    /// others with `$WINE`.
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Ended {
        self.start(program, arguments).wait()
    }

    /// Starts a program in the same way. Dropping the result ends the program.
    ///
    /// # Panics
    /// When the bench's script cannot be started.
    pub fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Running {
        let folder = contract_program(64).with_file_name(&self.name);
        let log = folder.join("double.log");
        let _ = fs::remove_file(&log);
        let mut command = script();
        command.args(&self.options).arg("--keep").arg(&folder);
        command
            .args(self.devices.iter().map(|device| &device.0))
            .arg("--")
            .arg(program.as_ref())
            .args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: command.spawn().expect("scripts/wine is there"), log }
    }
}

impl Running {
    /// Writes an empty line to its standard input.
    ///
    /// # Panics
    /// When the program has ended.
    pub fn tell(&mut self) {
        self.child.stdin.as_mut().expect("piped").write_all(b"\n").expect("it reads");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When its output cannot be read.
    pub fn wait(mut self) -> Ended {
        drop(self.child.stdin.take());
        let mut errors = self.child.stderr.take().expect("piped");
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            errors.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut said = Vec::new();
        self.child.stdout.take().expect("piped").read_to_end(&mut said).expect("its output");
        said.extend(reader.join().expect("no panic").expect("its errors"));
        let status = self.child.wait().expect("its end");
        Ended {
            code: status.code(),
            said: String::from_utf8_lossy(&said).replace('\r', ""),
            log: fs::read_to_string(&self.log).unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Terminated, not killed, because the script has to shut down a Wine.
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}

impl Ended {
    /// Returns the output of a program that succeeded and printed something: a 32-bit program without its DLLs exits
    /// successfully without output.
    ///
    /// # Panics
    /// When the program failed or printed nothing.
    #[track_caller]
    pub fn said(self) -> String {
        assert!(self.code == Some(0) && !self.said.trim().is_empty(), "{self}");
        self.said
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ended with {:?} and said:\n{}", self.code, self.said)?;
        write!(f, "the double's log:\n{}", self.log)
    }
}

fn script() -> Command {
    Command::new(root().join("scripts/wine"))
}

fn root() -> PathBuf {
    ivshmem_conformance::checkout::root()
}
