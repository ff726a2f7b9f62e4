//! What can be typed: the verbs, and what several of them share. Each verb's own arguments stand beside its code.
//! Parsing touches nothing but the words.

use clap::{Args, Parser, Subcommand};
use ivshmem::device::Device;

use crate::output::Out;
use crate::values::bytes;
use crate::{
    Failure, bind, completions, create, doctor, dump, fill, info, list, listen, manual, peers, ping, read,
    ring, serve, setup, status, watch, write,
};

#[cfg(windows)]
const AFTER_HELP: &str = "\
Targets:
  windows:NUMBER         a device of the virtual machine this runs in, as `ivshmem list` counts them; also
                         windows:PATH and windows:size=SIZE. Options: ?cache=cached, ?cache=wc and ?cache=uncached
  auto                   the only such device

Offsets, lengths and sizes are bytes: 4096, 0x1000 or 4K; K, M, G and T are powers of 1024.

Exit status: 0 done; 1 failed; 2 wrong arguments; 3 what was waited for did not come in time; \
4 doctor found a problem.";

#[cfg(not(windows))]
const AFTER_HELP: &str = "\
Targets:
  plain:PATH             a file that is shared memory, as in plain:/dev/shm/x; `ivshmem create` makes one
  plain:PATH?size=SIZE   the same, created or grown to SIZE by verbs that write
  plain:PATH?readonly    the same, for those who may only read it
  doorbell:SOCKET        the memory of a server, and interrupts; as in doorbell:/run/ivshmem.sock
  pci:ADDRESS            a device of the virtual machine this runs in; also pci:INDEX and pci:size=SIZE.
                         Options: ?cache=wc, ?cache=uncached and &memory-only
  auto                   the only such device

Offsets, lengths and sizes are bytes: 4096, 0x1000 or 4K; K, M, G and T are powers of 1024.

Exit status: 0 done; 1 failed; 2 wrong arguments; 3 what was waited for did not come in time; \
4 doctor found a problem.";

/// Share memory and interrupts with QEMU virtual machines.
#[derive(Parser, Debug)]
#[command(name = "ivshmem", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub verb: Verb,
}

/// In the order of the help.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    Serve(serve::Serve),
    Create(create::Create),
    List(list::List),
    Bind(bind::Bind),
    Setup(setup::Setup),
    Info(info::Info),
    Peers(peers::Peers),
    Read(read::Read),
    Dump(dump::Dump),
    Write(write::Write),
    Fill(fill::Fill),
    Watch(watch::Watch),
    Ring(ring::Ring),
    Listen(listen::Listen),
    Ping(ping::Ping),
    Status(status::Status),
    Doctor(doctor::Doctor),
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
            Self::Completions(verb) => verb.run(out),
            Self::Manual(verb) => verb.run(),
        }
    }
}

/// The memory that a verb is about.
#[derive(Args, Debug)]
pub(crate) struct Target {
    #[cfg_attr(windows, doc = "windows:NUMBER or auto; `ivshmem --help` explains targets")]
    #[cfg_attr(
        not(windows),
        doc = "plain:PATH, doorbell:SOCKET, pci:ADDRESS or auto; `ivshmem --help` explains targets"
    )]
    pub target: String,
}

impl Target {
    /// For verbs that change memory.
    pub(crate) fn open(&self) -> Result<Device, Failure> {
        Ok(ivshmem::open(&self.target)?)
    }

    /// For verbs that do not: nothing is created or grown, and nobody needs the permission to write.
    pub(crate) fn look(&self) -> Result<Device, Failure> {
        Ok(ivshmem::open_read_only(&self.target)?)
    }
}

/// A part of the memory; all of it unless said otherwise.
#[derive(Args, Debug)]
pub(crate) struct Range {
    /// First byte
    #[arg(value_parser = bytes, default_value = "0")]
    pub offset: u64,
    /// How many bytes [default: up to the end]
    #[arg(value_parser = bytes)]
    pub length: Option<u64>,
}

impl Range {
    /// How many bytes that is of a memory with `size` bytes, all of which lie inside.
    pub(crate) fn length_in(&self, size: u64) -> Result<u64, Failure> {
        let offset = self.offset;
        let room = size.checked_sub(offset).ok_or(Failure::Outside { offset, size })?;
        match self.length {
            Some(length) if length > room => Err(Failure::TooFar { length, offset, size }),
            length => Ok(length.unwrap_or(room)),
        }
    }
}

/// How facts are printed.
#[derive(Args, Debug)]
pub(crate) struct Format {
    /// JSON instead of text, one object a line
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_put_together_rightly() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_range_lies_inside_the_memory() {
        let range = |offset, length| Range { offset, length };
        for (range, length) in [
            (range(0, None), 4096),
            (range(4000, None), 96),
            (range(4096, None), 0),
            (range(4096, Some(0)), 0),
            (range(1, Some(4095)), 4095),
        ] {
            assert_eq!(range.length_in(4096).unwrap(), length, "{range:?}");
        }
        for range in
            [range(4097, None), range(0, Some(4097)), range(4096, Some(1)), range(u64::MAX, Some(u64::MAX))]
        {
            assert!(range.length_in(4096).is_err(), "{range:?}");
        }
    }
}
