//! The product's daemon in a separate process, so that it can be killed, limited and run as another user.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use ivshmem_conformance::{checkout, program};
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
    /// The launch of a server in the foreground, with its socket and log in `dir`.
    pub(crate) fn launch(dir: &Path, args: &[&str]) -> Launch {
        Self::launch_program(Path::new(checkout::built("ivshmem-server")), dir, args)
    }

    /// The same as another user. The program is copied to `dir`, because that user may have no access to the build
    /// directory.
    pub(crate) fn launch_as(user: Nobody, dir: &Path, args: &[&str]) -> Launch {
        let program = dir.join("ivshmem-server");
        program::copy(checkout::built("ivshmem-server"), &program);
        Self::launch_program(&program, dir, args).run_as(user)
    }

    /// Starts with `args` and waits until it listens.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::listening(Self::launch(dir, args), dir)
    }

    /// Starts `launch` and waits until it listens.
    pub(crate) fn listening(launch: Launch, dir: &Path) -> Self {
        let mut daemon = Self { process: launch.start(), socket: socket_in(dir) };
        eventually("the server listens", || {
            daemon.process.assert_alive();
            // Not by a connection, which would use up an id.
            daemon.process.log().contains("INFO listening socket=")
        });
        daemon
    }

    /// Ends it with SIGTERM.
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

/// A directory that every user may write to, for tests with other users.
pub(crate) fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    dir
}

/// The path of `Daemon`'s socket.
pub(crate) fn socket_in(dir: &Path) -> PathBuf {
    dir.join("server.sock")
}
