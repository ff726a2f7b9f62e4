use std::path::{Path, PathBuf};

use clap::Parser;
use ivshmem_server::Builder;
use ivshmem_server::program::{ServerOptions, socket_path};

/// The version, followed by the commit of the build if it is known.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("IVSHMEM_COMMIT"));

const AFTER_HELP: &str = "\
Examples:
  ivshmem-server -F -S /run/ivshmem.sock -l 64M -n 4
      In the foreground; virtual machines have up to 64 MiB and 4 vectors each
  ivshmem-server -S /run/ivshmem.sock -p /run/ivshmem.pid --mode 660 --owner :kvm
      In the background, for the group kvm
  ivshmem-server -F -S /run/ivshmem.sock --status /run/ivshmem-status.sock
      `ivshmem status /run/ivshmem-status.sock` shows how it is doing

Exit status:
  0  stopped by a signal, or running in the background
  1  failure
  2  wrong arguments
  3  another server uses the socket, the memory or the pid file";

/// Shares memory and interrupts between virtual machines and programs on the host
///
/// Virtual machines connect with QEMU's -chardev socket,path=SOCKET,id=ivshmem
/// -device ivshmem-doorbell,chardev=ivshmem,vectors=N. Options are those of QEMU's own server, and some more.
#[derive(Debug, Parser)]
#[command(
    version = VERSION,
    disable_version_flag = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Args {
    /// Log details, as --log-level debug
    #[arg(short, long)]
    verbose: bool,

    /// Stay in the foreground and log to standard error
    #[arg(short = 'F', long)]
    pub(crate) foreground: bool,

    /// Write the process id to this file; in the background without it: /var/run/ivshmem-server.pid
    #[arg(short, long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Listen on this socket
    #[arg(short = 'S', long, value_name = "PATH", default_value = "/tmp/ivshmem_socket", value_parser = socket_path)]
    socket: PathBuf,

    #[command(flatten)]
    pub(crate) server: ServerOptions,

    /// Append the log to this file: a regular file of this user or root, or a device like /dev/null
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// The least important lines in the log
    #[arg(long, value_name = "LEVEL", default_value = "info", value_enum)]
    log_level: LogLevel,

    /// Print version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: (),

    /// Write the man page into this directory, for `make install`
    #[arg(long, hide = true, exclusive = true, value_name = "DIR")]
    pub(crate) manual: Option<PathBuf>,

    /// Set by the program itself when it starts itself in the background
    #[arg(long, hide = true)]
    pub(crate) is_daemon: bool,
}

/// What goes into the log: this and all that is worse.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum LogLevel {
    /// What ends the server or a connection wrongly
    Error,
    /// Refusals, clients that have stopped reading, what the system refuses
    Warn,
    /// Clients that come and go
    Info,
    /// Each step
    Debug,
}

pub(crate) const EXIT_FAILURE: u8 = 1;
pub(crate) const EXIT_WRONG_ARGUMENTS: u8 = 2;
pub(crate) const EXIT_IN_USE: u8 = 3;

impl Args {
    pub(crate) fn builder(&self) -> Builder {
        self.server.builder(&self.socket)
    }

    pub(crate) fn log_level(&self) -> LogLevel {
        if self.verbose { LogLevel::Debug } else { self.log_level }
    }

    pub(crate) fn pid_file(&self) -> Option<&Path> {
        let default = self.is_daemon.then_some(Path::new("/var/run/ivshmem-server.pid"));
        self.pid_file.as_deref().or(default)
    }
}
