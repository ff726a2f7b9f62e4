//! Numbers and structures of virtio-win's IVSHMEM driver. This module does no I/O, so its tests run on every system.
//!
//! A structure has the layout of the program that sends it, with one exception: a 64-bit driver accepts an event only in
//! the 64-bit layout, also from 32-bit programs.

/// The control codes of the driver.
pub mod code {
    /// Returns the peer id of this device, a u16.
    pub const PEER_ID: u32 = 0x22_2000;
    /// Returns the size of the memory in bytes, a u64.
    pub const SIZE: u32 = 0x22_2004;
    /// Takes a cache mode, a u8, and returns a [`Mapped`](super::Mapped).
    pub const MAP: u32 = 0x22_2008;
    /// Removes the mapping.
    pub const UNMAP: u32 = 0x22_200C;
    /// Rings a peer. Takes the peer and the vector, two u16.
    pub const RING: u32 = 0x22_2010;
    /// Registers an event, which the driver sets at each interrupt of a vector.
    pub const REGISTER: u32 = 0x22_2014;
}

/// The GUID of the driver's device interface: {DF576976-569D-4672-95A0-F57E4EA0B210}.
pub const INTERFACE: u128 = 0xDF57_6976_569D_4672_95A0_F57E_4EA0_B210;

/// The number of events that one device can keep, for all its users together.
pub const SLOTS: u16 = 32;

/// Whether this Windows error number means that a device or its driver is gone.
pub fn is_gone(error: u32) -> bool {
    const FILE_NOT_FOUND: u32 = 2;
    const PATH_NOT_FOUND: u32 = 3;
    const BAD_COMMAND: u32 = 22;
    const GEN_FAILURE: u32 = 31;
    const DEV_NOT_EXIST: u32 = 55;
    const NO_SUCH_DEVICE: u32 = 433;
    const OPERATION_ABORTED: u32 = 995;
    const DEVICE_NOT_CONNECTED: u32 = 1167;
    const DEVICE_REMOVED: u32 = 1617;
    [
        FILE_NOT_FOUND,
        PATH_NOT_FOUND,
        BAD_COMMAND,
        GEN_FAILURE,
        DEV_NOT_EXIST,
        NO_SUCH_DEVICE,
        OPERATION_ABORTED,
        DEVICE_NOT_CONNECTED,
        DEVICE_REMOVED,
    ]
    .contains(&error)
}

/// The numbers of the cache modes.
pub mod cache {
    /// Uncached: every access goes to the bus.
    pub const UNCACHED: u8 = 0;
    /// Ordinary memory.
    pub const CACHED: u8 = 1;
    /// The processor combines writes.
    pub const WRITE_COMBINED: u8 = 2;
}

/// The driver's answer to a mapping request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The peer id of this device.
    pub peer: u16,
    /// The size of the memory in bytes.
    pub size: u64,
    /// The address of the first byte.
    pub address: u64,
    /// The number of interrupt vectors; 0 for a device without interrupts.
    pub vectors: u16,
}

/// The length of a [`Mapped`], in bytes, in a program with pointers of this many bits.
pub const fn mapped_len(pointer_bits: u32) -> usize {
    if pointer_bits == 64 { 32 } else { 24 }
}

impl Mapped {
    /// Parses the driver's answer.
    ///
    /// # Panics
    /// If the length of `bytes` is not one of [`mapped_len`].
    pub fn parse(bytes: &[u8]) -> Self {
        let (pointer, address) = match bytes.len() {
            32 => (8, u64::from_le_bytes(part(bytes, 16))),
            24 => (4, u32::from_le_bytes(part(bytes, 16)).into()),
            other => panic!("a map structure of {other} bytes"),
        };
        Self {
            peer: u16::from_le_bytes(part(bytes, 0)),
            size: u64::from_le_bytes(part(bytes, 8)),
            address,
            vectors: u16::from_le_bytes(part(bytes, 16 + pointer)),
        }
    }
}

/// The input of [`code::RING`].
pub fn ring(peer: u16, vector: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&peer.to_le_bytes());
    bytes[2..].copy_from_slice(&vector.to_le_bytes());
    bytes
}

/// The input of [`code::REGISTER`], for a driver with pointers of this many bits. The event stays registered.
pub fn event(vector: u16, handle: u64, driver_bits: u32) -> Vec<u8> {
    let handle = handle.to_le_bytes();
    let pointer = if driver_bits == 64 { 8 } else { 4 };
    // The last field tells the driver whether to remove the event after one interrupt. Zero means no.
    let mut bytes = vec![0; 3 * pointer];
    bytes[..2].copy_from_slice(&vector.to_le_bytes());
    bytes[pointer..2 * pointer].copy_from_slice(&handle[..pointer]);
    bytes
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a part of a structure whose length was looked at")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_in_both_layouts() {
        let mapped = Mapped { peer: 0x0102, size: 0x0304_0000, address: 0x7fff_0000, vectors: 0x20 };
        let mut long = [0xcc; 32];
        long[..2].copy_from_slice(&[2, 1]);
        long[8..16].copy_from_slice(&[0, 0, 4, 3, 0, 0, 0, 0]);
        long[16..24].copy_from_slice(&[0, 0, 0xff, 0x7f, 0, 0, 0, 0]);
        long[24..26].copy_from_slice(&[0x20, 0]);
        assert_eq!(Mapped::parse(&long), mapped);
        let mut short = [0xcc; 24];
        short[..16].copy_from_slice(&long[..16]);
        short[16..20].copy_from_slice(&[0, 0, 0xff, 0x7f]);
        short[20..22].copy_from_slice(&[0x20, 0]);
        assert_eq!(Mapped::parse(&short), mapped);
        assert_eq!((mapped_len(64), mapped_len(32)), (32, 24));
    }

    #[test]
    fn an_event_has_the_layout_of_its_driver() {
        let long = event(0x0102, 0x1_0000_0304, 64);
        assert_eq!(long, [2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let short = event(0x0102, 0x0304, 32);
        assert_eq!(short, [2, 1, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_ring_is_peer_and_vector() {
        assert_eq!(ring(0x0102, 0x0304), [2, 1, 4, 3]);
    }

    #[test]
    fn codes_are_those_of_the_windows_macro() {
        // CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + n, METHOD_BUFFERED, FILE_ANY_ACCESS)
        let all = [code::PEER_ID, code::SIZE, code::MAP, code::UNMAP, code::RING, code::REGISTER];
        for (n, code) in (0x800_u32..).zip(all) {
            assert_eq!(code, 0x22 << 16 | n << 2);
        }
    }
}
