//! Tests of the server and its daemon with a plain client that is as strict as QEMU.

#![expect(clippy::disallowed_methods, reason = "the folders of tests are changed by nobody else")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod clients;
mod daemon;
mod limits;
mod log;
mod memory;
mod names;
mod output;
mod status;
mod swaps;
mod systemd;
mod truncation;
