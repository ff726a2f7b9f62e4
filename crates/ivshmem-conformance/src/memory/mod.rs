//! Requirements on every `Memory`.

mod atomics;
mod bounds;
mod bulk;
mod closing;
mod words;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ivshmem::region::Memory;

/// Opens the memory under test.
pub trait Fixture: Sync {
    /// Opens it for reading and writing, with 4096 bytes or more and any content. Called once for each case; some cases
    /// close it.
    fn open(&self) -> Memory;

    /// Opens the same bytes as `memory`, which this fixture opened, once more; `None` where that is impossible.
    fn open_read_only(&self, memory: &Memory) -> Option<Memory>;
}

/// Runs every case and prints its name.
///
/// # Panics
/// When a case fails, after all of them ran; the message names those that failed.
pub fn run(fixture: &dyn Fixture) {
    let failed: Vec<_> = CASES
        .iter()
        .filter(|(name, case)| {
            println!("memory: {name}");
            let _watch = Watchdog::new(name);
            catch_unwind(AssertUnwindSafe(|| case(fixture))).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), CASES.len(), failed.join(", "));
}

type Case = fn(&dyn Fixture);

/// Ends the process when a case hangs: a thread that waits indefinitely cannot be ended otherwise.
struct Watchdog(
    #[expect(dead_code, reason = "its drop is the sign that the case has ended")] mpsc::Sender<()>,
);

impl Watchdog {
    const LIMIT: Duration = Duration::from_secs(300);

    fn new(name: &'static str) -> Self {
        let (sender, receiver) = mpsc::channel::<()>();
        thread::spawn(move || {
            if receiver.recv_timeout(Self::LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Not eprintln: the test harness keeps its output until the test ends, which never happens.
                let _ = writeln!(std::io::stderr(), "memory: hangs for {:?}: {name}", Self::LIMIT);
                std::process::exit(101);
            }
        });
        Self(sender)
    }
}

const CASES: &[(&str, Case)] = &[
    ("every access inside is done, at both ends", bounds::inside),
    ("every access outside is refused and writes nothing", bounds::outside),
    ("every access after closing is refused, empty ones too", bounds::closed),
    ("every write to read-only memory is refused, reads are done", bounds::read_only),
    ("views are parts of their memory", bounds::views),
    ("a word has its bytes in its order, at any alignment", words::orders),
    ("a word leaves its neighbours alone", words::neighbours),
    ("bytes are read and written, at any alignment and length", bulk::read_write),
    ("fill sets its bytes and no others", bulk::fill),
    ("copy_to is right when the ranges overlap", bulk::overlap),
    ("copy_to copies between two memories", bulk::between),
    ("index_of finds the first occurrence", bulk::index_of),
    ("sync succeeds", bulk::sync),
    ("atomics compute as the standard library's do, at any alignment", atomics::arithmetic),
    ("senseless orderings are refused", atomics::orderings),
    ("atomics of several threads add up, also across cache lines", atomics::threads),
    ("an atomic access is never seen in parts, also across cache lines", atomics::whole),
    ("what is published is seen whole", atomics::publish),
    ("128 bits are exchanged when aligned and supported", atomics::wide),
    ("spin ends with the value, the timeout or the closing", closing::spin),
    ("spin_and_set hands over one at a time", closing::spin_and_set),
    ("closing wakes every waiting thread", closing::wakes),
    ("closing during access by four threads ends each with Closed", closing::during_access),
];

/// A pattern without repetition in any short range.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]).collect()
}

fn bytes(memory: &Memory, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    memory.read(offset, &mut bytes).unwrap();
    bytes
}

/// The first and the last offset at which `len` bytes fit with each of 16 alignments.
fn places(memory: &Memory, len: u64) -> impl Iterator<Item = u64> {
    let last = memory.len() - len;
    (0..16).flat_map(move |i| [i, last - i])
}
