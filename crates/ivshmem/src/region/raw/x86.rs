// UNSAFETY: every access to shared bytes ends here, as one instruction.
#![expect(unsafe_code, reason = "inline assembly on checked addresses")]

use std::arch::asm;

use super::RawWord;

/// Copies to private memory.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline]
pub(in super::super) unsafe fn copy_out(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { forward(from, to, len) }
}

/// Copies from private memory.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline]
pub(in super::super) unsafe fn copy_in(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { forward(from, to, len) }
}

/// Copies within shared memory; the two may overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes.
pub(in super::super) unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    // Ascending bytes are right unless the target begins inside the source.
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: as the caller promises.
        unsafe { forward(from, to, len) }
    } else {
        let (from, to) = (from.wrapping_add(len).wrapping_sub(1), to.wrapping_add(len).wrapping_sub(1));
        // SAFETY: as the caller promises; the direction flag is clear again at the end, as the ABI demands.
        unsafe {
            asm!(
                "std", "rep movsb", "cld",
                inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
                options(nostack)
            );
        }
    }
}

/// Sets bytes.
///
/// # Safety
/// `to` is valid for writes of `len` bytes.
pub(in super::super) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") len => _, inout("rdi") to => _, in("al") byte,
            options(nostack, preserves_flags)
        );
    }
}

/// # Safety
/// As for `copy_out`.
unsafe fn forward(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
}

macro_rules! raw_words {
    ($($raw:ty, $len:literal, $class:ident, $load:literal, $store:literal;)*) => {$(
        impl RawWord for $raw {
            const LEN: u64 = $len;

            #[inline(always)]
            fn le(self) -> Self {
                self.to_le()
            }

            #[inline(always)]
            fn be(self) -> Self {
                self.to_be()
            }

            #[inline(always)]
            unsafe fn read(from: *const u8) -> Self {
                let value;
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        $load, from = in(reg) from, value = out($class) value,
                        options(nostack, preserves_flags, readonly)
                    );
                }
                value
            }

            #[inline(always)]
            unsafe fn write(to: *mut u8, value: Self) {
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        $store, to = in(reg) to, value = in($class) value,
                        options(nostack, preserves_flags)
                    );
                }
            }
        }
    )*};
}
raw_words! {
    u8, 1, reg_byte, "mov {value}, byte ptr [{from}]", "mov byte ptr [{to}], {value}";
    u16, 2, reg, "mov {value:x}, word ptr [{from}]", "mov word ptr [{to}], {value:x}";
    u32, 4, reg, "mov {value:e}, dword ptr [{from}]", "mov dword ptr [{to}], {value:e}";
}
#[cfg(target_arch = "x86_64")]
raw_words! {
    u64, 8, reg, "mov {value}, qword ptr [{from}]", "mov qword ptr [{to}], {value}";
}
