// UNSAFETY: bulk accesses to shared bytes end here.
#![expect(unsafe_code, reason = "inline assembly on checked addresses")]

#[cfg(target_arch = "x86")]
use std::arch::x86::__m128i;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i;
use std::arch::{asm, is_x86_feature_detected};

use super::RawWord;

/// From here on the processor's own string instruction is the fastest where vector registers of 32 bytes exist.
const STRING_FROM: usize = 16 * 1024;
/// The same where only registers of 16 bytes exist.
const STRING_FROM_SSE: usize = 1024;

/// Copies between shared and private memory.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline]
pub(in super::super) unsafe fn copy_disjoint(from: *const u8, to: *mut u8, len: usize) {
    if len <= 128 {
        // SAFETY: as the caller promises.
        unsafe { copy_short(from, to, len) };
    } else {
        // SAFETY: as the caller promises.
        unsafe { copy_long(from, to, len) };
    }
}

/// Copies within shared memory; the two may overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes.
pub(in super::super) unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    if from.addr().abs_diff(to.addr()) >= len {
        // SAFETY: as the caller promises; the distance says that they do not overlap.
        unsafe { copy_disjoint(from, to, len) };
    } else if to.addr() < from.addr() {
        // SAFETY: as the caller promises; ascending bytes are right when the target begins first.
        unsafe { ascend(from, to, len) };
    } else {
        // SAFETY: as the caller promises; descending bytes are right when the source begins first.
        unsafe { descend(from, to, len) };
    }
}

/// Sets bytes.
///
/// # Safety
/// `to` is valid for writes of `len` bytes.
#[inline]
pub(in super::super) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    let word = u64::from_ne_bytes([byte; 8]);
    if !(8..=64).contains(&len) {
        // SAFETY: as the caller promises.
        unsafe {
            asm!(
                "rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    for i in (0..len - 8).step_by(8) {
        // SAFETY: i + 8 is below `len`.
        unsafe { u64::write(to.wrapping_add(i), word) };
    }
    // SAFETY: the last 8 of at least 8 bytes.
    unsafe { u64::write(to.wrapping_add(len - 8), word) };
}

/// Up to 128 bytes: from both ends, with what overlaps in the middle copied twice.
///
/// # Safety
/// As for `copy_disjoint`.
#[inline]
unsafe fn copy_short(from: *const u8, to: *mut u8, len: usize) {
    match len {
        0 => {}
        // SAFETY: as the caller promises.
        1 => unsafe { word_ends::<u8>(from, to, len) },
        // SAFETY: as the caller promises.
        2..4 => unsafe { word_ends::<u16>(from, to, len) },
        // SAFETY: as the caller promises.
        4..8 => unsafe { word_ends::<u32>(from, to, len) },
        // SAFETY: as the caller promises.
        8..16 => unsafe { word_ends::<u64>(from, to, len) },
        // SAFETY: as the caller promises.
        16..=32 => unsafe { vector_ends::<1>(from, to, len) },
        // SAFETY: as the caller promises.
        33..=64 => unsafe { vector_ends::<2>(from, to, len) },
        // SAFETY: as the caller promises.
        _ => unsafe { vector_ends::<4>(from, to, len) },
    }
}

/// More than 128 bytes.
///
/// # Safety
/// As for `copy_disjoint`.
unsafe fn copy_long(from: *const u8, to: *mut u8, len: usize) {
    let avx = is_x86_feature_detected!("avx");
    let string_from = if avx { STRING_FROM } else { STRING_FROM_SSE };
    if len >= string_from && is_x86_feature_detected!("ermsb") {
        // The string instruction wants its target aligned.
        let head = 64 - to.addr() % 64;
        // SAFETY: less than `len`.
        unsafe { copy_short(from, to, head) };
        // SAFETY: the rest.
        unsafe { string(from.wrapping_add(head), to.wrapping_add(head), len - head) };
        return;
    }
    let blocks = len / 128;
    if avx {
        // SAFETY: whole blocks inside the range, at least one, and AVX is there.
        unsafe { blocks_avx(from, to, blocks) };
    } else {
        // SAFETY: whole blocks inside the range.
        unsafe { blocks_sse(from, to, blocks * 2) };
    }
    let (from, to) = (from.wrapping_add(len - 128), to.wrapping_add(len - 128));
    // SAFETY: the last 128 bytes; what overlaps is copied twice.
    unsafe { copy_short(from, to, 128) };
}

/// Overlapping ranges, the target beginning before the source.
///
/// # Safety
/// As for `copy_shared`.
unsafe fn ascend(from: *const u8, to: *mut u8, len: usize) {
    let whole = len / 64 * 64;
    // SAFETY: whole blocks inside the range; each is read before it is written.
    unsafe { blocks_sse(from, to, len / 64) };
    // SAFETY: the rest, byte by byte.
    unsafe { string(from.wrapping_add(whole), to.wrapping_add(whole), len - whole) };
}

/// Overlapping ranges, the source beginning before the target.
///
/// # Safety
/// As for `copy_shared`.
unsafe fn descend(from: *const u8, to: *mut u8, len: usize) {
    let rest = len % 64;
    let (mut from, mut to) = (from.wrapping_add(len), to.wrapping_add(len));
    for _ in 0..len / 64 {
        (from, to) = (from.wrapping_sub(64), to.wrapping_sub(64));
        // SAFETY: a whole block inside the range.
        let block = unsafe { read_vectors::<4>(from) };
        // SAFETY: as above; it was read before it is written.
        unsafe { write_vectors(to, block) };
    }
    let (from, to) = (from.wrapping_sub(1), to.wrapping_sub(1));
    // SAFETY: the rest, byte by byte; the direction flag is clear again at the end, as the ABI demands.
    unsafe {
        asm!(
            "std", "rep movsb", "cld",
            inout("rcx") rest => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack)
        );
    }
}

/// Ascending, byte by byte as far as anybody can tell.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes.
#[inline]
unsafe fn string(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Ascending blocks of 64 bytes, each read before it is written.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of so many blocks.
unsafe fn blocks_sse(from: *const u8, to: *mut u8, blocks: usize) {
    for i in 0..blocks {
        // SAFETY: inside the range.
        let block = unsafe { read_vectors::<4>(from.wrapping_add(i * 64)) };
        // SAFETY: inside the range.
        unsafe { write_vectors(to.wrapping_add(i * 64), block) };
    }
}

/// Ascending blocks of 128 bytes, at least one.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of so many blocks; they do not overlap; the processor has AVX.
unsafe fn blocks_avx(from: *const u8, to: *mut u8, blocks: usize) {
    // SAFETY: as the caller promises; vzeroupper clears only registers that a call may change.
    unsafe {
        asm!(
            "2:",
            "vmovups ymm0, [rsi]",
            "vmovups ymm1, [rsi + 32]",
            "vmovups ymm2, [rsi + 64]",
            "vmovups ymm3, [rsi + 96]",
            "vmovups [rdi], ymm0",
            "vmovups [rdi + 32], ymm1",
            "vmovups [rdi + 64], ymm2",
            "vmovups [rdi + 96], ymm3",
            "sub rsi, -128",
            "sub rdi, -128",
            "dec rcx",
            "jnz 2b",
            "vzeroupper",
            inout("rsi") from => _, inout("rdi") to => _, inout("rcx") blocks => _,
            clobber_abi("sysv64"),
            options(nostack)
        );
    }
}

/// One word from each end.
///
/// # Safety
/// As for `copy_disjoint`, with at least one word of bytes.
#[inline(always)]
unsafe fn word_ends<R: RawWord>(from: *const u8, to: *mut u8, len: usize) {
    let last = len - size_of::<R>();
    // SAFETY: the first of at least one.
    let first_word = unsafe { R::read(from) };
    // SAFETY: the last of at least one.
    let last_word = unsafe { R::read(from.wrapping_add(last)) };
    // SAFETY: as for the reads.
    unsafe { R::write(to, first_word) };
    // A word that is both the first and the last is stored once.
    if last != 0 {
        // SAFETY: as for the reads.
        unsafe { R::write(to.wrapping_add(last), last_word) };
    }
}

/// N registers of 16 bytes from each end.
///
/// # Safety
/// As for `copy_disjoint`, with at least N * 16 bytes.
#[inline(always)]
unsafe fn vector_ends<const N: usize>(from: *const u8, to: *mut u8, len: usize) {
    let last = len - N * 16;
    // SAFETY: the first of at least one.
    let first_vectors = unsafe { read_vectors::<N>(from) };
    // SAFETY: the last of at least one.
    let last_vectors = unsafe { read_vectors::<N>(from.wrapping_add(last)) };
    // SAFETY: as for the reads.
    unsafe { write_vectors(to, first_vectors) };
    // SAFETY: as for the reads.
    unsafe { write_vectors(to.wrapping_add(last), last_vectors) };
}

/// # Safety
/// `at` is valid for reads of N * 16 bytes.
#[inline(always)]
unsafe fn read_vectors<const N: usize>(at: *const u8) -> [__m128i; N] {
    std::array::from_fn(|i| {
        let value;
        // SAFETY: as the caller promises.
        unsafe {
            asm!(
                "movups {value}, [{at}]", at = in(reg) at.wrapping_add(i * 16), value = out(xmm_reg) value,
                options(nostack, preserves_flags, readonly)
            );
        }
        value
    })
}

/// # Safety
/// `at` is valid for writes of N * 16 bytes.
#[inline(always)]
unsafe fn write_vectors<const N: usize>(at: *mut u8, values: [__m128i; N]) {
    for (i, value) in values.into_iter().enumerate() {
        // SAFETY: as the caller promises.
        unsafe {
            asm!(
                "movups [{at}], {value}", at = in(reg) at.wrapping_add(i * 16), value = in(xmm_reg) value,
                options(nostack, preserves_flags)
            );
        }
    }
}
