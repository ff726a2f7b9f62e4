//! The layout of the device: its address ranges, its registers, and the relevant part of the configuration space.

use crate::wire::MAX_VECTORS;

pub(super) const MEMORY_BAR: usize = 2;
pub(super) const TABLE_BAR: usize = 1;
pub(super) const REGISTER_BAR: usize = 0;
/// The number of registers: mask, status, position and doorbell, 32 bits each.
pub(super) const REGISTERS: usize = 4;
/// The register with this device's id.
pub(super) const IV_POSITION: usize = 2;
/// The register that rings: the peer in the upper 16 bits, the vector in the lower ones.
pub(super) const DOORBELL: usize = 3;

/// The offset of the command word in the configuration space. The next two constants are bits of its lower byte.
pub(super) const COMMAND: usize = 4;
pub(super) const COMMAND_MEMORY: u8 = 1 << 1;
pub(super) const COMMAND_MASTER: u8 = 1 << 2;

/// An address range at which the device answers; zero if it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Bar {
    /// Parses a line of the attribute `resource`: first address, last address, flags.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map(number);
        let (start, end) = (numbers.next()??, numbers.next()??);
        if end == 0 { None } else { Some(Self { start, len: (end.checked_sub(start)?).checked_add(1)? }) }
    }
}

/// The number of entries of the MSI-X table; 0 without a table. `None` if too little of the configuration space is readable,
/// or its list of capabilities is a cycle.
pub(crate) fn vectors(configuration: &[u8]) -> Option<u16> {
    const STATUS: usize = 0x06;
    const HAS_LIST: u8 = 1 << 4;
    const LIST: usize = 0x34;
    const MSIX: u8 = 0x11;
    if configuration.get(STATUS)? & HAS_LIST == 0 {
        return Some(0);
    }
    let mut at = usize::from(*configuration.get(LIST)? & !3);
    // Each entry has at least four of the 256 bytes, so a longer list is a cycle.
    for _ in 0..64 {
        if at == 0 {
            return Some(0);
        }
        let entry = configuration.get(at..at + 4)?;
        if entry[0] == MSIX {
            let entries = (u16::from_le_bytes([entry[2], entry[3]]) & 0x7ff) + 1;
            return Some(entries.min(MAX_VECTORS));
        }
        at = usize::from(entry[1] & !3);
    }
    None
}

/// Whether a BAR with an address from the kernel has no address in the device, for example after a reset that the kernel did
/// not initiate, or reads as ones, as a removed device does. False if the BAR cannot be read.
pub(crate) fn lost_its_address(configuration: &[u8], bar: usize) -> bool {
    const BARS: usize = 0x10;
    const FLAGS: u32 = 0xf;
    let at = BARS + 4 * bar;
    let Some(&bytes) = configuration.get(at..).and_then(<[u8]>::first_chunk) else { return false };
    matches!(u32::from_le_bytes(bytes) | FLAGS, FLAGS | u32::MAX)
}

/// Parses a hexadecimal number with 0x, the form in sysfs.
pub(super) fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_attribute_is_a_range() {
        let line = "0x000000fe00000000 0x000000fe003fffff 0x000000000014220c";
        assert_eq!(Bar::parse(line), Some(Bar { start: 0xfe_0000_0000, len: 4 << 20 }));
        for nothing in
            ["0x0000000000000000 0x0000000000000000 0x0000000000000000", "", "0x1", "1 2 3", "0x2 0x0 0x0"]
        {
            assert_eq!(Bar::parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_address_is_lost_when_it_is_zero_or_ones() {
        let mut configuration = vec![0; 64];
        assert!(lost_its_address(&configuration, REGISTER_BAR));
        configuration[0x10..0x14].copy_from_slice(&0xfea0_0000_u32.to_le_bytes());
        assert!(!lost_its_address(&configuration, REGISTER_BAR));
        assert!(lost_its_address(&[0xff; 64], REGISTER_BAR));
        assert!(!lost_its_address(&configuration[..0x12], REGISTER_BAR));
    }

    #[test]
    fn vectors_are_counted_by_the_list_of_capabilities() {
        let mut configuration = vec![0; 256];
        assert_eq!(vectors(&configuration), Some(0));
        configuration[0x06] = 0x10;
        configuration[0x34] = 0x40;
        configuration[0x40..0x44].copy_from_slice(&[0x09, 0x50, 0, 0]);
        configuration[0x50..0x54].copy_from_slice(&[0x11, 0, 1, 0x80]);
        assert_eq!(vectors(&configuration), Some(2));
        // A normal user sees only 64 bytes, which do not contain the list.
        assert_eq!(vectors(&configuration[..64]), None);
        assert_eq!(vectors(&[]), None);
        configuration[0x51] = 0x40;
        configuration[0x50] = 0x05;
        assert_eq!(vectors(&configuration), None, "a list that bites its tail");
    }
}
