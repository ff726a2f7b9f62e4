// UNSAFETY: this file implements the bulk accesses to shared bytes.
#![expect(unsafe_code, reason = "calls of the C library's copies from inline assembly")]

// The C library's copy is the fastest on every processor, because it selects an implementation for each of them; string
// instructions and hand-written vector loops reach 0.7 to 1.0 of its speed. But a call that the compiler sees must not
// race with the peers, and the compiler may merge, split or omit it. Therefore the call is in an asm block, which the
// compiler treats only as "some bytes were read or written".

use std::arch::asm;

/// Copies between shared and private memory.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline]
pub(in super::super::super) unsafe fn copy_disjoint(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { call(memcpy as *const (), to, from.addr(), len) };
}

/// Copies within shared memory; source and target may overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes.
#[inline]
pub(in super::super::super) unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { call(memmove as *const (), to, from.addr(), len) };
}

/// Sets `len` bytes to `byte`.
///
/// # Safety
/// `to` is valid for writes of `len` bytes.
#[inline]
pub(in super::super::super) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { call(memset as *const (), to, usize::from(byte), len) };
}

// The core library needs these three functions, so every platform has them.
unsafe extern "C" {
    fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8;
}

/// # Safety
/// `function` is one of the three above, and the arguments satisfy its contract.
#[inline(always)]
unsafe fn call(function: *const (), to: *mut u8, argument: usize, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(windows)))]
    // SAFETY: the System V calling convention; without `nostack` the stack is aligned for a call.
    unsafe {
        asm!(
            "call {function}",
            function = in(reg) function, in("rdi") to, in("rsi") argument, in("rdx") len,
            clobber_abi("C")
        );
    }
    #[cfg(all(target_arch = "x86_64", windows))]
    // SAFETY: Microsoft's calling convention, with 32 bytes of stack for the callee; without `nostack` the stack is aligned.
    unsafe {
        asm!(
            "sub rsp, 32", "call {function}", "add rsp, 32",
            function = in(reg) function, in("rcx") to, in("rdx") argument, in("r8") len,
            clobber_abi("C")
        );
    }
    #[cfg(target_arch = "x86")]
    // SAFETY: the 32-bit C calling convention; without `nostack` the stack is aligned, and pushing 16 bytes keeps it so.
    unsafe {
        asm!(
            "sub esp, 4", "push edi", "push edx", "push ecx", "call eax", "add esp, 16",
            in("eax") function, in("ecx") to, in("edx") argument, in("edi") len,
            clobber_abi("C")
        );
    }
}
