//! What this process is.

// UNSAFETY: Windows writes its answers through pointers.
#![expect(unsafe_code, reason = "questions about the own process")]

use std::io;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount, IsWow64Process};

/// How many bits the pointers of drivers have. A 32-bit program runs on a 32-bit system, or in the 32-bit part of a
/// 64-bit one, whose drivers have 64 bits.
pub fn driver_bits() -> io::Result<u32> {
    if cfg!(target_pointer_width = "64") {
        return Ok(64);
    }
    let mut wow64 = 0;
    // SAFETY: writes one number of ours.
    match unsafe { IsWow64Process(this(), &raw mut wow64) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(if wow64 == 0 { 32 } else { 64 }),
    }
}

/// How many handles this process has.
pub fn handles() -> io::Result<u32> {
    let mut count = 0;
    // SAFETY: writes one number of ours.
    match unsafe { GetProcessHandleCount(this(), &raw mut count) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(count),
    }
}

/// Stands for this process and needs no closing.
fn this() -> HANDLE {
    // SAFETY: takes no argument.
    unsafe { GetCurrentProcess() }
}
