//! `dump`: prints memory in readable form.

use std::path::PathBuf;

use crate::args::{Format, Range, Target};
use crate::failure::Failure;
use crate::hexdump::{self, Hexdump};
use crate::output::Out;
use crate::pieces::Pieces;
use crate::progress;

/// Show memory in hexadecimal and ASCII
///
/// Of equal lines only the first is printed, followed by `*`, as by hexdump -C.
#[derive(clap::Args, Debug)]
pub(crate) struct Dump {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    range: Range,
    /// Show equal lines too
    #[arg(short, long)]
    all: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl Dump {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        // Does not create or empty a file for memory that cannot be read.
        let device = self.target.look()?;
        let length = self.range.length_in(device.memory().len())?;
        let pieces = Pieces::new(device.memory(), self.range.offset, length)?;
        match &self.output {
            None => self.dump(pieces, length, out),
            Some(path) => {
                let mut file = Out::file(path)?;
                self.dump(pieces, length, &mut file)?;
                file.flush()
            }
        }
    }

    fn dump(&self, mut pieces: Pieces, length: u64, out: &mut Out) -> Result<(), Failure> {
        let bar = progress::bar(length, out.is_terminal());
        let mut picture = Hexdump::new(self.all);
        while let Some((offset, bytes)) = pieces.next()? {
            if self.format.json {
                hexdump::json(offset, bytes, out)?;
            } else {
                out.bytes(picture.lines(offset, bytes))?;
            }
            bar.inc(bytes.len() as u64);
        }
        bar.finish_and_clear();
        if self.format.json { Ok(()) } else { out.line(hexdump::end(self.range.offset + length)) }
    }
}
