//! QEMU as a child process: it never outlives this process, and KVM is used only where it boots a guest.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::initramfs::Initramfs;
use crate::{Error, Packages};

const QEMU: &str = "qemu-system-x86_64";

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU's translator, which works everywhere.
    Tcg,
}

impl Accelerator {
    /// Returns what works on this machine. An existing device node proves nothing, so a guest is booted as a test; the
    /// result is cached until this machine's next boot.
    ///
    /// # Errors
    /// `Missing` when QEMU is not installed.
    pub fn choose(packages: &Packages) -> Result<Self, Error> {
        static CHOICE: Mutex<Option<Accelerator>> = Mutex::new(None);
        let mut choice = CHOICE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(choice) = *choice {
            return Ok(choice);
        }
        require_qemu()?;
        let found = if File::options().read(true).write(true).open("/dev/kvm").is_ok() {
            Self::by_trying(packages)?
        } else {
            Self::Tcg
        };
        *choice = Some(found);
        Ok(found)
    }

    fn by_trying(packages: &Packages) -> Result<Self, Error> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let verdict = packages.verdict("accelerator");
        let known = std::fs::read_to_string(&verdict).ok().and_then(|note| Self::recall(&note, boot.trim()));
        if let Some(known) = known {
            return Ok(known);
        }
        let found = if kvm_boots(packages)? { Self::Kvm } else { Self::Tcg };
        // If this fails, the next process repeats the test.
        let _ = std::fs::write(&verdict, format!("{} {found:?}\n", boot.trim()));
        Ok(found)
    }

    fn recall(note: &str, boot: &str) -> Option<Self> {
        match note.trim().split_once(' ')? {
            (then, "Kvm") if then == boot => Some(Self::Kvm),
            (then, "Tcg") if then == boot => Some(Self::Tcg),
            _ => None,
        }
    }

    /// Options of QEMU.
    pub(crate) fn options(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "qemu64"],
        }
    }
}

/// A QEMU that has only the devices and settings in `options`.
pub(crate) fn command(options: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
    // The kernel kills it when the thread that created it ends, for any reason.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", QEMU, "-nodefaults", "-no-user-config", "-display", "none"]);
    command.args(options).stdin(Stdio::null());
    command
}

/// Starts a command from a thread that lives as long as this process: the calling thread may end before the child should.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                // The caller waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    let sent = spawner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send((command, answer));
    sent.map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

fn require_qemu() -> Result<(), Error> {
    for program in [QEMU, "setpriv"] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err(Error::Missing {
                what: format!("no {program} here"),
                remedy: "run scripts/install test",
            });
        }
    }
    Ok(())
}

/// Longer than any boot with KVM takes, and short enough to wait for once.
const PROBE: Duration = Duration::from_secs(10);

fn kvm_boots(packages: &Packages) -> Result<bool, Error> {
    let folder = tempfile::tempdir().map_err(Error::host("a folder for probing KVM"))?;
    let initrd = folder.path().join("initrd");
    let mut files = Initramfs::default();
    files.host_file("bin/busybox", &packages.busybox())?;
    files.file("init", b"#!/bin/busybox sh\n/bin/busybox poweroff -f\n".to_vec(), 0o755);
    let written = File::create(&initrd).and_then(|file| files.write(file));
    written.map_err(Error::host(initrd.display().to_string()))?;
    let mut probe = command(Accelerator::Kvm.options());
    probe.args(["-M", "q35", "-m", "128", "-kernel"]).arg(packages.kernel()).arg("-initrd").arg(&initrd);
    let log = File::create(folder.path().join("log")).map_err(Error::host("a log for probing KVM"))?;
    probe.stdout(Stdio::null()).stderr(log);
    let mut child = spawn(probe).map_err(Error::host(QEMU))?;
    Ok(ends_well(&mut child, Instant::now() + PROBE))
}

/// Whether a child exits successfully before the deadline. The child has ended in any case afterwards.
fn ends_well(child: &mut Child, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(_) => break,
        }
    }
    kill(child);
    false
}

/// Kills a child, if it has not ended.
pub(crate) fn kill(child: &mut Child) {
    // This is an error for a child that has ended, which needs nothing.
    let _ = child.kill();
    let _ = child.wait();
}

/// Options that load the kernel.
pub(crate) fn boot_options(kernel: &Path, initrd: &Path, arguments: &str) -> Vec<String> {
    ["-kernel", &kernel.display().to_string(), "-initrd", &initrd.display().to_string(), "-append", arguments]
        .map(String::from)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_until_the_next_boot() {
        assert_eq!(Accelerator::recall("this Tcg\n", "this"), Some(Accelerator::Tcg));
        assert_eq!(Accelerator::recall("this Kvm\n", "this"), Some(Accelerator::Kvm));
        assert_eq!(Accelerator::recall("this Kvm\n", "next"), None);
        assert_eq!(Accelerator::recall("", "this"), None);
    }

    #[test]
    fn a_child_lives_on_when_the_thread_that_asked_for_it_ends() {
        let asked = thread::spawn(|| {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--", "sleep", "60"]);
            spawn(command).unwrap()
        });
        let mut child = asked.join().unwrap();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(child.try_wait().unwrap(), None);
        kill(&mut child);
    }
}
