//! A real QEMU that does not run its guest: device, main loop and monitor work, and a server sees nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Census, eventfds_in};
use crate::descriptors::eventfds;
use crate::process::{HANG_LIMIT, Launch, Nobody, Process, eventually};

pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// A QEMU process and its monitor.
#[derive(Debug)]
pub(crate) struct Qemu {
    pub(crate) process: Process,
    monitor: Option<BufReader<UnixStream>>,
    monitor_path: PathBuf,
    /// Eventfds that QEMU created itself, which no server sent.
    internal: BTreeSet<u64>,
}

impl Qemu {
    /// The launch of a QEMU whose device is connected to `server`; its files in `dir` are distinguished by `name`.
    pub(crate) fn launch(dir: &Path, name: &str, server: &Path, vectors: u16) -> Launch {
        let device = format!("ivshmem-doorbell,vectors={vectors},chardev=server,id=shm");
        let chardev = format!("socket,path={},id=server", server.display());
        Self::bare(dir, name, &["-chardev", &chardev, "-device", &device])
    }

    /// The launch of a QEMU without the device.
    pub(crate) fn bare(dir: &Path, name: &str, more: &[&str]) -> Launch {
        let monitor = format!("unix:{},server=on,wait=off", monitor_path(dir, name).display());
        let mut args = vec!["-S", "-nodefaults", "-no-user-config", "-display", "none", "-M", "pc"];
        args.extend(["-accel", "tcg", "-m", "16", "-qmp", &monitor]);
        args.extend(more);
        Launch::new(Path::new(QEMU), args, dir.join(format!("{name}.log")))
    }

    /// Starts a launch of `launch` or `bare` and waits for the monitor.
    pub(crate) fn start(launch: Launch, dir: &Path, name: &str) -> Self {
        let mut qemu = Self::start_at_risk(launch, dir, name);
        qemu.assert_alive();
        qemu
    }

    /// Starts a launch of `launch` or `bare`, which may end at once.
    pub(crate) fn start_at_risk(launch: Launch, dir: &Path, name: &str) -> Self {
        Self {
            process: launch.start(),
            monitor: None,
            monitor_path: monitor_path(dir, name),
            internal: BTreeSet::new(),
        }
    }

    /// Starts a QEMU as this user and waits for the monitor.
    pub(crate) fn connect(dir: &Path, name: &str, server: &Path, vectors: u16) -> Self {
        Self::start(Self::launch(dir, name, server, vectors), dir, name)
    }

    /// Starts a QEMU as another user and waits for the monitor. `dir` must be writable for that user.
    pub(crate) fn connect_as(user: Nobody, dir: &Path, name: &str, server: &Path, vectors: u16) -> Self {
        Self::start(Self::launch(dir, name, server, vectors).run_as(user), dir, name)
    }

    /// Checks that QEMU runs and its main loop answers.
    pub(crate) fn assert_alive(&mut self) {
        let status = self.execute(&json!({"execute": "query-status"}));
        assert_eq!(status["return"]["status"], "prelaunch", "{status}");
    }

    /// Executes one command of QMP and returns its answer; events are skipped.
    pub(crate) fn execute(&mut self, command: &Value) -> Value {
        self.execute_unless_ended(command).unwrap_or_else(|status| {
            panic!("no answer to {command} but {status}; QEMU printed:\n{}", self.process.log())
        })
    }

    /// Like `execute`; returns the exit status if QEMU ended instead of answering. A QEMU that does neither fails the test.
    pub(crate) fn execute_unless_ended(&mut self, command: &Value) -> Result<Value, ExitStatus> {
        let mut monitor = match self.monitor.take() {
            Some(monitor) => monitor,
            None => self.open_monitor()?,
        };
        self.say(&mut monitor, command)?;
        loop {
            let line = self.hear(&mut monitor)?;
            if line.get("event").is_none() {
                self.monitor = Some(monitor);
                return Ok(line);
            }
        }
    }

    /// Connects it to the server at run time. Only `plug` reads.
    pub(crate) fn add_chardev(&mut self, server: &Path) {
        let address = json!({"type": "unix", "data": {"path": server}});
        let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
        let chardev = json!({"id": "server", "backend": backend});
        let added = self.execute(&json!({"execute": "chardev-add", "arguments": chardev}));
        assert!(added.get("return").is_some(), "{added}");
    }

    /// Plugs in the device at run time. The answer has `return` on success and `error` on failure.
    pub(crate) fn plug(&mut self, vectors: u16) -> Value {
        let device =
            json!({"driver": "ivshmem-doorbell", "id": "shm", "chardev": "server", "vectors": vectors});
        self.execute(&json!({"execute": "device_add", "arguments": device}))
    }

    /// Waits until it holds each eventfd of `census`. Any further ones are its own, and no more may be added.
    pub(crate) fn note_internal(&mut self, census: &Census) {
        eventually("QEMU holds each eventfd of its own and of the others", || {
            self.process.assert_alive();
            eventfds_in(census).is_subset(&eventfds(self.process.id()))
        });
        self.internal = &eventfds(self.process.id()) - &eventfds_in(census);
    }

    /// Whether it holds each eventfd of `census` and no other except its own.
    pub(crate) fn holds_exactly(&self, census: &Census) -> bool {
        let held = &eventfds(self.process.id()) - &self.internal;
        held == eventfds_in(census)
    }

    /// Waits until it holds each eventfd of `census` and no other except its own.
    pub(crate) fn await_exactly(&mut self, census: &Census) {
        eventually("QEMU holds exactly the eventfds of the living", || {
            self.process.assert_alive();
            self.holds_exactly(census)
        });
    }

    /// Bytes of the region as QEMU itself sees them, through its mapping of `memory`.
    pub(crate) fn read_region(&self, memory: &File, offset: u64, length: usize) -> Vec<u8> {
        let pid = self.process.id();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let inode = memory.metadata().unwrap().ino().to_string();
        let range = maps.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields[4] == inode).then(|| fields[0].split_once('-')).flatten()
        });
        let (start, end) = range.unwrap_or_else(|| panic!("QEMU does not map inode {inode}:\n{maps}"));
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        assert_eq!(end - start, memory.metadata().unwrap().len(), "QEMU maps all of it and no more");
        let mut bytes = vec![0; length];
        File::open(format!("/proc/{pid}/mem")).unwrap().read_exact_at(&mut bytes, start + offset).unwrap();
        bytes
    }

    pub(crate) fn stop(&self) {
        self.process.stop();
    }

    pub(crate) fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    fn open_monitor(&mut self) -> Result<BufReader<UnixStream>, ExitStatus> {
        let mut stream = None;
        eventually("QEMU opens its monitor or ends", || {
            stream = UnixStream::connect(&self.monitor_path).ok();
            stream.is_some() || self.process.ended().is_some()
        });
        let Some(stream) = stream else { return Err(self.process.end()) };
        stream.set_read_timeout(Some(HANG_LIMIT)).unwrap();
        let mut monitor = BufReader::new(stream);
        self.hear(&mut monitor)?;
        self.say(&mut monitor, &json!({"execute": "qmp_capabilities"}))?;
        self.hear(&mut monitor)?;
        Ok(monitor)
    }

    fn say(&mut self, monitor: &mut BufReader<UnixStream>, command: &Value) -> Result<(), ExitStatus> {
        // A closed monitor means that the process has ended.
        writeln!(monitor.get_mut(), "{command}").map_err(|_| self.process.end())
    }

    fn hear(&mut self, monitor: &mut BufReader<UnixStream>) -> Result<Value, ExitStatus> {
        let mut line = String::new();
        match monitor.read_line(&mut line) {
            Ok(n) if n > 0 => Ok(serde_json::from_str(&line).unwrap()),
            Ok(_) => Err(self.process.end()),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Err(self.process.end()),
            Err(e) => panic!("QEMU's monitor is stuck: {e}; it printed:\n{}", self.process.log()),
        }
    }
}

fn monitor_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.qmp"))
}
