//! `write`: copies standard input to memory.

use std::fs::File;
use std::io::{self, Read as _};

use ivshmem::region::Memory;
use serde_json::json;

use crate::args::{Format, Target};
use crate::failure::Failure;
use crate::output::Out;
use crate::pieces::{piece_len, take_space};
use crate::progress::{self, Counter};
use crate::standard;
use crate::values::bytes;

/// Copy standard input to memory
#[derive(clap::Args, Debug)]
pub(crate) struct Write {
    #[command(flatten)]
    target: Target,
    /// First byte
    #[arg(value_parser = bytes, default_value = "0")]
    offset: u64,
    #[command(flatten)]
    format: Format,
}

impl Write {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let input = standard::input().map_err(Failure::Input)?;
        let length = write(self.target.open()?.memory(), self.offset, input)?;
        if self.format.json {
            out.json(&json!({ "offset": self.offset, "length": length }))?;
        }
        Ok(())
    }
}

/// Copies `input` to memory and returns the number of bytes. Input that is known to be too long is refused before anything
/// is written.
fn write(memory: &Memory, offset: u64, mut input: File) -> Result<u64, Failure> {
    let size = memory.len();
    let room = size.checked_sub(offset).ok_or(Failure::Outside { offset, size })?;
    let known = remaining_len(&input);
    if let Some(length) = known.filter(|length| *length > room) {
        return Err(Failure::TooLong { length, room, offset });
    }
    let bar = progress::bar(known.unwrap_or(0), false);
    let mut counter = Counter::new();
    let mut piece = vec![0; piece_len(room.max(1))];
    let mut written = 0;
    loop {
        let count = match input.read(&mut piece) {
            Ok(0) => return Ok(written),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::Input(e)),
        };
        let fits = count.min(usize::try_from(room - written).unwrap_or(usize::MAX));
        take_space(memory, offset + written, fits as u64)?;
        memory.write(offset + written, &piece[..fits])?;
        written += fits as u64;
        match known {
            Some(_) => bar.inc(fits as u64),
            None => counter.inc(fits as u64),
        }
        if fits < count {
            return Err(Failure::Cut { written, offset });
        }
    }
}

/// Remaining bytes of a regular file; `None` for a pipe or a terminal, whose length is unknown.
fn remaining_len(input: &File) -> Option<u64> {
    let mut file = input.try_clone().ok()?;
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let position = io::Seek::stream_position(&mut file).ok()?;
    Some(metadata.len().saturating_sub(position))
}
