//! The command `ivshmem`.
//!
//! `main` parses arguments into [`CommandLine`], runs a verb, and converts a failure to one line and an exit status. The
//! library does everything else. Each verb is a file with its arguments, `run`, and its output.

#[cfg(target_os = "linux")]
mod advice;
mod args;
mod command_line;
mod examples;
mod failure;
mod finding;
mod hexdump;
mod output;
mod pieces;
mod progress;
mod standard;
mod values;

#[cfg(target_os = "linux")]
mod bind;
mod completions;
#[cfg(target_os = "linux")]
mod create;
#[cfg(target_os = "linux")]
mod doctor;
mod dump;
mod fill;
mod info;
#[cfg(target_os = "linux")]
mod list;
mod listen;
mod manual;
mod peers;
mod ping;
mod read;
mod ring;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod setup;
#[cfg(target_os = "linux")]
mod status;
mod watch;
#[cfg(windows)]
mod windows;
mod write;
#[cfg(windows)]
use windows::{bind, create, doctor, list, serve, setup, status};

use std::io::{self, Write};
use std::process::ExitCode;

use command_line::CommandLine;
use failure::{Exit, Failure};
use output::Out;

fn main() -> ExitCode {
    // Writing to a file at the size limit of this process then returns an error and does not end the process.
    #[cfg(target_os = "linux")]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
    let command = match CommandLine::read() {
        Ok(command) => command,
        Err(words) => return say(&words).into(),
    };
    match Out::stdout().and_then(|mut out| run(&command, &mut out)) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => tell(&failure).into(),
    }
}

/// Flushes the output also after a failure.
fn run(command: &CommandLine, out: &mut Out) -> Result<(), Failure> {
    let result = command.verb.run(out);
    let flushed = out.flush();
    result.and(flushed)
}

/// Prints clap's output: help and version to standard output, errors in the arguments to standard error.
fn say(words: &clap::Error) -> Exit {
    let printed = words.print().and_then(|()| io::stdout().flush());
    match printed {
        _ if words.use_stderr() => Exit::WrongArguments,
        Ok(()) => Exit::Done,
        Err(source) => tell(&Failure::Output { to: "standard output".to_owned(), source }),
    }
}

fn tell(failure: &Failure) -> Exit {
    let exit = failure.exit();
    if exit != Exit::Done {
        // Standard error may be closed too; then the exit status alone reports the failure.
        let mut stderr = anstream::stderr();
        let name = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let _ = writeln!(stderr, "{name}ivshmem:{name:#} {}", failure.line());
    }
    exit
}
