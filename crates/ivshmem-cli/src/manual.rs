//! `manual`: writes the man pages, which have the same text as the help.

use std::io;
use std::path::{Path, PathBuf};

use clap::Command;

use crate::failure::Failure;

/// Write the man pages into a directory, for `make install`
#[derive(clap::Args, Debug)]
#[command(hide = true)]
pub(crate) struct Manual {
    directory: PathBuf,
}

impl Manual {
    pub(crate) fn run(&self, command: Command) -> Result<(), Failure> {
        let to = self.directory.display().to_string();
        write(command, &self.directory).map_err(|source| Failure::Output { to, source })
    }
}

#[cfg(target_os = "linux")]
fn write(command: Command, directory: &Path) -> io::Result<()> {
    ivshmem_server::program::write_manual(command, directory, &["ivshmem-server", "qemu-system-x86_64"])
}

#[cfg(not(target_os = "linux"))]
fn write(_: Command, _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "man pages are made on Linux"))
}
