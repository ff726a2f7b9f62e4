//! Windows programs, 64 and 32 bit, with the driver double and with Linux programs. `wintest/build-guest` builds the
//! programs.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests say what they measure, in folders that nobody changes"
)]
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod bench;
mod command;
mod conformance;
mod devices;
mod ends;
mod java;
mod jvm;
mod leaks;
mod program;
mod suite;
mod talk;
