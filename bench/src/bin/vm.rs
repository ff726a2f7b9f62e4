//! A device of a Linux guest: round trips by interrupt and by polling, and bulk copies, compared with loops over the same
//! eventfds, registers and mapping without this library.
//!
//! `scripts/bench vm`
//!
//! The program on the host boots a guest, runs this same program in it once for each table, and answers it. Under emulation
//! the times are those of the emulator; only the ratio of two loops in the same guest is meaningful.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is for people to look at")]
#![expect(unsafe_code, reason = "the baselines are raw pointers")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has failed")]
// UNSAFETY: the figures are compared with a baseline without checks.

use std::hint::spin_loop;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, fence};
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem_bench::{Limit, Report, median};
use ivshmem_vmtest::{Accelerator, Ending, Guest, Packages, Program, Stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap};

const ROUNDS: usize = 21;
const GOAL: Limit = Limit::AtMost(1.2);
/// Offsets that the two sides of the polling loop write, each in a separate cache line.
const PING: u64 = 0;
const PONG: u64 = 128;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => host(),
        ["interrupts", peer] => interrupts(PeerId(peer.parse().unwrap())),
        ["polling", mode] => polling(mode),
        ["copies", mode] => copies(mode),
        _ => panic!("usage: vm"),
    }
}

/// Boots the guest and answers its interrupts and writes.
fn host() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let _server = ivshmem_server::Server::builder(&socket).size(4 << 20).vectors(2).start().unwrap();
    let device = ivshmem::doorbell(&socket).vectors(2).connect().unwrap();
    let accelerator = Packages::find().and_then(|packages| Accelerator::choose(&packages));
    let own = std::env::current_exe().unwrap();
    let guest = match Guest::builder("bench").doorbell(&socket, 2).program(own).boot() {
        Ok(guest) => guest,
        Err(error) => {
            eprintln!("no guest to measure in: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("  a guest by {:?}; all times are the guest's", accelerator.unwrap());
    let own_id = device.own_id().unwrap().to_string();
    let mut missed = false;
    missed |= answering(|| answer_interrupts(&device), || !run(&guest, &["interrupts", &own_id]));
    for mode in ["wc", "uncached"] {
        missed |= answering(|| answer_polling(&device), || !run(&guest, &["polling", mode]));
        missed |= !run(&guest, &["copies", mode]);
    }
    guest.power_off().unwrap();
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs this program in the guest and prints its output. Returns whether all goals were met.
fn run(guest: &Guest, words: &[&str]) -> bool {
    let program = Program::new("/bin/vm").args(words.iter().copied()).limit(Duration::from_secs(300));
    let ending = guest.spawn(program).unwrap().watch(|stream, bytes| {
        let text = String::from_utf8_lossy(bytes);
        if stream == Stream::Out { print!("{text}") } else { eprint!("{text}") }
    });
    match ending.unwrap() {
        Ending::Status(status @ (0 | 1)) => status == 0,
        ending => panic!("{words:?} ended with {ending:?}"),
    }
}

static DONE: AtomicBool = AtomicBool::new(false);

/// Runs both concurrently until `measure` has finished.
fn answering<T>(answer: impl FnOnce() + Send, measure: impl FnOnce() -> T) -> T {
    DONE.store(false, SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(answer);
        let result = measure();
        DONE.store(true, SeqCst);
        result
    })
}

fn answer_interrupts(device: &Device) {
    while !DONE.load(Relaxed) {
        if device.wait(0, Some(Instant::now() + Duration::from_millis(100))).unwrap() {
            // There is one other peer.
            let guest = device.peers().unwrap()[0].id;
            device.ring(guest, 0).unwrap();
        }
    }
}

fn answer_polling(device: &Device) {
    let memory = device.memory();
    while !DONE.load(Relaxed) {
        let count: u32 = memory.load(PING, Acquire).unwrap();
        memory.store(PONG, count, Release).unwrap();
        spin_loop();
    }
}

/// Round trips to the host and back by wait and ring, compared with poll and read of the same eventfd and the same
/// register.
fn interrupts(peer: PeerId) -> ExitCode {
    const TRIPS: u32 = 100;
    for found in ivshmem::pci::devices().unwrap() {
        found.bind().unwrap();
    }
    let device = ivshmem::open("auto").unwrap();
    assert!(device.supports_interrupts(), "{:?}", device.interrupt_finding());
    let doorbell = map_doorbell();
    let ours = || {
        quiet(&device);
        timed(TRIPS, || {
            device.ring(peer, 0).unwrap();
            assert!(device.wait(0, None).unwrap());
        })
    };
    let raw = || {
        quiet(&device);
        let eventfd = device.raw_interrupt(0).unwrap();
        let ring = u32::from(peer.0) << 16;
        timed(TRIPS, || {
            // SAFETY: a register in a mapping that is never unmapped.
            unsafe { doorbell.write_volatile(ring) };
            let mut ready = [PollFd::from_borrowed_fd(eventfd.as_fd(), PollFlags::IN)];
            poll(&mut ready, None).unwrap();
            rustix::io::read(&eventfd, &mut [0; 8]).unwrap();
        })
    };
    let mut report = Report::default();
    compare(&mut report, "round trip by interrupt", &ours, &raw);
    report.exit_code()
}

/// Takes interrupts until none is outstanding.
fn quiet(device: &Device) {
    while device.wait(0, Some(Instant::now() + Duration::from_millis(10))).unwrap() {}
}

/// Maps the register for ringing without this library.
fn map_doorbell() -> *mut u32 {
    const DOORBELL: u64 = 12;
    let folder = format!("/sys/bus/pci/devices/{}", ivshmem::pci::devices().unwrap()[0].address());
    let resource = std::fs::read_to_string(format!("{folder}/resource")).unwrap();
    let start = resource.split_whitespace().next().unwrap().trim_start_matches("0x");
    let in_page = u64::from_str_radix(start, 16).unwrap() % 4096 + DOORBELL;
    let file = std::fs::File::options().read(true).write(true).open(format!("{folder}/resource0")).unwrap();
    // SAFETY: a new mapping at an address that the kernel chooses.
    let page = unsafe {
        mmap(std::ptr::null_mut(), 4096, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
    };
    page.unwrap().cast::<u8>().wrapping_add(usize::try_from(in_page).unwrap()).cast()
}

/// Round trips by polling the memory.
fn polling(mode: &str) -> ExitCode {
    const TRIPS: u32 = 2_000;
    let device = open(mode);
    let memory = device.memory();
    let base = memory.as_ptr();
    let word = |at: u64| {
        let place = base.wrapping_add(usize::try_from(at).unwrap()).cast::<u32>();
        // SAFETY: aligned, inside the mapping, and all accesses of both sides are atomic.
        unsafe { AtomicU32::from_ptr(place) }
    };
    let (ping, pong) = (word(PING), word(PONG));
    let ours = || {
        let mut count: u32 = memory.load(PONG, Acquire).unwrap();
        timed(TRIPS, || {
            count = count.wrapping_add(1);
            memory.store(PING, count, Release).unwrap();
            while memory.load::<u32>(PONG, Acquire).unwrap() != count {
                spin_loop();
            }
        })
    };
    let raw = || {
        let mut count = pong.load(Acquire);
        timed(TRIPS, || {
            count = count.wrapping_add(1);
            if mode == "wc" {
                // Write-combined memory needs this fence in any program.
                fence(SeqCst);
            }
            ping.store(count, Release);
            while pong.load(Acquire) != count {
                spin_loop();
            }
        })
    };
    let mut report = Report::default();
    compare(&mut report, &format!("round trip by polling, {mode}"), &ours, &raw);
    report.exit_code()
}

/// Copies between the region and ordinary memory, compared with memcpy over the same mapping.
fn copies(mode: &str) -> ExitCode {
    let device = open(mode);
    let memory = device.memory();
    let base = memory.as_ptr().wrapping_add(4096);
    let mut report = Report::default();
    for (name, length, turns) in [("4 KiB", 4 << 10, 100), ("1 MiB", 1 << 20, 2)] {
        let bytes = vec![0x5a_u8; length];
        let into = || timed(turns, || memory.write(4096, &bytes).unwrap());
        let raw_into = || {
            // SAFETY: the region has 4 MiB, and `bytes` does not overlap with it.
            timed(turns, || unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base, length) })
        };
        compare(&mut report, &format!("{name} into the region, {mode}"), &into, &raw_into);
        let room = std::cell::RefCell::new(vec![0_u8; length]);
        let from = || timed(turns, || memory.read(4096, &mut room.borrow_mut()).unwrap());
        let raw_from = || {
            let to = room.borrow_mut().as_mut_ptr();
            // SAFETY: as above.
            timed(turns, || unsafe { std::ptr::copy_nonoverlapping(base, to, length) })
        };
        compare(&mut report, &format!("{name} out of the region, {mode}"), &from, &raw_from);
    }
    report.exit_code()
}

fn open(mode: &str) -> Device {
    ivshmem::open(&format!("pci:?cache={mode}&memory-only")).unwrap()
}

/// Seconds per call, averaged over `times` calls.
fn timed(times: u32, mut what: impl FnMut()) -> f64 {
    let begin = Instant::now();
    for _ in 0..times {
        what();
    }
    begin.elapsed().as_secs_f64() / f64::from(times)
}

/// Alternates both, and prints one line with the times and one line with the goal.
fn compare(report: &mut Report, name: &str, ours: &dyn Fn() -> f64, raw: &dyn Fn() -> f64) {
    let mut times = Vec::new();
    // The host runs other programs too, and a guest cannot measure how long it was not running.
    let best = |what: &dyn Fn() -> f64| (0..3).map(|_| what()).fold(f64::INFINITY, f64::min);
    for round in 0..=ROUNDS {
        // The order changes in each round.
        let pair = if round % 2 == 0 {
            let ours = best(ours);
            (ours, best(raw))
        } else {
            let raw = best(raw);
            (best(ours), raw)
        };
        // The first round is a warm-up.
        if round > 0 {
            times.push(pair);
        }
    }
    let micros = |which: fn(&(f64, f64)) -> f64| median(times.iter().map(which).collect()) * 1e6;
    println!("  {name:<36} {:>9.2} us, raw {:>9.2} us", micros(|t| t.0), micros(|t| t.1));
    report.goal(name, times.iter().map(|(ours, raw)| ours / raw).collect(), GOAL);
}
