//! What reads words and bytes from outside, for the fuzz targets alone; the protocol's is public anyway.

use crate::device::pci::layout::{self, Bar};
use crate::device::{self, Target};

/// Whether a target is understood, or why not. Nothing is opened.
pub fn target(text: &str) -> Result<(), String> {
    Target::read(text).map(drop).map_err(|error| error.to_string())
}

/// Bytes, with a power of 1024 behind.
pub fn size(text: &str) -> Result<u64, String> {
    device::size(text)
}

/// How many vectors a device has by its configuration.
pub fn vectors(configuration: &[u8]) -> Option<u16> {
    layout::vectors(configuration)
}

/// Whether a BAR has no address in the device.
pub fn lost_its_address(configuration: &[u8], bar: usize) -> bool {
    layout::lost_its_address(configuration, bar)
}

/// First address and length of a line of the attribute `resource`.
pub fn bar(line: &str) -> Option<(u64, u64)> {
    Bar::parse(line).map(|bar| (bar.start, bar.len))
}
