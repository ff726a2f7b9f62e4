//! The command `ivshmem`.
//!
//! Words become [`CommandLine`], a verb runs, what went wrong becomes one line and an exit status. Everything else is
//! done by the library. A verb is a file: its arguments, `run`, and what it prints.

#[cfg(target_os = "linux")]
mod advice;
mod args;
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

use args::CommandLine;
use failure::{Exit, Failure};
use output::Out;

fn main() -> ExitCode {
    // A file at the limit of this process is an error then and not the end.
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

/// What was printed before a failure is still worth reading.
fn run(command: &CommandLine, out: &mut Out) -> Result<(), Failure> {
    let result = command.verb.run(out);
    let flushed = out.flush();
    result.and(flushed)
}

/// clap's own words: help and version on standard output, and what is wrong with the arguments on standard error.
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
        // Standard error may be closed too; then the exit status has to say it all.
        let mut stderr = anstream::stderr();
        let name = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let _ = writeln!(stderr, "{name}ivshmem:{name:#} {}", failure.line());
    }
    exit
}
