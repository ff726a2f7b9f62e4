//! What the user asks for, and what each part of the examination adds to the report.

use crate::advice::Region;
use crate::args::Format;
use crate::finding::Finding;
use crate::values::bytes;

/// Find common problems, and print how to solve them
///
/// Looks at a file, a server, or a device of this guest, and prints what is wrong with it and the arguments for QEMU and
/// libvirt that fit it. Exit status 4 when something is wrong. docs/cli.md lists all findings.
#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// plain:PATH, doorbell:SOCKET, or pci:ADDRESS and auto in a guest [default: the devices of this guest]
    pub(super) target: Option<String>,
    /// How large the memory is meant to be
    #[arg(long, value_parser = bytes)]
    pub(super) size: Option<u64>,
    /// How many vectors each peer is meant to have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) vectors: Option<u16>,
    /// Who runs QEMU and must get at a file or socket as well [default: libvirt-qemu or qemu, if there is one]
    #[arg(long, value_name = "NAME")]
    pub(super) qemu_user: Option<String>,
    /// Address bits of the machine's processor; 40 is QEMU's default
    #[arg(long, value_name = "BITS", default_value = "40", value_parser = clap::value_parser!(u32).range(32..=52))]
    pub(super) phys_bits: u32,
    #[command(flatten)]
    pub(super) format: Format,
}

/// The result of an examination.
#[derive(Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// What is known of the memory, for the matching arguments.
    pub(super) region: Option<Region>,
}

impl Report {
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }
}
