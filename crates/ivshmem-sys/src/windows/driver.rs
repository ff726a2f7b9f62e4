//! An open handle of the driver, and the mapping that the driver makes for it.

// UNSAFETY: the control code determines what the driver reads and writes; the driver chooses the address of a mapping.
#![expect(unsafe_code, reason = "DeviceIoControl and the address it gives")]

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use windows_sys::Win32::System::IO::DeviceIoControl;

use super::contract::{self, Mapped, code};
use super::process;

/// An open device. When it is dropped, the driver removes its mapping and its events.
#[derive(Debug)]
pub struct Driver {
    handle: OwnedHandle,
    /// The number of bits of the driver's pointers.
    bits: u32,
}

impl Driver {
    /// Opens a device interface by its path.
    pub fn open(path: &OsStr) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { handle: file.into(), bits: process::driver_bits()? })
    }

    /// The peer id of this device.
    pub fn peer_id(&self) -> io::Result<u16> {
        let mut bytes = [0; 2];
        self.control(code::PEER_ID, &[], &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// The size of the memory in bytes.
    pub fn size(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.control(code::SIZE, &[], &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Maps the memory into this process. `cache` is a number of [`contract::cache`].
    pub fn map(self: &Arc<Self>, cache: u8) -> io::Result<(Mapping, Mapped)> {
        let mut bytes = [0; contract::mapped_len(usize::BITS)];
        self.control(code::MAP, &[cache], &mut bytes)?;
        let mapped = Mapped::parse(&bytes);
        match place(&mapped) {
            Some((start, len)) => Ok((Mapping { driver: Arc::clone(self), start, len }, mapped)),
            None => {
                let _ = self.control(code::UNMAP, &[], &mut []);
                Err(io::Error::new(io::ErrorKind::InvalidData, "the driver gave no usable address"))
            }
        }
    }

    /// Raises an interrupt. The driver allows it only while this handle has mapped the memory.
    pub fn ring(&self, peer: u16, vector: u16) -> io::Result<()> {
        self.control(code::RING, &contract::ring(peer, vector), &mut [])
    }

    /// Clears `event`, and makes the driver set it at each interrupt of the vector from now on. Only dropping the `Driver`
    /// ends this. The driver allows it only while this handle has mapped the memory.
    pub fn register(&self, vector: u16, event: BorrowedHandle<'_>) -> io::Result<()> {
        let handle = event.as_raw_handle().addr() as u64;
        self.control(code::REGISTER, &contract::event(vector, handle, self.bits), &mut [])
    }

    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> io::Result<()> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("structures have a few bytes");
        let (input_len, output_len, mut given) = (len(input), len(output), 0);
        let handle = self.handle.as_raw_handle();
        // SAFETY: the driver copies from and to these buffers, within the given lengths; the call is synchronous.
        let done = unsafe {
            DeviceIoControl(
                handle,
                code,
                input.as_ptr().cast(),
                input_len,
                output.as_mut_ptr().cast(),
                output_len,
                &raw mut given,
                null_mut(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        if given != output_len {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the driver gave less than it should"));
        }
        Ok(())
    }
}

/// Memory that the driver mapped for this process. Dropping it removes the mapping.
#[derive(Debug)]
pub struct Mapping {
    driver: Arc<Driver>,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared Mapping only returns its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Closing the handle would suffice, but other owners may keep it open. A device that is gone has no mapping left.
        let _ = self.driver.control(code::UNMAP, &[], &mut []);
    }
}

/// The address and length of a mapping, if this process can address all of it.
fn place(mapped: &Mapped) -> Option<(NonNull<u8>, usize)> {
    let len = isize::try_from(mapped.size).ok()?.unsigned_abs();
    let address = usize::try_from(mapped.address).ok()?;
    let end = address.checked_add(len)?;
    let start = NonNull::new(std::ptr::with_exposed_provenance_mut(address))?;
    (len > 0 && end > address).then_some((start, len))
}
