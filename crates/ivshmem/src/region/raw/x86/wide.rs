// UNSAFETY: the 128-bit compare-exchange has no stable form in Rust.
#![expect(unsafe_code, reason = "inline assembly on a checked address")]

use std::arch::{asm, is_x86_feature_detected};

/// Whether this processor can exchange 16 bytes. There is no substitute: other processes would not take a lock of this
/// process.
pub(in super::super::super) fn supports_128bit_compare_exchange() -> bool {
    is_x86_feature_detected!("cmpxchg16b")
}

/// Replaces 16 bytes with `new` if they are `current`; returns the previous bytes. `None` if the processor cannot.
///
/// # Safety
/// The address is a multiple of 16 and valid for writes of 16 bytes.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
pub(in super::super::super) unsafe fn compare_exchange_128(
    at: *mut u8,
    current: u128,
    new: u128,
) -> Option<u128> {
    if !supports_128bit_compare_exchange() {
        return None;
    }
    let (low, high): (u64, u64);
    // SAFETY: as the caller promises. LLVM reserves rbx, so the block saves it around the instruction.
    unsafe {
        asm!(
            "xchg {rbx}, rbx",
            "lock cmpxchg16b xmmword ptr [rdi]",
            "mov rbx, {rbx}",
            rbx = inout(reg) new as u64 => _, in("rcx") (new >> 64) as u64, in("rdi") at,
            inout("rax") current as u64 => low, inout("rdx") (current >> 64) as u64 => high,
            options(nostack)
        );
    }
    Some(u128::from(high) << 64 | u128::from(low))
}
