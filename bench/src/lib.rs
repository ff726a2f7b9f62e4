//! What every benchmark here shares: pinning, medians of interleaved rounds, and goals.
//!
//! Absolute times on a shared machine mean nothing, so a goal is a ratio to a bare baseline measured in the same run,
//! round by round in turns, each pinned to the same processors.
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]

use std::process::ExitCode;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins the calling thread to one processor, counted from 0.
///
/// # Panics
/// When the machine has no such processor: the figures would mean nothing.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).unwrap_or_else(|e| panic!("cannot pin to processor {cpu}: {e}"));
}

/// The middle value; the upper one of two.
///
/// # Panics
/// When there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// The ratio must not be above this.
    AtMost(f64),
    /// The ratio must not be below this.
    AtLeast(f64),
}

/// Collects goals and turns them into an exit code.
#[derive(Debug, Default)]
pub struct Report {
    missed: usize,
}

impl Report {
    /// Judges the median of `ratios`, one for each interleaved round, and prints one line.
    pub fn goal(&mut self, name: &str, ratios: Vec<f64>, limit: Limit) {
        let rounds = ratios.len();
        let ratio = median(ratios);
        let (met, sign, bound) = match limit {
            Limit::AtMost(bound) => (ratio <= bound, "<=", bound),
            Limit::AtLeast(bound) => (ratio >= bound, ">=", bound),
        };
        let word = if met { "met" } else { "NOT MET" };
        println!("{name}: {ratio:.3} (goal {sign} {bound}, median of {rounds} rounds) {word}");
        self.missed += usize::from(!met);
    }

    /// 0 when every goal was met, 1 otherwise.
    pub fn exit_code(&self) -> ExitCode {
        if self.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
