//! `read` and `write`: streams of any length through a piece of fixed size.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use ivshmem::region::Memory;

use crate::Failure;

/// Bytes copied at a time: large enough to cost nothing, whatever the size of the memory.
const PIECE: usize = 1 << 20;

/// Copies memory to `out`, as it is or as a picture in hexadecimal.
pub(crate) fn read(
    memory: &Memory,
    offset: u64,
    length: Option<u64>,
    hex: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let size = memory.len();
    let room = size.checked_sub(offset).ok_or(Failure::Outside { offset, size })?;
    let length = length.unwrap_or(room);
    // The whole range is checked before the first byte goes out.
    let part = memory.view(offset, length)?;
    let mut piece = vec![0; piece_len(length)];
    let mut at = 0;
    while at < length {
        let now = piece_len(length - at);
        part.read(at, &mut piece[..now])?;
        if hex { picture(offset + at, &piece[..now], out) } else { out.write_all(&piece[..now]) }
            .map_err(Failure::Output)?;
        at += now as u64;
    }
    out.flush().map_err(Failure::Output)
}

/// Copies `input` to memory. Input that is known to be too long is refused before anything is written.
pub(crate) fn write(memory: &Memory, offset: u64, mut input: File) -> Result<(), Failure> {
    let size = memory.len();
    let room = size.checked_sub(offset).ok_or(Failure::Outside { offset, size })?;
    if let Some(length) = remaining_len(&input).filter(|length| *length > room) {
        return Err(Failure::TooLong { length, room, offset });
    }
    let mut piece = vec![0; piece_len(room.max(1))];
    let mut written = 0;
    loop {
        let count = match input.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::Input(e)),
        };
        let fits = count.min(usize::try_from(room - written).unwrap_or(usize::MAX));
        memory.write(offset + written, &piece[..fits])?;
        written += fits as u64;
        if fits < count {
            return Err(Failure::Cut { written, offset });
        }
    }
}

/// What is left of a regular file; `None` for a pipe or a terminal, whose length nobody knows.
fn remaining_len(input: &impl AsFd) -> Option<u64> {
    let mut file = File::from(input.as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let position = io::Seek::stream_position(&mut file).ok()?;
    Some(metadata.len().saturating_sub(position))
}

fn piece_len(length: u64) -> usize {
    usize::try_from(length).map_or(PIECE, |length| length.min(PIECE))
}

/// Sixteen bytes a line: offset, hexadecimal, ASCII.
fn picture(offset: u64, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    for (line, bytes) in (0_u64..).zip(bytes.chunks(16)) {
        write!(out, "{:08x} ", offset + line * 16)?;
        for column in 0..16 {
            let gap = if column % 8 == 0 { " " } else { "" };
            match bytes.get(column) {
                Some(byte) => write!(out, "{gap}{byte:02x} ")?,
                None => write!(out, "{gap}   ")?,
            }
        }
        let text: String = bytes
            .iter()
            .map(|&b| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '.' })
            .collect();
        writeln!(out, " |{text}|")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_offset_bytes_and_text() {
        let mut out = Vec::new();
        picture(0x1000, b"Hello World!\n\0\xff~<-", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "00001000  48 65 6c 6c 6f 20 57 6f  72 6c 64 21 0a 00 ff 7e  |Hello World!...~|\n\
             00001010  3c 2d                                             |<-|\n"
        );
    }

    #[test]
    fn memory_larger_than_a_piece_comes_out_whole_and_in_order() {
        let memory = Memory::heap(2 * PIECE as u64 + 4096).unwrap();
        let content: Vec<u8> = (0..memory.len()).map(|i| (i % 251).to_le_bytes()[0]).collect();
        memory.write(0, &content).unwrap();
        let mut out = Vec::new();
        read(&memory, 1, None, false, &mut out).unwrap();
        assert_eq!(out, &content[1..]);
    }

    #[test]
    fn a_range_outside_gives_an_error_and_no_output() {
        let memory = Memory::heap(4096).unwrap();
        for (offset, length) in [(4097, None), (0, Some(4097)), (4096, Some(1)), (u64::MAX, Some(2))] {
            let mut out = Vec::new();
            assert!(read(&memory, offset, length, false, &mut out).is_err(), "{offset} {length:?}");
            assert!(out.is_empty());
        }
        assert!(read(&memory, 4096, None, false, &mut Vec::new()).is_ok());
    }
}
