use std::path::{Path, PathBuf};

use clap::Parser;
use ivshmem_server::{Backing, Builder, Server, parse_size};

use crate::names;

/// Shares memory and interrupts between virtual machines and programs on the host
///
/// Virtual machines connect with QEMU's -chardev socket,path=SOCKET,id=ivshmem
/// -device ivshmem-doorbell,chardev=ivshmem,vectors=N. Options are those of QEMU's own server, and some more.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    after_help = "Exit status: 0 stopped by SIGTERM, SIGINT or SIGHUP, or running in the background; 1 failure; \
                  2 wrong arguments; 3 another server uses the socket, the memory or the pid file."
)]
pub(crate) struct Args {
    /// Log what goes on in detail, as --log-level debug
    #[arg(short, long)]
    verbose: bool,

    /// Stay in the foreground and log to standard error
    #[arg(short = 'F', long)]
    pub(crate) foreground: bool,

    /// Write the process id to this file; in the background without it: /var/run/ivshmem-server.pid
    #[arg(short, long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Listen on this socket
    #[arg(short = 'S', long, value_name = "PATH", default_value = "/tmp/ivshmem_socket")]
    socket: PathBuf,

    /// Take the memory from a file in this directory: a tmpfs or hugetlbfs
    #[arg(short = 'm', long, value_name = "DIR")]
    memory_dir: Option<PathBuf>,

    /// Share the named object, in /dev/shm unless -m says otherwise; created if missing, and then removed at the end
    #[arg(short = 'M', long, value_name = "NAME", value_parser = object_name)]
    memory_name: Option<String>,

    /// Size of the memory, 4K to 1T, rounded up to a power of two; suffixes K, M, G, T
    #[arg(short = 'l', long, default_value = "4M", value_parser = parse_size, allow_hyphen_values = true)]
    size: u64,

    /// Vectors (kinds of interrupts) of each client, 0 to 256; with 0, clients share the memory and nobody is announced
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, allow_hyphen_values = true,
        value_parser = clap::value_parser!(u32).range(0..=256))]
    vectors: u32,

    /// Clients at the same time, 1 to 65536
    #[arg(long, value_name = "N", default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_clients: u32,

    /// Messages sent and not yet read, all clients together, 1 to 1048576; each takes some 768 bytes of kernel memory
    /// and at most one descriptor. Half of the limit of open files, at most 65536, without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_in_flight: Option<u32>,

    /// Connections of one user in a second, 1 to 1000000; no limit without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connection_rate: Option<u32>,

    /// Permissions of the socket and of a named object that is created, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal)]
    mode: u32,

    /// Owner and group of these, by name or number; those of this process without it
    #[arg(long, value_name = "USER[:GROUP]", value_parser = names::owner)]
    owner: Option<names::Owner>,

    /// Admit these users only, by name or number, and those of --allow-gid
    #[arg(long, value_name = "USER[,..]", value_delimiter = ',', value_parser = names::user)]
    allow_uid: Vec<u32>,

    /// Admit members of these groups only, by name or number, and those of --allow-uid
    #[arg(long, value_name = "GROUP[,..]", value_delimiter = ',', value_parser = names::group)]
    allow_gid: Vec<u32>,

    /// Send who connects to this socket the state of the server as JSON
    #[arg(long, value_name = "PATH")]
    status: Option<PathBuf>,

    /// Permissions of the status socket, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal, requires = "status")]
    status_mode: u32,

    /// Take all of the memory from the host at once; always so for -m and -M
    #[arg(long)]
    prealloc: bool,

    /// Append the log to this file: a regular file of this user or root, or a device like /dev/null
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// What is worth a line in the log
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
    pub(crate) fn backing(&self) -> Backing {
        match (&self.memory_dir, &self.memory_name) {
            (None, None) => Backing::Sealed,
            (Some(dir), None) => Backing::Unnamed(dir.clone()),
            (None, Some(name)) => Backing::Named(Path::new("/dev/shm").join(name)),
            (Some(dir), Some(name)) => Backing::Named(dir.join(name)),
        }
    }

    pub(crate) fn builder(&self) -> Builder {
        let mut builder = Server::builder(&self.socket)
            .size(self.size)
            .vectors(self.vectors)
            .backing(self.backing())
            .prealloc(self.prealloc)
            .max_clients(self.max_clients)
            .mode(self.mode)
            .allow_uids(self.allow_uid.iter().copied())
            .allow_gids(self.allow_gid.iter().copied())
            .status_mode(self.status_mode);
        if let Some(owner) = self.owner {
            builder = builder.owner(owner.uid, owner.gid);
        }
        if let Some(messages) = self.max_in_flight {
            builder = builder.max_in_flight(messages);
        }
        if let Some(rate) = self.connection_rate {
            builder = builder.connection_rate(rate);
        }
        if let Some(path) = &self.status {
            builder = builder.status_socket(path);
        }
        builder
    }

    pub(crate) fn log_level(&self) -> LogLevel {
        if self.verbose { LogLevel::Debug } else { self.log_level }
    }

    pub(crate) fn pid_file(&self) -> Option<&Path> {
        let default = self.is_daemon.then_some(Path::new("/var/run/ivshmem-server.pid"));
        self.pid_file.as_deref().or(default)
    }
}

/// A name as shm_open takes it, with or without the slash in front.
fn object_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err("a name without slashes, like ivshmem".to_owned());
    }
    Ok(name.to_owned())
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    mode.ok_or_else(|| "permissions are octal, 0 to 777, like 660".to_owned())
}
