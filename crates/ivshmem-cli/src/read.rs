//! `read`: memory to standard output, as it is.

use std::str;

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
    /// Print bytes that are no text on a terminal, too
    #[arg(long)]
    binary: bool,
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
            } else if out.is_terminal() && !self.binary && !is_text(bytes) {
                return Err(Failure::Binary);
            } else {
                out.bytes(bytes)?;
            }
            bar.inc(bytes.len() as u64);
        }
        Ok(())
    }
}

/// Whether a terminal shows these bytes and does nothing else. A character that is cut at the end is one.
fn is_text(bytes: &[u8]) -> bool {
    let is_cut = |error: &str::Utf8Error| error.error_len().is_none();
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if is_cut(&error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_disturbs_no_terminal() {
        for text in [&b"Hello World!\r\n\t"[..], b"", "Gr\u{fc}\u{df}e".as_bytes(), &"\u{fc}".as_bytes()[..1]]
        {
            assert!(is_text(text), "{text:?}");
        }
        for bytes in [&b"\0"[..], b"\x1b[2J", b"\x07", b"\xff", b"a\xc3b", b"\x7f", "\u{9b}".as_bytes()] {
            assert!(!is_text(bytes), "{bytes:?}");
        }
    }
}
