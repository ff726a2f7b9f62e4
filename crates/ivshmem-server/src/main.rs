//! The daemon `ivshmem-server`.

mod args;
mod background;
mod journal;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use ivshmem::ErrorKind;
use ivshmem::sys::linux::inherited;
use ivshmem_server::program::{self, PidFile, Sink};
use ivshmem_server::{Backing, Builder, Error, Listening, raise_descriptor_limit};
use sd_notify::NotifyState;
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

use crate::args::Args;

fn main() -> ExitCode {
    // Writing to a file at the size limit of this process, for example the log, then returns an error and does not end the
    // process.
    let _ = flag::register(SIGXFSZ, Arc::default());
    let args = match arguments() {
        Ok(args) => args,
        Err(words) => return say(&words),
    };
    if let Some(directory) = &args.manual {
        return manual(directory);
    }
    if !args.foreground && !args.is_daemon {
        return background::start();
    }
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            program::tell(&format!("ivshmem-server: {error}"));
            ExitCode::from(if error.kind() == ErrorKind::Busy {
                args::EXIT_IN_USE
            } else {
                args::EXIT_FAILURE
            })
        }
    }
}

fn arguments() -> Result<Args, clap::Error> {
    Args::from_arg_matches(&program::fit(Args::command()).try_get_matches()?)
}

/// Prints clap's output: help and version to standard output, errors in the arguments to standard error.
fn say(words: &clap::Error) -> ExitCode {
    let printed = words.print().and_then(|()| io::stdout().flush());
    match printed {
        _ if words.use_stderr() => ExitCode::from(args::EXIT_WRONG_ARGUMENTS),
        // The reader closed the pipe, as in `ivshmem-server --help | head -1`.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            program::tell(&format!("ivshmem-server: cannot write to standard output: {error}"));
            ExitCode::from(args::EXIT_FAILURE)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Writes the man page, which has the same text as the help.
fn manual(directory: &Path) -> ExitCode {
    match program::write_manual(Args::command(), directory, &["ivshmem", "qemu-system-x86_64"]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let directory = directory.display();
            program::tell(&format!("ivshmem-server: cannot write the man page into {directory}: {error}"));
            ExitCode::from(args::EXIT_FAILURE)
        }
    }
}

fn serve(args: &Args) -> Result<(), Error> {
    if args.is_daemon {
        background::leave_terminal()?;
    }
    // Before another thread exists, and before anything that a signal would leave behind.
    let stop = program::stop_signals()
        .map_err(|source| Error::Io { doing: "waiting for signals".to_owned(), source })?;
    let log = journal::start(args)?;
    let result = serve_and_log(args, &log, &stop);
    log.drain();
    result
}

fn serve_and_log(args: &Args, log: &Sink, stop: &Arc<OwnedFd>) -> Result<(), Error> {
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let _pid_file = args.pid_file().map(PidFile::create).transpose()?;
    let listening = match listen(args.builder().stop_on(Arc::clone(stop))) {
        Err(stopped @ Error::Stopped { .. }) => {
            tracing::info!("{stopped}");
            return Ok(());
        }
        listening => listening?,
    };
    tracing::info!(
        socket = %listening.path().display(),
        bytes = listening.size(),
        vectors = listening.vectors(),
        "listening"
    );
    if args.server.backing() == Backing::Sealed {
        // Programs that open the object of QEMU's own server would not find it.
        tracing::info!(
            "the memory has no name; -M ivshmem makes it /dev/shm/ivshmem, as QEMU's own server does"
        );
    }
    if args.is_daemon {
        // The lines logged so far are for the user who started this process.
        log.drain();
        background::say_ready()?;
    }
    tell_manager(NotifyState::Ready);
    listening.run(stop)?;
    tell_manager(NotifyState::Stopping);
    tracing::info!("stopped");
    Ok(())
}

/// Listens on the socket that a service manager passed to this process, or else on the server's own socket.
fn listen(builder: Builder) -> Result<Listening, Error> {
    let mut sockets = inherited::sockets();
    match (sockets.pop(), sockets.len()) {
        (None, _) => builder.listen(),
        (Some(socket), 0) => builder.listen_on_inherited(socket),
        (Some(_), others) => Err(Error::TooManySockets(others + 1)),
    }
}

/// There may be no service manager, and a failed notification does not prevent serving.
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}
