//! The daemon `ivshmem-server`.

mod args;
mod background;
mod pid_file;

use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use clap::Parser;
use ivshmem::ErrorKind;
use ivshmem_server::{Error, raise_descriptor_limit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tracing::level_filters::LevelFilter;

use crate::args::Args;
use crate::pid_file::PidFile;

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.foreground && !args.is_daemon {
        return background::start();
    }
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ivshmem-server: {error}");
            ExitCode::from(if error.kind() == ErrorKind::Busy {
                args::EXIT_IN_USE
            } else {
                args::EXIT_FAILURE
            })
        }
    }
}

fn serve(args: &Args) -> Result<(), Error> {
    if args.is_daemon {
        background::leave_terminal()?;
    }
    start_log(args)?;
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    // Before anything is created that a signal would leave behind.
    let stop = signals().map_err(|source| Error::Io { doing: "waiting for signals".to_owned(), source })?;
    let _pid_file = args.pid_file().map(PidFile::create).transpose()?;
    let listening = args.builder().listen()?;
    tracing::info!(
        socket = %listening.path().display(),
        bytes = listening.size(),
        vectors = listening.vectors(),
        "listening"
    );
    if args.is_daemon {
        background::say_ready()?;
    }
    listening.run(stop)?;
    tracing::info!("stopped");
    Ok(())
}

/// A stream that becomes readable with the first signal that asks to stop.
fn signals() -> std::io::Result<UnixStream> {
    let (stop, wake) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        pipe::register(signal, wake.try_clone()?)?;
    }
    Ok(stop)
}

fn start_log(args: &Args) -> Result<(), Error> {
    let level = if args.verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let log = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    match &args.log {
        None => log.with_writer(std::io::stderr).init(),
        Some(path) => {
            let file = std::fs::File::options().append(true).create(true).open(path).map_err(|source| {
                Error::Io { doing: format!("opening the log {}", path.display()), source }
            })?;
            log.with_writer(std::sync::Mutex::new(file)).init();
        }
    }
    Ok(())
}
