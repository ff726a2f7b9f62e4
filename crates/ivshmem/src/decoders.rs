//! The parsers of external text and bytes, for the fuzz targets only. The parser of the protocol is public anyway.

use crate::device::pci::layout::{self, Bar};
use crate::device::{self, Target};

/// Parses a target string; an error is the reason why it is invalid. Opens nothing.
pub fn target(text: &str) -> Result<(), String> {
    Target::parse(text).map(drop).map_err(|error| error.to_string())
}

/// Parses the size of memory in a target string.
pub fn size(text: &str) -> Result<u64, String> {
    device::size(text)
}

/// The number of vectors of a device, from its configuration space.
pub fn vectors(configuration: &[u8]) -> Option<u16> {
    layout::vectors(configuration)
}

/// Whether the device has lost the address of a BAR.
pub fn lost_its_address(configuration: &[u8], bar: usize) -> bool {
    layout::lost_its_address(configuration, bar)
}

/// The first address and the length in a line of the attribute `resource`.
pub fn bar(line: &str) -> Option<(u64, u64)> {
    Bar::parse(line).map(|bar| (bar.start, bar.len))
}
