//! Requirements on every kind of device.
//!
//! Each suite is a function that takes a fixture for opening what it tests. It panics when a requirement is not met, so it
//! runs inside a test as well as inside a program in a guest.
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::print_stdout, reason = "tests say what they do")]
#![expect(clippy::unwrap_used, reason = "tests, though they are a library")]

#[cfg(target_os = "linux")]
pub mod bare_server;
#[cfg(target_os = "linux")]
pub mod census;
#[cfg(target_os = "linux")]
pub mod checkout;
pub mod doorbell;
#[cfg(target_os = "linux")]
pub mod fuse;
#[cfg(target_os = "linux")]
pub mod huge_pages;
#[cfg(target_os = "linux")]
pub mod linger;
pub mod memory;
pub mod peer;
#[cfg(target_os = "linux")]
pub mod program;
pub mod remote;
mod skip;

pub use skip::skip;
