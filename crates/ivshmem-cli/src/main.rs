//! The command `ivshmem`.
//!
//! Words become [`Args`], a verb runs, what went wrong becomes one line and an exit status. Everything else is done by
//! the library.

mod args;
mod copy;
mod failure;
mod info;
mod interrupts;
mod serve;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};
use failure::Failure;

fn main() -> ExitCode {
    // clap ends with 2 and its own words when the arguments are wrong.
    let args = Args::parse();
    match run(args.verb) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough, as in `ivshmem listen .. | head -1`.
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed too; then the exit status has to say it all.
            let _ = writeln!(io::stderr(), "ivshmem: {}", failure.line());
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(verb: Verb) -> Result<(), Failure> {
    let out = &mut io::stdout().lock();
    match verb {
        Verb::Serve { socket, size, vectors } => serve::serve(&socket, size, vectors, out),
        Verb::Info { target, json } => info::info(&ivshmem::open(&target)?, json, out),
        Verb::Read { target, offset, length, hex } => {
            copy::read(ivshmem::open(&target)?.memory(), offset, length, hex, out)
        }
        Verb::Write { target, offset } => {
            let input = io::stdin().as_fd().try_clone_to_owned().map_err(Failure::Input)?;
            copy::write(ivshmem::open(&target)?.memory(), offset, File::from(input))
        }
        Verb::Ring { target, peer, vector, count } => {
            interrupts::ring(&ivshmem::open(&target)?, peer, vector, count)
        }
        Verb::Listen { target, vectors, count, timeout, json } => {
            let until = interrupts::Until { count, timeout };
            interrupts::listen(&ivshmem::open(&target)?, &vectors, &until, json, out)
        }
    }
}
