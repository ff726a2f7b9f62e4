//! Arguments that several verbs have.

use clap::Args;
use ivshmem::device::Device;

use crate::failure::Failure;
use crate::values::bytes;

/// The memory that a verb is about.
#[derive(Args, Debug)]
pub(crate) struct Target {
    #[cfg_attr(windows, doc = "windows:NUMBER or auto; `ivshmem --help` explains targets")]
    #[cfg_attr(
        not(windows),
        doc = "plain:PATH, doorbell:SOCKET, pci:ADDRESS or auto; `ivshmem --help` explains targets"
    )]
    pub target: String,
}

impl Target {
    /// Opens the target for verbs that change memory.
    pub(crate) fn open(&self) -> Result<Device, Failure> {
        Ok(ivshmem::open(&self.target)?)
    }

    /// Opens the target for verbs that only read: creates and grows nothing, and needs no write permission.
    pub(crate) fn look(&self) -> Result<Device, Failure> {
        Ok(ivshmem::open_read_only(&self.target)?)
    }
}

/// A part of the memory; all of it unless said otherwise.
#[derive(Args, Debug)]
pub(crate) struct Range {
    /// First byte
    #[arg(value_parser = bytes, default_value = "0")]
    pub offset: u64,
    /// Number of bytes [default: up to the end]
    #[arg(value_parser = bytes)]
    pub length: Option<u64>,
}

impl Range {
    /// The length in bytes of this range in a memory with `size` bytes, or an error if a part is outside.
    pub(crate) fn length_in(&self, size: u64) -> Result<u64, Failure> {
        let offset = self.offset;
        let room = size.checked_sub(offset).ok_or(Failure::Outside { offset, size })?;
        match self.length {
            Some(length) if length > room => Err(Failure::TooFar { length, offset, size }),
            length => Ok(length.unwrap_or(room)),
        }
    }
}

/// How facts are printed.
#[derive(Args, Debug)]
pub(crate) struct Format {
    /// JSON instead of text, one object a line
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_inside_the_memory() {
        let range = |offset, length| Range { offset, length };
        for (range, length) in [
            (range(0, None), 4096),
            (range(4000, None), 96),
            (range(4096, None), 0),
            (range(4096, Some(0)), 0),
            (range(1, Some(4095)), 4095),
        ] {
            assert_eq!(range.length_in(4096).unwrap(), length, "{range:?}");
        }
        for range in
            [range(4097, None), range(0, Some(4097)), range(4096, Some(1)), range(u64::MAX, Some(u64::MAX))]
        {
            assert!(range.length_in(4096).is_err(), "{range:?}");
        }
    }
}
