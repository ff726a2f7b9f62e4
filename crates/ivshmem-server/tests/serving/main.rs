//! The server and its daemon against a plain client, as strict as QEMU.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod clients;
mod daemon;
mod limits;
mod log;
mod memory;
mod names;
mod status;
mod systemd;
mod truncation;
