//! `create`: creates a file as shared memory.

use std::path::PathBuf;

use ivshmem::size;
use ivshmem_server::program::{Owner, octal, owner};
use ivshmem_server::{MAX_SIZE, MIN_SIZE};
use serde_json::json;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

/// Create a file that is shared memory, for virtual machines with an ivshmem-plain device and for programs
///
/// It gets its space now: what does not fit is an error here and not a crash of those who use it.
#[derive(clap::Args, Debug)]
pub(crate) struct Create {
    /// plain:PATH; in /dev/shm, or on hugetlbfs for huge pages
    #[arg(value_parser = file)]
    target: PathBuf,
    /// Its size: a power of two from 4K on, as QEMU demands
    #[arg(value_parser = size)]
    size: u64,
    /// Permissions of the file, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal)]
    mode: u32,
    /// Owner and group of the file, by name or number; those of this process without it
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner)]
    owner: Option<Owner>,
    /// Accept a file that exists, but no link: a shorter one grows, and mode and owner stay
    #[arg(long)]
    grow: bool,
    #[command(flatten)]
    format: Format,
}

impl Create {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let mut plain = ivshmem::plain(&self.target).size(self.size).mode(self.mode);
        if let Some(owner) = self.owner {
            plain = plain.owner(owner.uid, owner.gid);
        }
        plain = if self.grow { plain.no_link() } else { plain.create_new() };
        let size = plain.open()?.memory().len();
        if size != self.size {
            return Err(Failure::Longer { path: self.target.clone(), size, wanted: self.size });
        }
        if self.format.json {
            return out.json(&json!({ "path": self.target.display().to_string(), "size": size }));
        }
        out.line(format_args!("{} has {size} bytes ({})", self.target.display(), size::format(size)))
    }
}

fn file(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("plain:").filter(|path| !path.is_empty());
    match path {
        Some(path) if path.contains('?') => Err("the size stands behind it: plain:PATH SIZE".to_owned()),
        Some(path) => Ok(path.into()),
        None if text.starts_with("doorbell:") => {
            Err("a server makes its memory itself: `ivshmem serve SOCKET --size SIZE`".to_owned())
        }
        None => Err("memory that can be made is a file: plain:PATH, as in plain:/dev/shm/x".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size = size::parse(text, MIN_SIZE..=MAX_SIZE).map_err(|error| error.to_string())?;
    if !size.is_power_of_two() {
        let next = size::format(size.next_power_of_two());
        return Err(format!(
            "QEMU takes powers of two only: {next}, for one; for programs alone, `ivshmem write 'plain:PATH?size={size}' \
             </dev/null` makes any size"
        ));
    }
    Ok(size)
}
