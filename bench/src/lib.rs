//! Common parts of the benchmarks: pinning, medians of interleaved rounds, and goals.
//!
//! Absolute times on a shared machine are not comparable, so a goal is a ratio to a bare baseline that is measured in the
//! same run, in alternating rounds, pinned to the same processors.
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]

use std::process::ExitCode;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins the calling thread to one processor, counted from 0.
///
/// # Panics
/// When the machine has no such processor, because the figures would be meaningless.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).unwrap_or_else(|e| panic!("cannot pin to processor {cpu}: {e}"));
}

/// The median; of an even number of values the upper one of the middle two.
///
/// # Panics
/// When there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A bound on the ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// The ratio must not be above this.
    AtMost(f64),
    /// The ratio must not be below this.
    AtLeast(f64),
}

/// Collects the results of goals and converts them to an exit code.
#[derive(Debug, Default)]
pub struct Report {
    missed: usize,
}

impl Report {
    /// Compares the median of `ratios`, one for each interleaved round, with the limit and prints one line.
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
