//! A running guest.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::assemble::line_options;
use crate::builder::GuestBuilder;
use crate::error::Console;
use crate::link::Link;
use crate::program::{Output, Process, Program};
use crate::{Error, qemu};

/// A running guest. Dropping it kills the guest and removes its files; the file with its console output stays after a
/// failure.
#[derive(Debug)]
pub struct Guest {
    inner: Arc<Inner>,
    folder: Folder,
    limit: Duration,
}

#[derive(Debug)]
pub(crate) struct Inner {
    name: String,
    pub(crate) link: Link,
    qemu: Mutex<Child>,
    pid: u32,
    console: PathBuf,
    failed: AtomicBool,
}

impl Guest {
    /// Describes a guest. `name` appears in errors and in the name of the file with its console output.
    pub fn builder(name: &str) -> GuestBuilder {
        GuestBuilder::new(name)
    }

    /// Runs a program and returns its standard output.
    ///
    /// # Errors
    /// `Program`, with all of its output, when it does not end with status 0; `Guest` when the guest is gone.
    pub fn run(&self, program: Program) -> Result<String, Error> {
        self.spawn(program)?.succeed()
    }

    /// Runs a shell script and returns its standard output.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn sh(&self, script: &str) -> Result<String, Error> {
        self.run(Program::shell(script))
    }

    /// Runs a program that may end in any way.
    ///
    /// # Errors
    /// `Guest` when the guest is gone or the program takes too long.
    pub fn output(&self, program: Program) -> Result<Output, Error> {
        self.spawn(program)?.wait()
    }

    /// Starts a program.
    ///
    /// # Errors
    /// `Guest` when the guest is gone.
    pub fn spawn(&self, program: Program) -> Result<Process, Error> {
        Process::start(Arc::clone(&self.inner), program)
    }

    /// Writes a file in the guest.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn write_file(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let process = self.spawn(Program::shell("cat >\"$0\"").arg(path))?;
        process.write(bytes)?;
        process.end_input()?;
        process.succeed().map(drop)
    }

    /// Resets the machine from inside without a shutdown, and returns when it is up again. QEMU keeps running, so a server
    /// does not see the guest disconnect.
    ///
    /// # Errors
    /// `Guest` when the guest does not come up again.
    pub fn reboot(&self) -> Result<(), Error> {
        self.inner.link.expect_boot();
        let script = Program::shell("echo b >/proc/sysrq-trigger");
        let _process = self.spawn(script)?;
        self.until_ready()
    }

    /// Powers off the machine, and returns when QEMU has ended.
    ///
    /// # Errors
    /// `Guest` when it does not end.
    pub fn power_off(self) -> Result<(), Error> {
        let _process = self.spawn(Program::new("/bin/poweroff").arg("-f"))?;
        match ended_by(&mut self.inner.qemu(), Instant::now() + self.limit) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.inner.error(format!("QEMU ended with {status}"))),
            None => Err(self.inner.error("it does not power off".to_owned())),
        }
    }

    /// Kills QEMU with SIGKILL, like a power failure of the host.
    pub fn kill(self) {}

    /// QEMU's process id, for signals.
    pub fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// The file with the console output.
    pub fn console(&self) -> &Path {
        &self.inner.console
    }

    pub(crate) fn start(
        name: String,
        folder: Folder,
        options: &[String],
        limit: Duration,
    ) -> Result<Self, Error> {
        let socket = folder.path().join("agent");
        let listener = UnixListener::bind(&socket).map_err(Error::host(socket.display().to_string()))?;
        let console = folder.console.clone();
        let log = std::fs::File::create(&console).map_err(Error::host(console.display().to_string()))?;
        let mut command = qemu::command(options);
        command.args(line_options(&socket)).args(["-serial", "stdio"]);
        // QEMU's own messages belong to the console output.
        let also = log.try_clone().map_err(Error::host("the console"))?;
        command.stdout(log).stderr(Stdio::from(also));
        let mut qemu = qemu::spawn(command).map_err(Error::host("qemu"))?;
        let stream = match accept(&listener, &mut qemu, Instant::now() + limit) {
            Ok(stream) => stream,
            Err(what) => {
                qemu::kill(&mut qemu);
                return Err(Error::Guest { name, what, console: Console::read(&console) });
            }
        };
        let pid = qemu.id();
        let (qemu, failed) = (Mutex::new(qemu), AtomicBool::new(false));
        let link = Link::new(stream).map_err(Error::host("the line to the agent"))?;
        let inner = Arc::new(Inner { name, link, qemu, pid, console, failed });
        let guest = Self { inner, folder, limit };
        guest.until_ready()?;
        // QEMU has read its files, so remove them now: then nothing is left behind, whatever happens later.
        guest.folder.empty();
        Ok(guest)
    }

    fn until_ready(&self) -> Result<(), Error> {
        self.inner.link.until_ready(Instant::now() + self.limit).map_err(|what| self.inner.error(what))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        qemu::kill(&mut self.inner.qemu());
        if !self.inner.failed.load(Ordering::Relaxed) && !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.inner.console);
        } else {
            eprintln!("guest {}: its console is kept in {}", self.inner.name, self.inner.console.display());
        }
    }
}

impl Inner {
    fn qemu(&self) -> std::sync::MutexGuard<'_, Child> {
        self.qemu.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn error(&self, what: String) -> Error {
        self.failed.store(true, Ordering::Relaxed);
        // The connection ends slightly before QEMU does.
        let what = match ended_by(&mut self.qemu(), Instant::now() + Duration::from_secs(1)) {
            Some(status) => format!("{what} (QEMU ended with {status})"),
            None => what,
        };
        Error::Guest { name: self.name.clone(), what, console: Console::read(&self.console) }
    }

    pub(crate) fn program_error(&self, what: String, out: String, err: String) -> Error {
        self.failed.store(true, Ordering::Relaxed);
        Error::Program { name: self.name.clone(), what, out, err, console: Console::read(&self.console) }
    }
}

/// The exit status of a child, if it ends before the deadline.
fn ended_by(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            ended => return ended.ok().flatten(),
        }
    }
}

/// Accepts QEMU's connection, unless QEMU ends first.
#[expect(
    clippy::disallowed_methods,
    reason = "the QEMU that this harness starts sends nothing that could wait"
)]
fn accept(listener: &UnixListener, qemu: &mut Child, deadline: Instant) -> Result<UnixStream, String> {
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(|e| e.to_string())?;
                return Ok(stream);
            }
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e.to_string()),
            Err(_) => {}
        }
        if let Ok(Some(status)) = qemu.try_wait() {
            return Err(format!("QEMU ended with {status}"));
        }
        if Instant::now() > deadline {
            return Err("QEMU does not start".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The directory of a guest's files while QEMU reads them, and the path of its console output.
#[derive(Debug)]
pub(crate) struct Folder {
    temporary: tempfile::TempDir,
    console: PathBuf,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut builder = tempfile::Builder::new();
        let temporary =
            builder.prefix("ivshmem-vmtest.").tempdir().map_err(Error::host("a folder for a guest"))?;
        let consoles = consoles();
        std::fs::create_dir_all(&consoles).map_err(Error::host(consoles.display().to_string()))?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let console = consoles.join(format!("{name}-{}-{count}.console", std::process::id()));
        Ok(Self { temporary, console })
    }

    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    fn empty(&self) {
        for file in ["initrd", "agent"] {
            let _ = std::fs::remove_file(self.path().join(file));
        }
        let _ = std::fs::remove_dir(self.path());
    }
}

/// The directory for console output: in cargo's target directory if this program is there, else in the directory for
/// temporary files.
fn consoles() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let profile = own.ancestors().find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
    let target = profile.and_then(Path::parent);
    target.map_or_else(std::env::temp_dir, Path::to_owned).join("vmtest")
}
