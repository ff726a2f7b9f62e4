//! The other program of `make demo`: answers the question in shared memory with its text reversed, then answers each
//! interrupt with an interrupt.
//!
//! answer TARGET ROUNDS
#![expect(clippy::print_stdout, reason = "an example for people to look at")]

mod demo;

use std::sync::atomic::Ordering::{Acquire, Release};

use demo::{ANSWER, COUNTER, QUESTION, ROUND, ROUND_ANSWERED, TEXT, other, read_text, wait, write_text};

fn main() -> demo::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, rounds] = arguments.as_slice() else { return Err("answer TARGET ROUNDS".into()) };
    let rounds: u64 = rounds.parse()?;

    let device = ivshmem::open(target)?;
    println!("connected as peer {}", device.own_id().ok_or("no interrupts")?);
    let other = other(&device)?;

    wait(&device, TEXT)?;
    let question = read_text(&device, QUESTION)?;
    println!("read:  {question}");
    write_text(&device, ANSWER, &question.chars().rev().collect::<String>())?;
    device.ring(other, TEXT)?;

    for expected in 1..=rounds {
        wait(&device, COUNTER)?;
        let round: u64 = device.memory().load(ROUND, Acquire)?;
        if round != expected {
            return Err(format!("interrupt {expected} came with round {round}").into());
        }
        device.memory().store(ROUND_ANSWERED, round, Release)?;
        device.ring(other, COUNTER)?;
    }
    println!("{rounds} interrupts taken and answered");
    Ok(())
}
