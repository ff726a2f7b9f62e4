//! `manual`: the man pages, made from the same words as the help.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::Failure;
use crate::args::CommandLine;

/// Write the man pages into a directory, for `make install`
#[derive(clap::Args, Debug)]
#[command(hide = true)]
pub(crate) struct Manual {
    directory: PathBuf,
}

impl Manual {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let to = self.directory.display().to_string();
        clap_mangen::generate_to(CommandLine::command(), &self.directory)
            .map_err(|source| Failure::Output { to, source })
    }
}
