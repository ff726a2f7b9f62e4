//! `read`: copies memory to standard output unchanged.

use std::str;

use crate::args::{Format, Range, Target};
use crate::failure::Failure;
use crate::output::Out;
use crate::pieces::Pieces;
use crate::{hexdump, progress};

/// Copy memory to standard output
///
/// The bytes as they are, for pipes and files; `dump` shows them to people.
#[derive(clap::Args, Debug)]
pub(crate) struct Read {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    range: Range,
    /// Print binary bytes to a terminal, too
    #[arg(long)]
    binary: bool,
    #[command(flatten)]
    format: Format,
}

impl Read {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        let length = self.range.length_in(device.memory().len())?;
        let pieces = || Pieces::new(device.memory(), self.range.offset, length);
        let only_text = out.is_terminal() && !self.format.json && !self.binary;
        if only_text {
            // Checks all bytes before it prints the first one.
            let (mut all, mut text) = (pieces()?, Text::default());
            while let Some((_, bytes)) = all.next()? {
                text.goes_on(bytes)?;
            }
        }
        let bar = progress::bar(length, out.is_terminal());
        let (mut pieces, mut text) = (pieces()?, Text::default());
        while let Some((offset, bytes)) = pieces.next()? {
            if self.format.json {
                hexdump::json(offset, bytes, out)?;
            } else {
                if only_text {
                    // Other programs may have written meanwhile.
                    text.goes_on(bytes)?;
                }
                out.bytes(bytes)?;
            }
            bar.inc(bytes.len() as u64);
        }
        Ok(())
    }
}

/// Checks text, piece by piece, for bytes that a terminal would interpret instead of showing.
#[derive(Default)]
struct Text {
    /// The first bytes of a character that the last piece cut.
    cut: Vec<u8>,
}

impl Text {
    /// Checks the next piece. A character that is cut at its end is valid if the next piece completes it.
    fn goes_on(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let mut rest = piece;
        while let Some((first, others)) = rest.split_first().filter(|_| !self.cut.is_empty()) {
            self.cut.push(*first);
            rest = others;
            let cut = std::mem::take(&mut self.cut);
            self.take(&cut)?;
        }
        self.take(rest)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let whole = match str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Failure::Binary),
        };
        let (whole, cut) = bytes.split_at(whole);
        self.cut.extend_from_slice(cut);
        let disturbs = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
        if str::from_utf8(whole).is_ok_and(|text| !text.contains(disturbs)) {
            Ok(())
        } else {
            Err(Failure::Binary)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_text(bytes: &[u8]) -> bool {
        Text::default().goes_on(bytes).is_ok()
    }

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

    #[test]
    fn a_character_may_begin_in_one_piece_and_end_in_another() {
        let in_pieces = |bytes: &[u8], length| {
            let mut text = Text::default();
            bytes.chunks(length).all(|piece| text.goes_on(piece).is_ok())
        };
        for length in 1..8 {
            let good = "a\u{fc}b\u{20ac}\u{1f600}\u{1f600}c\u{df}";
            assert!(in_pieces(good.as_bytes(), length), "{length}");
            for bad in
                [&b"a\xc3b"[..], b"\xc3\xc3\xbc", b"\xf0\x9f\x98a", b"\xbc", "ab\u{9b}".as_bytes(), b"\xc3\0"]
            {
                assert!(!in_pieces(bad, length), "{bad:?} {length}");
            }
        }
    }
}
