//! Properties of this process.

// UNSAFETY: Windows writes its results through pointers.
#![expect(unsafe_code, reason = "questions about the own process")]

use std::io;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount, IsWow64Process};

/// The number of bits of the pointers of drivers. A 32-bit program runs on a 32-bit system, or in the 32-bit environment of
/// a 64-bit one, whose drivers use 64 bits.
pub fn driver_bits() -> io::Result<u32> {
    if cfg!(target_pointer_width = "64") {
        return Ok(64);
    }
    let mut wow64 = 0;
    // SAFETY: Windows writes one integer, which this function owns.
    match unsafe { IsWow64Process(this(), &raw mut wow64) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(if wow64 == 0 { 32 } else { 64 }),
    }
}

/// The number of handles of this process.
pub fn handles() -> io::Result<u32> {
    let mut count = 0;
    // SAFETY: Windows writes one integer, which this function owns.
    match unsafe { GetProcessHandleCount(this(), &raw mut count) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(count),
    }
}

/// A pseudo handle of this process. It need not be closed.
fn this() -> HANDLE {
    // SAFETY: takes no argument.
    unsafe { GetCurrentProcess() }
}
