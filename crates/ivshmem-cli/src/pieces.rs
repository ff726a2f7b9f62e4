//! Copies a range of memory of any length through a buffer of fixed size.

use ivshmem::region::{Memory, MemoryError};

/// Large enough that the cost per piece is negligible.
pub(crate) const PIECE: usize = 1 << 20;

/// Copies of consecutive pieces. Holes of the memory stay holes.
pub(crate) struct Pieces {
    part: Memory,
    start: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl Pieces {
    /// Checks the whole range before the first byte is read.
    pub(crate) fn new(memory: &Memory, offset: u64, length: u64) -> Result<Self, MemoryError> {
        let part = memory.view(offset, length)?;
        Ok(Self { part, start: offset, at: 0, buffer: vec![0; piece_len(length)] })
    }

    /// The next bytes and their offset in the memory.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, MemoryError> {
        let (at, length) = (self.at, piece_len(self.part.len() - self.at));
        if length == 0 {
            return Ok(None);
        }
        let bytes = &mut self.buffer[..length];
        self.part.peek(at, bytes)?;
        self.at += length as u64;
        Ok(Some((self.start + at, bytes)))
    }
}

/// The length of the next piece, if `length` bytes are left.
pub(crate) fn piece_len(length: u64) -> usize {
    usize::try_from(length).map_or(PIECE, |length| length.min(PIECE))
}

/// Allocates space for holes before they are written, so that a full file system is an error and not a SIGBUS.
pub(crate) fn take_space(memory: &Memory, offset: u64, length: u64) -> Result<(), MemoryError> {
    match memory.prefault(offset, length) {
        // An older kernel does not support it; then the write allocates the space.
        Err(MemoryError::Populate { .. }) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_larger_than_a_piece_comes_out_whole_and_in_order() {
        let memory = Memory::heap(2 * PIECE as u64 + 4096).unwrap();
        let content: Vec<u8> = (0..memory.len()).map(|i| (i % 251).to_le_bytes()[0]).collect();
        memory.write(0, &content).unwrap();
        let mut pieces = Pieces::new(&memory, 1, memory.len() - 1).unwrap();
        let mut copy = Vec::new();
        while let Some((offset, bytes)) = pieces.next().unwrap() {
            assert_eq!(offset, 1 + copy.len() as u64);
            copy.extend_from_slice(bytes);
        }
        assert_eq!(copy, &content[1..]);
    }

    #[test]
    fn a_range_outside_is_an_error_and_an_empty_one_none() {
        let memory = Memory::heap(4096).unwrap();
        assert!(Pieces::new(&memory, 4096, 1).is_err());
        assert!(Pieces::new(&memory, u64::MAX, 2).is_err());
        assert_eq!(Pieces::new(&memory, 4096, 0).unwrap().next().unwrap(), None);
    }
}
