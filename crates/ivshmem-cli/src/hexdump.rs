//! Hexadecimal dumps: sixteen bytes per line with offset, hexadecimal digits and ASCII, as `hexdump -C` prints them.

use serde_json::json;

use crate::failure::Failure;
use crate::output::Out;

/// Bytes per line.
pub(crate) const LINE: usize = 16;
/// Bytes per JSON object.
const JSON_BYTES: usize = 4096;

/// Formats consecutive bytes, and shows a run of equal lines once, followed by `*`.
pub(crate) struct Hexdump {
    all: bool,
    last: Option<[u8; LINE]>,
    in_run: bool,
    text: Vec<u8>,
}

impl Hexdump {
    /// With `all`, every line of a run is shown.
    pub(crate) fn new(all: bool) -> Self {
        Self { all, last: None, in_run: false, text: Vec::new() }
    }

    /// The lines of these bytes, which follow those of the previous call. Only the last call may pass a partial line.
    pub(crate) fn lines(&mut self, offset: u64, bytes: &[u8]) -> &[u8] {
        self.text.clear();
        self.text.reserve(bytes.len() * 5);
        let (lines, rest) = bytes.as_chunks::<LINE>();
        let mut at = offset;
        for bytes in lines {
            if !self.all && self.last.as_ref() == Some(bytes) {
                self.text.extend_from_slice(if self.in_run { b"" } else { b"*\n" });
                self.in_run = true;
            } else {
                (self.last, self.in_run) = (Some(*bytes), false);
                put_high_digits(at, &mut self.text);
                self.text.extend_from_slice(&whole_line(at, bytes));
            }
            at += LINE as u64;
        }
        if !rest.is_empty() {
            let broken = line(at, rest, |_, byte| format!("{byte:02x}"));
            self.text.extend_from_slice(broken.as_bytes());
            self.text.push(b'\n');
        }
        &self.text
    }
}

/// Two hexadecimal digits for each byte.
const DIGITS: [[u8; 2]; 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    digits
};

/// The character that a terminal shows for each byte.
const ASCII: [u8; 256] = {
    let mut ascii = [b'.'; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        ascii[byte as usize] = byte;
        byte += 1;
    }
    ascii
};

/// Writes the digits that `{:08x}` prints before the last eight ones.
fn put_high_digits(offset: u64, into: &mut Vec<u8>) {
    if offset > u64::from(u32::MAX) {
        into.extend_from_slice(format!("{:x}", offset >> 32).as_bytes());
    }
}

/// A line of sixteen bytes, with the last eight digits of its offset.
fn whole_line(offset: u64, bytes: &[u8; LINE]) -> [u8; 79] {
    const FORM: &[u8; 79] =
        b"                                                            |                |\n";
    let mut line = *FORM;
    for (at, byte) in offset.to_be_bytes()[4..].iter().enumerate() {
        line[2 * at..2 * at + 2].copy_from_slice(&DIGITS[usize::from(*byte)]);
    }
    for (column, byte) in bytes.iter().enumerate() {
        let at = 10 + 3 * column + column / 8;
        line[at..at + 2].copy_from_slice(&DIGITS[usize::from(*byte)]);
        line[61 + column] = ASCII[usize::from(*byte)];
    }
    line
}

/// The last line of a dump: the offset of its end, which also shows the length of the last run.
pub(crate) fn end(offset: u64) -> String {
    format!("{offset:08x}")
}

/// One line; `byte` formats the byte in a column.
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

/// Hexadecimal digits without separators.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| DIGITS[usize::from(*byte)]).collect();
    String::from_utf8(digits).expect("digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &[u8]) -> usize {
        text.iter().filter(|byte| **byte == b'\n').count()
    }

    #[test]
    fn every_byte_looks_the_same_in_a_whole_line_and_in_a_broken_one() {
        let bytes: Vec<u8> = (0..=255).collect();
        for offset in [0, 0xfff0, 0xffff_fff0, 0x1_0000_0000, u64::MAX - 300] {
            let text = String::from_utf8(Hexdump::new(true).lines(offset, &bytes).to_vec()).unwrap();
            let lines = (offset..).step_by(LINE).zip(bytes.chunks(LINE));
            let expected = lines.map(|(at, bytes)| line(at, bytes, |_, byte| format!("{byte:02x}")) + "\n");
            assert_eq!(text, expected.collect::<String>());
        }
        assert_eq!(hex(&bytes[250..]), "fafbfcfdfeff");
    }

    #[test]
    fn a_picture_shows_offset_bytes_and_text() {
        assert_eq!(
            str::from_utf8(Hexdump::new(false).lines(0x1000, b"Hello World!\n\0\xff~<-")).unwrap(),
            "00001000  48 65 6c 6c 6f 20 57 6f  72 6c 64 21 0a 00 ff 7e  |Hello World!...~|\n\
             00001010  3c 2d                                             |<-|\n"
        );
    }

    #[test]
    fn a_run_of_equal_lines_is_shown_once_across_calls() {
        let mut dump = Hexdump::new(false);
        let mut text = String::new();
        for (offset, bytes) in [(0, &[0; 48][..]), (48, &[0; 32]), (80, &[1; 16])] {
            text += str::from_utf8(dump.lines(offset, bytes)).unwrap();
        }
        let offsets: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(offsets, ["00000000", "*", "00000050"]);
        assert_eq!(count(Hexdump::new(true).lines(0, &[0; 48])), 3);
    }

    #[test]
    fn a_broken_last_line_is_no_part_of_a_run() {
        assert_eq!(count(Hexdump::new(false).lines(0, &[0; 24])), 2);
        assert_eq!(end(24), "00000018");
    }
}
