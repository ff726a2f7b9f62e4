use std::io::BufRead;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use ivshmem::device::Device;
use ivshmem::sys::windows::process;
use ivshmem::{ErrorKind, PeerId};
use ivshmem_conformance::peer::{Role, Side};
use ivshmem_conformance::{doorbell, memory, remote};

#[derive(Debug, Parser)]
struct Arguments {
    /// What to open, as in `ivshmem::open`.
    target: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The conformance suite of memory.
    MemorySuite,
    /// The conformance suite of interrupts; the test is the other peer.
    DoorbellSuite,
    /// Do what the lines of the standard input say, with another peer.
    With { role: Who, other: u16, conversation: u32 },
    /// Open and close so often, and tell the handles this process has before and after.
    Churn { times: u32 },
    /// Register and unregister a callback so often, and tell the handles before and after.
    Register { times: u32 },
    /// Open, and do what the lines of the standard input say: see `hold`.
    Hold,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Who {
    First,
    Second,
}

pub(crate) fn main() {
    let Arguments { target, what } = Arguments::parse();
    let open = || ivshmem::open(&target).unwrap_or_else(|e| panic!("{target}: {e}"));
    match what {
        What::MemorySuite => memory::run(&remote::Memory(target)),
        What::DoorbellSuite => doorbell::run(&remote::Doorbell(target)),
        What::With { role, other, conversation } => {
            let role = match role {
                Who::First => Role::First,
                Who::Second => Role::Second,
            };
            Side::new(&open(), PeerId(other), role, conversation).obey();
        }
        What::Churn { times } => count_handles(times, || {
            let device = open();
            device.memory().write_word(0, 1_u32).expect("open memory");
            let _registration = device.on_interrupt(0, |_| {}).expect("a vector");
        }),
        What::Register { times } => {
            let device = open();
            count_handles(times, || drop(device.on_interrupt(0, |_| {}).expect("a vector")));
            let own = device.own_id().expect("a device with interrupts");
            device.ring(own, 0).expect("an open device");
            let limit = Instant::now() + Duration::from_secs(30);
            assert!(device.wait(0, Some(limit)).expect("an open device"), "the vector is deaf now");
        }
        What::Hold => hold(&target),
    }
}

/// Prints the number of handles before and after. The first call does not count: it creates what stays as long as the
/// process.
fn count_handles(times: u32, once: impl Fn()) {
    once();
    let before = process::handles().expect("a number");
    for _ in 0..times {
        once();
    }
    println!("{times} times, handles {before} and {}", process::handles().expect("a number"));
}

/// Answers each line with one: the result, or the kind and the text of the error.
fn hold(target: &str) {
    let mut device = None;
    println!("{}", told(open(&mut device, target)));
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the test's lines");
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |index: usize| words[index].parse::<u16>().expect("a number");
        let answer = match (words[0], &device) {
            ("open", _) => open(&mut device, target),
            ("drop", _) => {
                device = None;
                Ok("dropped".to_owned())
            }
            (_, None) => Ok("there is no device".to_owned()),
            ("ring", Some(device)) => device
                .ring(number(1), number(2))
                .map(|()| "rung".to_owned())
                .map_err(|e| (e.kind(), e.to_string())),
            ("wait", Some(device)) => {
                let deadline = Instant::now() + Duration::from_millis(number(2).into());
                device
                    .wait(number(1), Some(deadline))
                    .map(|rung| if rung { "rung" } else { "not rung" }.to_owned())
                    .map_err(|e| (e.kind(), e.to_string()))
            }
            ("read", Some(device)) => device
                .memory()
                .read_word::<u32>(number(1).into())
                .map(|word| word.to_string())
                .map_err(|e| (e.kind(), e.to_string())),
            ("vectors", Some(device)) => Ok(device.vectors().to_string()),
            ("finding", Some(device)) => {
                Ok(device.interrupt_finding().map_or("none", |finding| finding.name()).to_owned())
            }
            _ => panic!("there is no {line:?}"),
        };
        println!("{}", told(answer));
    }
}

fn open(device: &mut Option<Device>, target: &str) -> Result<String, (ErrorKind, String)> {
    let opened = ivshmem::open(target).map_err(|e| (e.kind(), e.to_string()))?;
    let text = format!("open, {} bytes", opened.memory().len());
    *device = Some(opened);
    Ok(text)
}

fn told(answer: Result<String, (ErrorKind, String)>) -> String {
    answer.unwrap_or_else(|(kind, text)| format!("{kind:?}: {text}"))
}
