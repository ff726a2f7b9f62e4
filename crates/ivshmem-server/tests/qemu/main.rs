//! The daemon against real QEMU, and by the thousand.
#![expect(clippy::unwrap_used, reason = "a test may, and all of this is tests")]

mod churn;
mod client;
mod crowd;
mod daemon;
mod descriptors;
mod limits;
mod machine;
mod member;
mod names;
mod options;
mod process;
mod stopped;
