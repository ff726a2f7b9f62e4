// UNSAFETY: the 128-bit compare-exchange has no stable form in Rust.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "inline assembly on a checked address"))]

/// Whether this processor has it. There is no other way to do it: a lock of this process would not bind the others.
pub(in super::super) fn is_supported() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return std::arch::is_x86_feature_detected!("cmpxchg16b");
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    false
}

/// Exchanges 16 bytes if they are `current`; gives what was there.
///
/// # Safety
/// The address is a multiple of 16 and valid for writes of 16 bytes, and the processor supports it.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
pub(in super::super) unsafe fn compare_exchange(at: *mut u8, current: u128, new: u128) -> u128 {
    let (low, high): (u64, u64);
    // SAFETY: as the caller promises. LLVM keeps rbx for itself, so it is saved around the instruction.
    unsafe {
        std::arch::asm!(
            "xchg {rbx}, rbx",
            "lock cmpxchg16b xmmword ptr [rdi]",
            "mov rbx, {rbx}",
            rbx = inout(reg) new as u64 => _, in("rcx") (new >> 64) as u64, in("rdi") at,
            inout("rax") current as u64 => low, inout("rdx") (current >> 64) as u64 => high,
            options(nostack)
        );
    }
    u128::from(high) << 64 | u128::from(low)
}
