// UNSAFETY: this file implements every access to a shared word as one instruction.
#![expect(unsafe_code, reason = "inline assembly on checked addresses")]

mod copy;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::arch::asm;
#[cfg(target_arch = "x86")]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

pub(in super::super) use copy::{copy_disjoint as copy_in, copy_disjoint as copy_out, copy_shared, fill};
#[cfg(target_arch = "x86_64")]
pub(in super::super) use wide::{compare_exchange_128, supports_128bit_compare_exchange};

use super::RawWord;

// A base register of class `reg_abcd` is never r13 or rbp: those need a displacement, and with one a load takes five
// cycles instead of four on some processors.
//
// Only a sequentially consistent store costs the processor anything: all loads acquire, all stores release, and every
// locked instruction is a full fence. For the compiler, an asm block without `readonly` is a fence, too.

/// Orders every earlier access before every later one, and empties the write-combining buffers.
pub(in super::super) fn fence() {
    // SAFETY: the instruction accesses no memory.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) };
}

macro_rules! raw_words {
    ($($raw:ty: $len:literal, $class:ident, $old:tt, $width:literal, $value:literal;)*) => {$(
        impl RawWord for $raw {
            const LEN: u64 = $len;
            const ALIGN: usize = 1;
            const ZERO: Self = 0;

            #[inline(always)]
            fn le(self) -> Self {
                self.to_le()
            }

            #[inline(always)]
            fn be(self) -> Self {
                self.to_be()
            }

            #[inline(always)]
            fn negated(self) -> Self {
                self.wrapping_neg()
            }

            // Every processor accesses bytes within an aligned quadword at once; only some do so beyond it.
            #[inline(always)]
            fn is_single(at: *const u8) -> bool {
                at.addr() % 8 < 9 - $len
            }

            #[inline(always)]
            unsafe fn read(start: *const u8, offset: usize) -> Self {
                let value;
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        concat!("mov ", $value, ", ", $width, " ptr [{start} + {offset}]"),
                        start = in(reg_abcd) start, offset = in(reg) offset, value = out($class) value,
                        options(nostack, preserves_flags, readonly)
                    );
                }
                value
            }

            #[inline(always)]
            unsafe fn write(at: *mut u8, value: Self) {
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        concat!("mov ", $width, " ptr [{at}], ", $value), at = in(reg) at, value = in($class) value,
                        options(nostack, preserves_flags)
                    );
                }
            }

            #[inline(always)]
            unsafe fn load(start: *const u8, offset: usize, _order: Ordering) -> Self {
                let value;
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        concat!("mov ", $value, ", ", $width, " ptr [{start} + {offset}]"),
                        start = in(reg_abcd) start, offset = in(reg) offset, value = out($class) value,
                        options(nostack, preserves_flags)
                    );
                }
                value
            }

            #[inline(always)]
            unsafe fn store(at: *mut u8, value: Self, order: Ordering) {
                if order == Ordering::SeqCst {
                    // SAFETY: as the caller promises.
                    unsafe { Self::swap(at, value, order) };
                } else {
                    // SAFETY: as the caller promises.
                    unsafe { Self::write(at, value) };
                }
            }

            #[inline(always)]
            unsafe fn swap(at: *mut u8, mut value: Self, _order: Ordering) -> Self {
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        concat!("xchg ", $width, " ptr [{at}], ", $value), at = in(reg) at, value = inout($class) value,
                        options(nostack, preserves_flags)
                    );
                }
                value
            }

            #[inline(always)]
            unsafe fn compare_exchange(
                at: *mut u8,
                current: Self,
                new: Self,
                _orders: (Ordering, Ordering),
            ) -> Result<Self, Self> {
                let old;
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        concat!("lock cmpxchg ", $width, " ptr [{at}], ", $value),
                        at = in(reg) at, value = in($class) new, inout($old) current => old,
                        options(nostack)
                    );
                }
                if old == current { Ok(old) } else { Err(old) }
            }

            #[inline(always)]
            unsafe fn fetch_add(at: *mut u8, mut value: Self, _order: Ordering) -> Self {
                // SAFETY: as the caller promises.
                unsafe {
                    asm!(
                        concat!("lock xadd ", $width, " ptr [{at}], ", $value), at = in(reg) at, value = inout($class) value,
                        options(nostack)
                    );
                }
                value
            }
        }
    )*};
}
raw_words! {
    u8: 1, reg_byte, "al", "byte", "{value}";
    u16: 2, reg, "ax", "word", "{value:x}";
    u32: 4, reg, "eax", "dword", "{value:e}";
}
#[cfg(target_arch = "x86_64")]
raw_words! { u64: 8, reg, "rax", "qword", "{value:r}"; }

#[cfg(target_arch = "x86")]
impl RawWord for u64 {
    std_atomics!(AtomicU64);

    const LEN: u64 = 8;
    const ZERO: Self = 0;

    fn le(self) -> Self {
        self.to_le()
    }

    fn be(self) -> Self {
        self.to_be()
    }

    fn negated(self) -> Self {
        self.wrapping_neg()
    }

    unsafe fn read(start: *const u8, offset: usize) -> Self {
        let value;
        // SAFETY: as the caller promises.
        unsafe {
            asm!(
                "movq {value}, qword ptr [{start} + {offset}]",
                start = in(reg_abcd) start, offset = in(reg) offset, value = out(xmm_reg) value,
                options(nostack, preserves_flags, readonly)
            );
        }
        value
    }

    unsafe fn write(at: *mut u8, value: Self) {
        // SAFETY: as the caller promises.
        unsafe {
            asm!(
                "movq qword ptr [{at}], {value}", at = in(reg) at, value = in(xmm_reg) value,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Whether this processor can exchange 16 bytes: no processor can in 32-bit programs.
#[cfg(target_arch = "x86")]
pub(in super::super) fn supports_128bit_compare_exchange() -> bool {
    false
}

/// Exchanges nothing.
///
/// # Safety
/// There is no condition.
#[cfg(target_arch = "x86")]
pub(in super::super) unsafe fn compare_exchange_128(
    _at: *mut u8,
    _current: u128,
    _new: u128,
) -> Option<u128> {
    None
}
