//! Numbers and structures of virtio-win's IVSHMEM driver. No I/O, so they are tested on every system.
//!
//! A structure has the layout of the program that sends it, with one exception: a 64-bit driver takes an event only in
//! the 64-bit layout, of 32-bit programs, too.

/// The control codes.
pub mod code {
    /// Gives the id by which others ring this device, a u16.
    pub const PEER_ID: u32 = 0x22_2000;
    /// Gives the size of the memory in bytes, a u64.
    pub const SIZE: u32 = 0x22_2004;
    /// Takes a cache mode, a u8, and gives a [`Mapped`](super::Mapped).
    pub const MAP: u32 = 0x22_2008;
    /// Ends the mapping.
    pub const UNMAP: u32 = 0x22_200C;
    /// Takes a peer and a vector, two u16.
    pub const RING: u32 = 0x22_2010;
    /// Takes an event that is set at each interrupt of a vector.
    pub const REGISTER: u32 = 0x22_2014;
}

/// Identifies the driver's devices: {DF576976-569D-4672-95A0-F57E4EA0B210}.
pub const INTERFACE: u128 = 0xDF57_6976_569D_4672_95A0_F57E_4EA0_B210;

/// Events that one device keeps, of all its users together.
pub const SLOTS: u16 = 32;

/// Whether this error number of Windows says that a device, or its driver, is not there any more.
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

/// What stands for a cache mode.
pub mod cache {
    /// Every access goes to the bus.
    pub const UNCACHED: u8 = 0;
    /// Ordinary memory.
    pub const CACHED: u8 = 1;
    /// Writes are gathered.
    pub const WRITE_COMBINED: u8 = 2;
}

/// What a mapping gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The device's own id.
    pub peer: u16,
    /// Bytes of memory.
    pub size: u64,
    /// Where they begin.
    pub address: u64,
    /// Interrupt vectors; 0 for memory only.
    pub vectors: u16,
}

/// The bytes of a [`Mapped`] in a program whose pointers have so many bits.
pub const fn mapped_len(pointer_bits: u32) -> usize {
    if pointer_bits == 64 { 32 } else { 24 }
}

impl Mapped {
    /// Reads what a driver filled in.
    ///
    /// # Panics
    /// When `bytes` has another length than one of [`mapped_len`].
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

/// What [`code::RING`] takes.
pub fn ring(peer: u16, vector: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&peer.to_le_bytes());
    bytes[2..].copy_from_slice(&vector.to_le_bytes());
    bytes
}

/// What [`code::REGISTER`] takes of a driver whose pointers have so many bits: an event that stays registered.
pub fn event(vector: u16, handle: u64, driver_bits: u32) -> Vec<u8> {
    let handle = handle.to_le_bytes();
    let pointer = if driver_bits == 64 { 8 } else { 4 };
    // The last field, at three times a pointer's size, says whether the event is meant for one interrupt only.
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
