//! One of the two programs of `make demo`: writes a question to shared memory, checks the answer, then measures the exchange
//! of interrupts.
//!
//! ask TARGET TOKEN ROUNDS
#![expect(clippy::print_stdout, reason = "an example for people to look at")]

mod demo;

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Instant;

use demo::{ANSWER, COUNTER, QUESTION, ROUND, ROUND_ANSWERED, TEXT, other, read_text, wait, write_text};

fn main() -> demo::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, token, rounds] = arguments.as_slice() else { return Err("ask TARGET TOKEN ROUNDS".into()) };
    let rounds: u64 = rounds.parse()?;

    let begun = Instant::now();
    let device = ivshmem::open(target)?;
    println!("connected as peer {} in {:.1?}", device.own_id().ok_or("no interrupts")?, begun.elapsed());
    let other = other(&device)?;

    let question = format!("Hello World! {token}");
    write_text(&device, QUESTION, &question)?;
    device.ring(other, TEXT)?;
    println!("wrote: {question}");
    wait(&device, TEXT)?;
    let answer = read_text(&device, ANSWER)?;
    println!("read:  {answer}");
    if !answer.chars().rev().eq(question.chars()) {
        return Err("the answer is not the question backwards".into());
    }

    let begun = Instant::now();
    for round in 1..=rounds {
        device.memory().store(ROUND, round, Release)?;
        device.ring(other, COUNTER)?;
        wait(&device, COUNTER)?;
        let answered: u64 = device.memory().load(ROUND_ANSWERED, Acquire)?;
        if answered != round {
            return Err(format!("round {round} was answered as {answered}").into());
        }
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / rounds.max(1) as f64;
    println!("{rounds} interrupts each way, {each:.1} us for there and back");
    Ok(())
}
