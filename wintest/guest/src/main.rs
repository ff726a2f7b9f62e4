//! `wintest-guest`: the side of a Windows guest in a test. The other side is the test, on Linux.
#![expect(clippy::print_stdout, reason = "the other side of a test, which reads it")]

#[cfg(windows)]
mod guest;

fn main() {
    #[cfg(windows)]
    guest::main();
    #[cfg(not(windows))]
    println!("wintest-guest is a program for Windows: see wintest/build-guest");
}
