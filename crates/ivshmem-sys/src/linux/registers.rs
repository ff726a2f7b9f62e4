//! Registers of a PCI device.
// UNSAFETY: the registers of a device are accessed at addresses in a mapping.
#![expect(unsafe_code, reason = "volatile accesses to registers")]

use std::io;
use std::os::fd::AsFd;

use super::mapping::Mapping;

/// The first registers of a device, 32 bits each. Every access is one access on the bus.
#[derive(Debug)]
pub struct Registers {
    mapping: Mapping,
    /// The offset of the first register in the mapping, in bytes: a multiple of 4.
    start: usize,
    count: usize,
}

impl Registers {
    /// Maps the page that contains the registers. `start` is the offset of the first one in the page, in bytes.
    ///
    /// # Panics
    /// If the registers are not all in the page, or `start` is not a multiple of 4.
    pub fn new(bar: &impl AsFd, start: usize, count: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        assert!(start.is_multiple_of(4) && start + count * 4 <= page, "registers outside their page");
        Ok(Self { mapping: Mapping::new(bar, 0, page, false)?, start, count })
    }

    /// Reads register `index`, counted from 0.
    pub fn read(&self, index: usize) -> u32 {
        // SAFETY: aligned and inside a mapping that lives as long as this; no reference to it exists.
        u32::from_le(unsafe { self.at(index).read_volatile() })
    }

    /// Writes register `index`, counted from 0.
    pub fn write(&self, index: usize, value: u32) {
        // SAFETY: as above.
        unsafe { self.at(index).write_volatile(value.to_le()) };
    }

    fn at(&self, index: usize) -> *mut u32 {
        assert!(index < self.count, "register {index} of {}", self.count);
        self.mapping.start().as_ptr().wrapping_add(self.start + index * 4).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_begin_where_they_are_said_to() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let (all, some) = (Registers::new(&file, 0, 1024).unwrap(), Registers::new(&file, 0x100, 4).unwrap());
        some.write(3, 0x0102_0304);
        assert_eq!(all.read(0x40 + 3), 0x0102_0304);
        all.write(0x40, 7);
        assert_eq!(some.read(0), 7);
    }
}
