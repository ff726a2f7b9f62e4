// UNSAFETY: rustix's ioctl is unsafe, because the opcode determines what the kernel reads and writes.
#![expect(unsafe_code, reason = "ioctl opcodes that rustix does not wrap")]

use std::io;
use std::os::fd::BorrowedFd;

use rustix::ioctl::{Getter, ioctl};

/// SIOCOUTQ of asm-generic/sockios.h (the same number as TIOCOUTQ).
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// SIOCINQ of asm-generic/sockios.h (the same number as FIONREAD).
const SIOCINQ: rustix::ioctl::Opcode = 0x541b;

/// The number of bytes that a socket has received and nothing has read yet.
pub(super) fn inq(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: SIOCINQ writes exactly one C int, for which this Getter has room.
    let getter = unsafe { Getter::<SIOCINQ, i32>::new() };
    // SAFETY: the opcode has no effect on memory beyond the Getter's own output.
    let bytes = unsafe { ioctl(socket, getter) }?;
    Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// The bytes of kernel memory that data sent on a socket and not yet received occupy.
pub(super) fn outq(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: SIOCOUTQ writes exactly one C int, for which this Getter has room.
    let getter = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the opcode has no effect on memory beyond the Getter's own output.
    let bytes = unsafe { ioctl(socket, getter) }?;
    Ok(u32::try_from(bytes).unwrap_or(0))
}
