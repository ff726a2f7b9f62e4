//! `vmtest-peer`: one side of a test, in a guest. The other side, on the host or in another guest, runs the same code.
#![expect(clippy::print_stdout, reason = "the other side of a test, which reads it")]

use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use ivshmem::device::Device;
use ivshmem::{ErrorKind, PeerId};
use ivshmem_conformance::peer::{Role, Side};
use ivshmem_conformance::remote;

#[derive(Debug, Parser)]
struct Arguments {
    /// What to open, as in `ivshmem::open`.
    target: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Give all ivshmem devices of this guest to vfio-pci.
    Bind,
    /// Print the id of the device.
    Id,
    /// Do what the lines of the standard input say, with another peer.
    With { role: Who, other: u16, conversation: u32 },
    /// See that opening rings no vector.
    Quiet,
    /// Ring another peer on all vectors, without end.
    Storm { other: u16 },
    /// What a device that cannot be rung does in place of it.
    Polls,
    /// Open another device of this guest as well, and let both ring each other on each vector.
    Both { second: String },
    /// Detach the memory where the system has no memory of its own for it, and leave what others have mapped alone.
    DetachInVain {
        /// Another file, of the same size.
        other: String,
    },
    /// The conformance suite of memory.
    MemorySuite,
    /// The conformance suite of interrupts; the host is the other peer.
    DoorbellSuite,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Who {
    First,
    Second,
}

fn main() {
    let Arguments { target, what } = Arguments::parse();
    let open = || ivshmem::open(&target).unwrap_or_else(|e| panic!("{target}: {e}"));
    match what {
        What::Bind => {
            for device in ivshmem::pci::devices().expect("sysfs") {
                device.bind().unwrap_or_else(|e| panic!("{}: {e}", device.address()));
            }
        }
        What::Id => println!("{}", open().own_id().expect("a device with interrupts").0),
        What::With { role, other, conversation } => {
            let role = match role {
                Who::First => Role::First,
                Who::Second => Role::Second,
            };
            Side::new(&open(), PeerId(other), role, conversation).obey();
        }
        What::Quiet => quiet(&open()),
        What::Storm { other } => storm(&open(), PeerId(other)),
        What::Both { second } => {
            let second = ivshmem::open(&second).unwrap_or_else(|e| panic!("{second}: {e}"));
            let one = open();
            both(&one, &second);
            held(one, open);
        }
        What::Polls => polls(open()),
        What::DetachInVain { other } => detach_in_vain(open(), &other),
        What::MemorySuite => ivshmem_conformance::memory::run(&remote::Memory(target)),
        What::DoorbellSuite => ivshmem_conformance::doorbell::run(&remote::Doorbell(target)),
    }
}

/// Two devices of one process ring each other.
fn both(one: &Device, two: &Device) {
    let limit = Instant::now() + Duration::from_secs(60);
    for (from, to) in [(one, two), (two, one)] {
        assert!(to.vectors() > 0, "{:?}", to.interrupt_finding());
        for vector in 0..to.vectors() {
            while to.wait(vector, Some(Instant::now())).expect("a vector") {}
            from.ring(to.own_id().expect("an id"), vector).expect("a doorbell");
            assert!(to.wait(vector, Some(limit)).expect("a vector"), "vector {vector} was not rung");
        }
    }
}

/// Closes memory through `detach`, while the system accounts strictly for all memory and has only 16 MiB left.
fn detach_in_vain(device: Device, other: &str) {
    let memory = device.memory();
    memory.write(0, b"here").expect("open memory");
    let committed = kib_of("Committed_AS:");
    std::fs::write("/proc/sys/vm/overcommit_kbytes", (committed + (16 << 10)).to_string()).expect("root");
    std::fs::write("/proc/sys/vm/overcommit_memory", "2").expect("root");
    for _ in 0..3 {
        let refused = memory.detach().expect_err("there is no memory for zeroes");
        println!("{refused}: {}", std::error::Error::source(&refused).expect("the system's word"));
    }
    let stayed = is_mapped(memory.as_ptr().addr(), memory.len());
    // The kernel chooses the address, which is the first memory's if that is free.
    let other = ivshmem::open(other).unwrap_or_else(|e| panic!("{other}: {e}"));
    other.memory().write(0, b"there").expect("open memory");
    drop(device);
    let mut bytes = [0; 5];
    other.memory().read(0, &mut bytes).expect("open memory");
    assert_eq!(&bytes, b"there", "closing one memory took another one's pages");
    assert!(stayed, "pages that could not be replaced are gone");
    std::fs::write("/proc/sys/vm/overcommit_memory", "0").expect("root");
    other.memory().detach().expect("there is memory for zeroes");
    assert!(is_mapped(other.memory().as_ptr().addr(), other.memory().len()));
}

/// The value in KiB of a line of /proc/meminfo.
fn kib_of(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("proc");
    let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of every kernel");
    value.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Whether one mapping of this process contains all of these bytes.
fn is_mapped(start: usize, len: u64) -> bool {
    let start = start as u64;
    std::fs::read_to_string("/proc/self/maps").expect("proc").lines().any(|line| {
        let ends = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
        let [from, to] = [ends.0, ends.1].map(|end| u64::from_str_radix(end, 16).expect("an address"));
        from <= start && start + len <= to
    })
}

/// The first opener of a device owns its interrupts until it closes the device.
fn held(device: Device, open: impl Fn() -> Device) {
    let again = open();
    let finding = again.interrupt_finding().expect("its interrupts are held");
    assert_eq!(finding.name(), "held-elsewhere");
    assert!(finding.to_string().contains("this process itself"), "{finding}");
    device.close();
    assert!(open().supports_interrupts(), "closing gives it back");
    drop(device);
}

/// Without interrupts, waits are pauses with deadlines, and closing ends them; calls that need interrupts return the
/// reason.
fn polls(device: Device) {
    let finding = device.interrupt_finding().expect("it cannot be rung").to_string();
    assert!(!device.supports_interrupts() && !device.knows_peers());
    for vector in [0, 1, 0, 255] {
        assert!(device.wait(vector, None).expect("a pause"));
    }
    assert!(!device.wait(0, Some(Instant::now())).expect("a pause"), "the deadline is over");
    let refused = device.on_interrupt(0, |_| {}).expect_err("no callback without interrupts");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains(&finding), "{refused}");
    assert_eq!(device.raw_interrupt(0).expect_err("as above").kind(), ErrorKind::Unsupported);
    assert_eq!(device.peers().expect_err("nobody tells").kind(), ErrorKind::Unsupported);
    device.ring(device.own_id().expect("an id"), 0).expect("ringing needs no driver");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            loop {
                if let Err(end) = device.wait(0, None) {
                    return end;
                }
            }
        });
        device.close();
        assert_eq!(waiting.join().expect("a wait").kind(), ErrorKind::Closed);
    });
}

fn quiet(device: &Device) {
    assert!(device.vectors() > 0, "{:?}", device.interrupt_finding());
    for vector in 0..device.vectors() {
        let moment = Instant::now() + Duration::from_millis(50);
        assert!(!device.wait(vector, Some(moment)).expect("an open device"), "opening rang vector {vector}");
    }
}

fn storm(device: &Device, other: PeerId) {
    println!("ringing");
    for vector in (0..device.vectors()).cycle() {
        device.ring(other, vector).expect("an open device");
    }
}
