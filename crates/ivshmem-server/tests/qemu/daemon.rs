//! The product's daemon as a process of its own, so that it can be killed, limited and run as another user.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Launch, Nobody, Process, eventually};

/// A running server.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    /// How to start one in the foreground whose socket and log lie in `dir`.
    pub(crate) fn launch(dir: &Path, args: &[&str]) -> Launch {
        Self::launch_program(Path::new(env!("CARGO_BIN_EXE_ivshmem-server")), dir, args)
    }

    /// As another user. The program is copied to `dir`: that user may have no way to the place where it was built.
    pub(crate) fn launch_as(user: Nobody, dir: &Path, args: &[&str]) -> Launch {
        let program = dir.join("ivshmem-server");
        std::fs::copy(env!("CARGO_BIN_EXE_ivshmem-server"), &program).unwrap();
        Self::launch_program(&program, dir, args).run_as(user)
    }

    /// Starts with `args` and waits until it listens.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::listening(Self::launch(dir, args), dir)
    }

    /// Starts what `launch` described and waits until it listens.
    pub(crate) fn listening(launch: Launch, dir: &Path) -> Self {
        let mut daemon = Self { process: launch.start(), socket: socket_in(dir) };
        eventually("the server listens", || {
            daemon.process.assert_alive();
            is_listening(daemon.process.id(), &daemon.socket)
        });
        daemon
    }

    /// Ends it as an operator does.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.end()
    }

    fn launch_program(program: &Path, dir: &Path, args: &[&str]) -> Launch {
        let socket = socket_in(dir);
        let all = ["-F", "-v", "-S", socket.to_str().expect("a plain path")]
            .into_iter()
            .chain(args.iter().copied());
        Launch::new(program, all, dir.join("server.log"))
    }
}

/// A directory that every user may write to, as the tests with other users need it.
pub(crate) fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    dir
}

/// Where `Daemon` puts its socket.
pub(crate) fn socket_in(dir: &Path) -> PathBuf {
    dir.join("server.sock")
}

/// Whether this process listens there; asked of the kernel, since a connection would use up an id. The kernel knows the
/// socket by the name that it was bound with, whose last part is the same, and it is listening before it has its own.
fn is_listening(process: u32, socket: &Path) -> bool {
    const SO_ACCEPTCON: &str = "00010000";
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let links: Vec<_> =
        descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    let listens = std::fs::read_to_string("/proc/net/unix").unwrap().lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, _, _, flags, _, _, inode, path] = fields[..] else { return false };
        flags == SO_ACCEPTCON
            && Path::new(path).file_name() == socket.file_name()
            && links.contains(&PathBuf::from(format!("socket:[{inode}]")))
    });
    let mut names = socket.parent().unwrap().read_dir().unwrap().flatten().map(|entry| entry.file_name());
    listens && socket.exists() && !names.any(|name| name.as_encoded_bytes().starts_with(b".ivshmem-"))
}
