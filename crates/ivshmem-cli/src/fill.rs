//! `fill`: sets all bytes of a range to one value.

use serde_json::json;

use crate::args::{Format, Range, Target};
use crate::failure::Failure;
use crate::output::Out;
use crate::pieces::{piece_len, take_space};
use crate::progress;
use crate::values::byte;

/// Set every byte of a range to one value
#[derive(clap::Args, Debug)]
pub(crate) struct Fill {
    #[command(flatten)]
    target: Target,
    /// The value of each byte, 0 to 255 or 0x00 to 0xff
    #[arg(value_parser = byte)]
    byte: u8,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    format: Format,
}

impl Fill {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.open()?;
        let offset = self.range.offset;
        let length = self.range.length_in(device.memory().len())?;
        let part = device.memory().view(offset, length)?;
        let bar = progress::bar(length, false);
        let mut at = 0;
        while at < length {
            let now = piece_len(length - at) as u64;
            take_space(&part, at, now)?;
            part.fill(at, self.byte, now)?;
            at += now;
            bar.inc(now);
        }
        if self.format.json {
            out.json(&json!({ "offset": offset, "length": length, "byte": self.byte }))?;
        }
        Ok(())
    }
}
