//! `completions`: prints the script with which a shell completes this command.

use clap::Command;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Out;

/// Print the script by which a shell completes this command
///
/// bash: source <(ivshmem completions bash). `make install` puts the scripts where shells look for them.
#[derive(clap::Args, Debug)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut command: Command, out: &mut Out) -> Result<(), Failure> {
        // Into memory first, because clap_complete panics when writing fails.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "ivshmem", &mut script);
        out.bytes(&script)
    }
}
