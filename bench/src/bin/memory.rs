//! The cost of the checks and the assembly of `Memory`, compared with bare pointers, `memcpy` and the standard library's
//! atomics.
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]
#![expect(unsafe_code, reason = "the baselines are raw pointers")]
// UNSAFETY: the figures are compared with a baseline without checks.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::time::Instant;

use ivshmem::region::Memory;
use ivshmem_bench::{Limit, Report, median, pin};

const ROUNDS: usize = 21;
const TURNS: usize = 6;

fn main() -> ExitCode {
    pin(1.min(std::thread::available_parallelism().map_or(0, |n| n.get() - 1)));
    let mut report = Report::default();
    dependent_loads(&mut report);
    copies(&mut report);
    atomics();
    report.exit_code()
}

/// Each load returns the address of the next, so the processor cannot overlap them: the ratio shows the whole cost of an
/// access.
fn dependent_loads(report: &mut Report) {
    const STEPS: u32 = 100_000;
    for (name, words) in [("in the first-level cache", 2_048_u64), ("in the second-level cache", 64 * 1024)] {
        let memory = Memory::heap(words * 8).expect("enough memory for a bench");
        for (at, next) in ring(words) {
            memory.write_word(at * 8, next * 8).expect("inside");
        }
        let base = memory.as_ptr();
        let checked = || {
            let mut at = 0_u64;
            for _ in 0..STEPS {
                at = memory.read_word(at).expect("inside");
            }
            at
        };
        let raw = || {
            let mut at = 0_u64;
            for _ in 0..STEPS {
                let place = base.wrapping_add(usize::try_from(at).expect("64 bits")).cast::<u64>();
                // SAFETY: the ring leads only to aligned words inside the memory.
                at = unsafe { place.read_volatile() };
            }
            at
        };
        let acquired = || {
            let mut at = 0_u64;
            for _ in 0..STEPS {
                at = memory.load(at, Acquire).expect("inside");
            }
            at
        };
        let ratios = rounds(1, checked, raw);
        report.goal(
            &format!("dependent loads {name}, time compared with raw pointers"),
            ratios,
            Limit::AtMost(1.05),
        );
        let ratios = rounds(1, acquired, raw);
        report.goal(&format!("dependent acquire loads {name}, same"), ratios, Limit::AtMost(1.05));
    }
}

/// A single cycle through all words, in an order that no prefetcher predicts.
fn ring(words: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut order: Vec<u64> = (0..words).collect();
    let mut seed = 88_172_645_463_325_252_u64;
    for i in (1..order.len()).rev() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        order.swap(i, usize::try_from(seed % (i as u64 + 1)).expect("small"));
    }
    let next = order.clone().into_iter().cycle().skip(1);
    order.into_iter().zip(next)
}

fn copies(report: &mut Report) {
    const LARGEST: usize = 64 << 20;
    let memory = Memory::heap(LARGEST as u64 + 4096).expect("enough memory for a bench");
    let base = memory.as_ptr();
    let mut private = vec![1_u8; LARGEST + 4096];
    memory.fill(0, 1, memory.len()).expect("inside");
    for len in [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, LARGEST]
    {
        let times = u32::try_from((2 << 20) / len).expect("small").clamp(1, 20_000);
        let bytes = private.as_mut_ptr().wrapping_add(9);
        for (place, from) in [("", 64_u8), (", unaligned", 67)] {
            let read = || {
                // SAFETY: inside the vector, to which there is no other reference.
                let bytes = unsafe { std::slice::from_raw_parts_mut(black_box(bytes), len) };
                memory.read(black_box(u64::from(from)), bytes).expect("inside")
            };
            // SAFETY: inside both, which are two allocations.
            let bare = || unsafe {
                black_box(bytes)
                    .copy_from_nonoverlapping(base.wrapping_add(black_box(usize::from(from))), len)
            };
            judge(
                report,
                &format!("read of {}{place}, rate compared with memcpy", size(len)),
                len,
                rounds(times, bare, read),
            );
            let write = || {
                // SAFETY: inside the vector, to which there is no other reference.
                let bytes = unsafe { std::slice::from_raw_parts(black_box(bytes), len) };
                memory.write(black_box(u64::from(from)), bytes).expect("inside")
            };
            // SAFETY: inside both, which are two allocations.
            let bare = || unsafe {
                black_box(bytes).copy_to_nonoverlapping(base.wrapping_add(black_box(usize::from(from))), len)
            };
            judge(
                report,
                &format!("write of {}{place}, rate compared with memcpy", size(len)),
                len,
                rounds(times, bare, write),
            );
        }
        if len <= 1 << 20 {
            let copy = || memory.copy_to(black_box(0), &memory, black_box(40), len as u64).expect("inside");
            // SAFETY: inside the memory.
            let bare = || unsafe { black_box(base).copy_to(black_box(base).wrapping_add(40), len) };
            print(
                &format!("copy_to of {} over itself, rate compared with memmove", size(len)),
                rounds(times, bare, copy),
            );
            let fill = || memory.fill(black_box(64), 1, len as u64).expect("inside");
            // SAFETY: inside the memory.
            let bare = || unsafe { black_box(base).wrapping_add(64).write_bytes(black_box(1), len) };
            print(&format!("fill of {}, rate compared with memset", size(len)), rounds(times, bare, fill));
        }
    }
}

/// Checks a goal from 4 KiB on; prints only the figure below that.
fn judge(report: &mut Report, name: &str, len: usize, ratios: Vec<f64>) {
    if len >= 4 << 10 { report.goal(name, ratios, Limit::AtLeast(0.95)) } else { print(name, ratios) }
}

fn atomics() {
    let memory = Memory::heap(4096).expect("enough memory for a bench");
    let bare = AtomicU64::new(0);
    let bare = black_box(&bare);
    const TIMES: u32 = 20_000;
    macro_rules! compare {
        ($($name:literal: $mine:expr, $bare:expr;)*) => {$(
            let ratios = rounds(TIMES, || $mine.expect("inside"), || $bare);
            print(concat!($name, ", time compared with the standard library's"), ratios);
        )*};
    }
    compare! {
        "relaxed load": memory.load::<u64>(black_box(64), Relaxed), bare.load(Relaxed);
        "sequentially consistent store": memory.store(black_box(64), 1_u64, SeqCst), bare.store(1, SeqCst);
        "swap": memory.swap(black_box(64), 1_u64, AcqRel), bare.swap(1, AcqRel);
        "fetch_add": memory.fetch_add(black_box(64), 1_u64, AcqRel), bare.fetch_add(1, AcqRel);
        "fetch_or": memory.fetch_or(black_box(64), 1_u64, AcqRel), bare.fetch_or(1, AcqRel);
        "compare_exchange": memory.compare_exchange(black_box(64), 1_u64, 1, AcqRel, Acquire),
            bare.compare_exchange(1, 1, AcqRel, Acquire);
        "unaligned fetch_add": memory.fetch_add(black_box(67), 1_u64, AcqRel), bare.fetch_add(1, AcqRel);
    }
}

/// The time of `first` divided by the time of `second`, once per round. Each time is the best of several turns, because
/// another program on the machine slows down only some of the turns.
fn rounds<A, B>(times: u32, mut first: impl FnMut() -> A, mut second: impl FnMut() -> B) -> Vec<f64> {
    let mut round = || {
        let mut best = (f64::MAX, f64::MAX);
        for turn in 0..TURNS {
            // Alternates the order of the two.
            for which in [turn % 2, 1 - turn % 2] {
                if which == 0 {
                    best.0 = best.0.min(time(times, &mut first));
                } else {
                    best.1 = best.1.min(time(times, &mut second));
                }
            }
        }
        best.0 / best.1
    };
    round();
    (0..ROUNDS).map(|_| round()).collect()
}

fn time<T>(times: u32, mut work: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        black_box(work());
    }
    start.elapsed().as_secs_f64()
}

fn print(name: &str, ratios: Vec<f64>) {
    println!("{name}: {:.3}", median(ratios));
}

fn size(len: usize) -> String {
    match len {
        0..1024 => format!("{len} B"),
        1024..0x10_0000 => format!("{} KiB", len >> 10),
        _ => format!("{} MiB", len >> 20),
    }
}
