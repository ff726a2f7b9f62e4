//! `read`: memory to standard output, as it is.

use crate::args::{Format, Range, Target};
use crate::output::Out;
use crate::pieces::Pieces;
use crate::{Failure, hexdump, progress};

/// Copy memory to standard output
///
/// The bytes as they are, for pipes and files; `dump` shows them to people.
#[derive(clap::Args, Debug)]
pub(crate) struct Read {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    format: Format,
}

impl Read {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        let length = self.range.length_in(device.memory().len())?;
        let bar = progress::bar(length, out.is_terminal());
        let mut pieces = Pieces::new(device.memory(), self.range.offset, length)?;
        while let Some((offset, bytes)) = pieces.next()? {
            if self.format.json {
                hexdump::json(offset, bytes, out)?;
            } else {
                out.bytes(bytes)?;
            }
            bar.inc(bytes.len() as u64);
        }
        Ok(())
    }
}
