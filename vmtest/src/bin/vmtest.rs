//! `vmtest`: starts a guest for developers.
//!
//! `vmtest run -- lspci` boots a guest, runs a command in it and exits with its status; `vmtest shell` starts a shell on
//! the guest's console.
#![expect(clippy::print_stderr, reason = "a tool for developers, which may end when nobody reads")]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ivshmem_vmtest::{Ending, Error, Guest, GuestBuilder, Iommu, Program, Stream};

/// Boots a Linux guest with ivshmem devices.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run a command in a guest and end with its status.
    Run {
        #[command(flatten)]
        machine: Machine,
        /// How many seconds the command may take.
        #[arg(long, default_value_t = 600)]
        limit: u64,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// A shell on the console of a guest; `poweroff -f` or Ctrl-A X ends it.
    Shell {
        #[command(flatten)]
        machine: Machine,
    },
}

#[derive(Debug, Args)]
struct Machine {
    /// A device with interrupts: the socket of a server, and how many vectors.
    #[arg(long, value_name = "SOCKET[,VECTORS]")]
    doorbell: Vec<String>,
    /// A device without interrupts: a file, whose size is a power of two.
    #[arg(long, value_name = "FILE")]
    plain: Vec<PathBuf>,
    /// Programs of the host to be put into /bin, with their libraries.
    #[arg(long, value_name = "FILE")]
    program: Vec<PathBuf>,
    /// A folder of the host, to be read in the guest.
    #[arg(long, value_name = "FOLDER:PLACE")]
    share: Vec<String>,
    /// The host's /usr, to be read, with all its programs and JDKs.
    #[arg(long)]
    host_programs: bool,
    /// A root of 32-bit programs at /i386.
    #[arg(long)]
    root_32: bool,
    /// No IOMMU: interrupts cannot be received.
    #[arg(long, conflicts_with = "no_remapping")]
    no_iommu: bool,
    /// An IOMMU that does not remap interrupts.
    #[arg(long)]
    no_remapping: bool,
    /// Memory in MiB.
    #[arg(long, default_value_t = 256)]
    memory: u32,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Run { machine, limit, command } => run(machine, command, Duration::from_secs(limit)),
        What::Shell { machine } => {
            machine.builder().and_then(GuestBuilder::shell).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("vmtest: {error}");
        ExitCode::FAILURE
    })
}

fn run(machine: Machine, mut words: Vec<String>, limit: Duration) -> Result<ExitCode, Error> {
    let guest = machine.builder()?.boot()?;
    let program = Program::new(words.remove(0)).args(words).limit(limit);
    let process = guest.spawn(program)?;
    process.end_input()?;
    let ending = process.watch(|stream, bytes| {
        // An error means that the reader has closed its end.
        let _ = match stream {
            Stream::Out => std::io::stdout().write_all(bytes),
            Stream::Err => std::io::stderr().write_all(bytes),
        };
    })?;
    Ok(match ending {
        Ending::Status(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Ending::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
        Ending::NotStarted(reason) => {
            eprintln!("vmtest: {reason}");
            ExitCode::from(127)
        }
    })
}

impl Machine {
    fn builder(self) -> Result<GuestBuilder, Error> {
        let wrong = |what: String| Error::Host { what, source: std::io::ErrorKind::InvalidInput.into() };
        let iommu = match (self.no_iommu, self.no_remapping) {
            (true, _) => Iommu::None,
            (_, true) => Iommu::IntelWithoutRemapping,
            _ => Iommu::Intel,
        };
        let mut builder = Guest::builder("vmtest").memory(self.memory).iommu(iommu);
        for device in &self.doorbell {
            let (socket, vectors) = device.rsplit_once(',').unwrap_or((device, "2"));
            let vectors =
                vectors.parse().map_err(|_| wrong(format!("'{vectors}' is no number of vectors")))?;
            builder = builder.doorbell(socket, vectors);
        }
        for path in self.plain {
            let size = std::fs::metadata(&path)
                .map_err(|source| Error::Host { what: path.display().to_string(), source })?;
            builder = builder.plain(path, size.len());
        }
        for program in self.program {
            builder = builder.program(program);
        }
        for share in &self.share {
            let (folder, place) = share
                .split_once(':')
                .ok_or_else(|| wrong(format!("'{share}' has no colon; write FOLDER:PLACE")))?;
            builder = builder.share(folder, place);
        }
        if self.host_programs {
            builder = builder.host_programs();
        }
        if self.root_32 {
            builder = builder.root_32();
        }
        Ok(builder)
    }
}
