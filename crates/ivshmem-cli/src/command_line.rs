//! The command line: the verbs and the options of all. Each verb's own arguments are in the verb's file. Parsing has no side
//! effects.

use std::ffi::OsString;

use anstream::ColorChoice;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Failure;
use crate::output::Out;
use crate::{
    bind, completions, create, doctor, dump, examples, fill, info, list, listen, manual, peers, ping, read,
    ring, serve, setup, status, watch, write,
};

#[cfg(windows)]
const AFTER_HELP: &str = "\
Targets:
  windows:NUMBER  a device of the virtual machine this runs in, by its place in `ivshmem list`;
                  also windows:PATH and windows:size=SIZE. Options: ?cache=cached, ?cache=wc
                  and ?cache=uncached
  auto            the only such device

Offsets, lengths and sizes are bytes: 4096, 0x1000 or 4K; K, M, G and T are powers of 1024.

Exit status:
  0  done
  1  failed
  2  wrong arguments
  3  what was waited for did not come in time
  4  doctor found a problem";

#[cfg(not(windows))]
const AFTER_HELP: &str = "\
Targets:
  plain:PATH            a file that is shared memory, as plain:/dev/shm/x; `ivshmem create` makes one
  plain:PATH?size=SIZE  the same, created or grown to SIZE by verbs that write; other options are ?readonly and ?prefault, joined by &
  doorbell:SOCKET       the memory of a server, and interrupts; as doorbell:/run/ivshmem.sock. Options: ?readonly, and ?reconnect, which connects again after the server has started again with the same memory (--memory-name)
  pci:ADDRESS           a device of the virtual machine this runs in; also pci:INDEX and pci:size=SIZE. Options: ?cache=wc, ?cache=uncached and ?memory-only
  auto                  the only such device

Offsets, lengths and sizes are bytes: 4096, 0x1000 or 4K; K, M, G and T are powers of 1024.

Examples:
  ivshmem serve /run/ivshmem.sock --size 64M --vectors 2
      A server for virtual machines and programs
  ivshmem info doorbell:/run/ivshmem.sock
      What a target is
  ivshmem doctor doorbell:/run/ivshmem.sock
      What is wrong with it, and what to do

Exit status:
  0  done
  1  failed
  2  wrong arguments
  3  what was waited for did not come in time
  4  doctor found a problem";

/// The version, followed by the commit of the build if it is known.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("IVSHMEM_COMMIT"));

/// Share memory and interrupts with QEMU virtual machines.
#[derive(Parser, Debug)]
#[command(name = "ivshmem", version = VERSION, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    /// Colours and emphasis: on terminals without NO_COLOR, always, or never
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    color: Color,
    #[command(subcommand)]
    pub verb: Verb,
}

/// When output has colours.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl CommandLine {
    /// Parses the command line. From then on its choice of colours applies to all output, error messages about the
    /// arguments included.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let words: Vec<OsString> = std::env::args_os().collect();
        let color = Color::of(&words);
        color.choice().write_global();
        let command = Self::laid_out().color(color.of_help());
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[cfg(target_os = "linux")]
    fn laid_out() -> clap::Command {
        ivshmem_server::program::fit(Self::command())
    }

    #[cfg(not(target_os = "linux"))]
    fn laid_out() -> clap::Command {
        Self::command()
    }
}

impl Color {
    /// Finds the option before anything else is parsed, because the other arguments may be wrong.
    fn of(words: &[OsString]) -> Self {
        let words =
            words.iter().map(|word| word.to_str().unwrap_or_default()).take_while(|word| *word != "--");
        let mut before = "";
        let mut color = Self::Auto;
        for word in words {
            let value = if before == "--color" { Some(word) } else { word.strip_prefix("--color=") };
            color = value.and_then(|value| clap::ValueEnum::from_str(value, false).ok()).unwrap_or(color);
            before = word;
        }
        color
    }

    fn choice(self) -> ColorChoice {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
    }

    fn of_help(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }
}

/// In the order of the help.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    #[command(after_help = examples::SERVE)]
    Serve(serve::Serve),
    #[command(after_help = examples::CREATE)]
    Create(create::Create),
    #[command(after_help = examples::LIST)]
    List(list::List),
    #[command(after_help = examples::BIND)]
    Bind(bind::Bind),
    #[command(after_help = examples::SETUP)]
    Setup(setup::Setup),
    #[command(after_help = examples::INFO)]
    Info(info::Info),
    #[command(after_help = examples::PEERS)]
    Peers(peers::Peers),
    #[command(after_help = examples::READ)]
    Read(read::Read),
    #[command(after_help = examples::DUMP)]
    Dump(dump::Dump),
    #[command(after_help = examples::WRITE)]
    Write(write::Write),
    #[command(after_help = examples::FILL)]
    Fill(fill::Fill),
    #[command(after_help = examples::WATCH)]
    Watch(watch::Watch),
    #[command(after_help = examples::RING)]
    Ring(ring::Ring),
    #[command(after_help = examples::LISTEN)]
    Listen(listen::Listen),
    #[command(after_help = examples::PING)]
    Ping(ping::Ping),
    #[command(after_help = examples::STATUS)]
    Status(status::Status),
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Doctor),
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::Completions),
    Manual(manual::Manual),
}

impl Verb {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Serve(verb) => verb.run(out),
            Self::Create(verb) => verb.run(out),
            Self::List(verb) => verb.run(out),
            Self::Bind(verb) => verb.run(out),
            Self::Setup(verb) => verb.run(out),
            Self::Info(verb) => verb.run(out),
            Self::Peers(verb) => verb.run(out),
            Self::Read(verb) => verb.run(out),
            Self::Dump(verb) => verb.run(out),
            Self::Write(verb) => verb.run(out),
            Self::Fill(verb) => verb.run(out),
            Self::Watch(verb) => verb.run(out),
            Self::Ring(verb) => verb.run(out),
            Self::Listen(verb) => verb.run(out),
            Self::Ping(verb) => verb.run(out),
            Self::Status(verb) => verb.run(out),
            Self::Doctor(verb) => verb.run(out),
            Self::Completions(verb) => verb.run(CommandLine::command(), out),
            Self::Manual(verb) => verb.run(CommandLine::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_put_together_rightly() {
        CommandLine::command().debug_assert();
    }
}
