//! Bytes as people read them: sixteen a line with offset, hexadecimal and ASCII, as `hexdump -C` prints them.

use std::fmt::Write;

use serde_json::json;

use crate::Failure;
use crate::output::Out;

/// Bytes in one line.
pub(crate) const LINE: usize = 16;
/// Bytes in one object of JSON.
const JSON_BYTES: usize = 4096;

/// Pictures consecutive bytes and shows a run of equal lines once, followed by `*`.
pub(crate) struct Hexdump {
    all: bool,
    last: Option<[u8; LINE]>,
    in_run: bool,
}

impl Hexdump {
    /// With `all`, equal lines are shown each.
    pub(crate) fn new(all: bool) -> Self {
        Self { all, last: None, in_run: false }
    }

    /// The lines of these bytes, which follow those of the call before. Only the last call may bring a broken line.
    pub(crate) fn lines(&mut self, offset: u64, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() * 5);
        for (at, bytes) in (offset..).step_by(LINE).zip(bytes.chunks(LINE)) {
            let whole = <[u8; LINE]>::try_from(bytes).ok();
            if !self.all && whole.is_some() && whole == self.last {
                text += if self.in_run { "" } else { "*\n" };
                self.in_run = true;
                continue;
            }
            (self.last, self.in_run) = (whole, false);
            text += &line(at, bytes, |_, byte| format!("{byte:02x}"));
            text.push('\n');
        }
        text
    }
}

/// The line that closes a dump: where it ends, which also tells how long the last run was.
pub(crate) fn end(offset: u64) -> String {
    format!("{offset:08x}")
}

/// One line; `byte` tells how to show the byte in a column.
pub(crate) fn line(offset: u64, bytes: &[u8], byte: impl Fn(usize, u8) -> String) -> String {
    let mut text = format!("{offset:08x} ");
    for column in 0..LINE {
        text += if column % 8 == 0 { " " } else { "" };
        match bytes.get(column) {
            Some(value) => text += &byte(column, *value),
            None => text += "  ",
        }
        text.push(' ');
    }
    text += " |";
    text.extend(bytes.iter().map(|&b| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '.' }));
    text.push('|');
    text
}

/// Objects of at most 4096 bytes each.
pub(crate) fn json(offset: u64, bytes: &[u8], out: &mut Out) -> Result<(), Failure> {
    let mut parts = (offset..).step_by(JSON_BYTES).zip(bytes.chunks(JSON_BYTES));
    parts.try_for_each(|(offset, bytes)| out.json(&json!({ "offset": offset, "hex": hex(bytes) })))
}

/// Hexadecimal without anything between.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_offset_bytes_and_text() {
        assert_eq!(
            Hexdump::new(false).lines(0x1000, b"Hello World!\n\0\xff~<-"),
            "00001000  48 65 6c 6c 6f 20 57 6f  72 6c 64 21 0a 00 ff 7e  |Hello World!...~|\n\
             00001010  3c 2d                                             |<-|\n"
        );
    }

    #[test]
    fn a_run_of_equal_lines_is_shown_once_across_calls() {
        let mut dump = Hexdump::new(false);
        let text = dump.lines(0, &[0; 48]) + &dump.lines(48, &[0; 32]) + &dump.lines(80, &[1; 16]);
        let offsets: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(offsets, ["00000000", "*", "00000050"]);
        assert_eq!(Hexdump::new(true).lines(0, &[0; 48]).lines().count(), 3);
    }

    #[test]
    fn a_broken_last_line_is_no_part_of_a_run() {
        assert_eq!(Hexdump::new(false).lines(0, &[0; 24]).lines().count(), 2);
        assert_eq!(end(24), "00000018");
    }
}
